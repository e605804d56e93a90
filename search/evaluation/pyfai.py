"""pyFAI's fill with the bins that serve it best, found on validation frames."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np

from scattering.dataset import Dataset
from scattering.filling.polar import Bins, inpaint
from search.evaluation.images import Images, gapped_windows, whole_frames
from search.evaluation.methods import Method, around_beam

FRAMES = 12
"""Validation frames at most: at 256 x 256 pixels each takes about a second."""

RADIAL = (0.5, 1.0, 2.0)
"""Radial bins, for each pixel of the frame's side."""
AZIMUTHAL = (180, 720)
GROWTH = (0, 1)


def tuned_pyfai(validation: Dataset) -> tuple[Method, str]:
    """Return pyFAI's fill with the bins that err least on validation frames, and a sentence on how it came out."""
    few = validation.select(range(min(FRAMES, len(validation))))
    images = whole_frames(few)
    if not images.scored.any():
        images = gapped_windows(few)
    radial = (round(share * max(few.gap.shape)) for share in RADIAL)
    errors = _errors(images, [None, *(Bins(*bins) for bins in product(radial, AZIMUTHAL, GROWTH))])
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


def _errors(images: Images, grid: list[Bins | None]) -> dict[Bins | None, float]:
    """L1 over the scored pixels with each of several bins."""
    totals = dict.fromkeys(grid, 0.0)
    calibrations = images.data.calibrations
    for frame in images.whole():
        calibration = calibrations[frame.frame]
        assert calibration is not None, "asked for where every geometry is known"
        # Bins that differ by their growth alone share what pyFAI prepares: they come one after another.
        for bins in grid:
            filled = inpaint(frame.measured, frame.observed, calibration, bins)
            for number, part in images.parts(frame, filled):
                chosen = images.scored[number]
                totals[bins] += float(np.abs(part - images.truth[number])[chosen].sum(dtype=np.float64))
    return {bins: total / int(images.scored.sum()) for bins, total in totals.items()}
