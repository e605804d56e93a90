"""A frame before and after its gaps were filled, and how uncertain that is, side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inpainting.model import Fill
from scattering.arrays import Bools, Counts
from scattering.errors import InputError
from scattering.files import replacing
from scattering.outputs import picture_mark

HEIGHT = 5.5
"""Inches; 130 dots each make a gap of 7 pixels three dots wide."""
DOTS = 130

NOT_MEASURED = "#9a9aa0"


def write_picture(path: Path, title: str, counts: Counts, valid: Bools, fill: Fill) -> None:
    """Write a PNG of one frame (rows, columns): as measured, filled, and the uncertainty as a share of the counts.

    Raises InputError where the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    still_missing = ~valid & np.isnan(fill.uncertainty)
    before, after = (
        np.ma.masked_array(np.log10(1 + np.maximum(values.astype(np.float64), 0)), missing)
        for values, missing in ((counts, ~valid), (fill.counts, still_missing))
    )
    low, high = np.quantile(before.compressed(), (0.002, 0.998)) if valid.any() else (0, 1)
    share = np.ma.masked_invalid(fill.uncertainty / (1 + np.maximum(fill.counts.astype(np.float64), 0)))
    rows, columns = counts.shape
    figure = Figure(figsize=(3 * HEIGHT * columns / rows + 2, HEIGHT), dpi=DOTS, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    for panel, image, name, colors, limits in (
        (panels[0], before, "measured", "viridis", (low, max(high, low + 1e-3))),
        (panels[1], after, "filled", "viridis", (low, max(high, low + 1e-3))),
        (panels[2], share, "uncertainty (68 %), share of the counts", "magma", (0, 1)),
    ):
        panel.set_facecolor(NOT_MEASURED)
        shown = panel.imshow(image, cmap=colors, vmin=limits[0], vmax=limits[1])
        panel.set(title=name, xticks=[], yticks=[])
        if panel is not panels[0]:
            label = "log10(1 + counts)" if panel is panels[1] else ""
            figure.colorbar(shown, ax=panel, shrink=0.8, label=label)
    figure.suptitle(title, fontsize="small")
    try:
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", metadata=picture_mark(title))
    except OSError as error:
        raise InputError(f"cannot write the picture {path}: {error.strerror or error}") from None
