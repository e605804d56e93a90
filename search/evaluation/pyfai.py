"""pyFAI's fill with the bins that serve it best, found on validation frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

import numpy as np

from scattering.arrays import Reals
from scattering.dataset import Dataset
from scattering.filling.polar import Bins, inpaint
from search.evaluation.methods import Method, around_beam
from search.evaluation.scores import Tasks
from trainables.images import Images, gapped_windows, whole_frames

FRAMES = 6
"""Validation frames at most, evenly spread: at 256 x 256 pixels each takes 1.7 s. Bins that win on few or on all
differ by less than 3 % in error."""

RADIAL = (0.5, 1.0, 2.0)
"""Radial bins, for each pixel of the frame's side."""
AZIMUTHAL = (180, 720)
GROWTH = (0, 1)


def tuned_pyfai(validation: Dataset, tasks: Tasks = map) -> tuple[Method, str]:
    """Return pyFAI's fill with the bins that err least on validation frames, and a sentence on how it came out."""
    few = validation.select(np.unique(np.linspace(0, len(validation) - 1, FRAMES).round().astype(int)).tolist())
    lay = whole_frames if whole_frames(few).scored.any() else gapped_windows
    radial = (round(share * max(few.gap.shape)) for share in RADIAL)
    grid = [None, *(Bins(*bins) for bins in product(radial, AZIMUTHAL, GROWTH))]
    totals = sum(tasks(partial(_errors, few, lay, grid), range(len(few))))
    errors = dict(zip(grid, totals / lay(few).scored.sum(), strict=True))
    best = min(errors, key=lambda bins: errors[bins])
    where = f"{len(few)} validation frame{'s' * (len(few) > 1)}"
    usual = f"{errors[None] * 1e3:.2f}e-3"
    if best is None:
        note = f"No bins tried on {where} served pyFAI better than its default ones ({usual})."
    else:
        note = (
            f"pyFAI's bins were tuned on {where}: {best.npt_rad} radial, {best.npt_azim} "
            f"azimuthal, gaps widened by {best.grow_mask} (L1 there {errors[best] * 1e3:.2f}e-3, by default {usual})."
        )
    return around_beam("pyFAI, tuned bins", partial(inpaint, bins=best)), note


def _errors(data: Dataset, lay: Callable[[Dataset], Images], grid: Sequence[Bins | None], number: int) -> Reals:
    """Sum of |fill - truth| over the scored pixels of one frame, with each of several bins."""
    images = lay(data.select([number]))
    (calibration,) = images.data.calibrations
    assert calibration is not None, "asked for where every geometry is known"
    totals = np.zeros(len(grid))
    for frame in images.whole():
        # Bins that differ by their growth alone share what pyFAI prepares: they come one after another.
        for place, bins in enumerate(grid):
            filled = inpaint(frame.measured, frame.observed, calibration, bins)
            for image, part in images.parts(frame, filled):
                chosen = images.scored[image]
                totals[place] += np.abs(part - images.truth[image])[chosen].sum(dtype=np.float64)
    return totals
