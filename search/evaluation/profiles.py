"""I(q) over the gaps: what a fill does to the curve that is read off a frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scattering.arrays import Bools, Floats, Reals
from scattering.calibration import Calibration
from scattering.filling.polar import azimuthal_average
from scattering.preprocessing import to_counts
from trainables.images import Images

BINS = 100
ENOUGH_COUNTS = 100.0
"""Counts in a bin from which it is compared: there photon noise alone is at most a tenth of I(q)."""


class Profile(NamedTuple):
    """I(q) of the truth over the scored pixels of one frame."""

    q: Reals
    """Of each scored pixel."""
    edges: Reals
    truth: Reals
    """Mean counts in each bin."""
    compared: Bools
    """Bins with enough counts."""

    def error(self, counts: npt.NDArray[np.floating]) -> float:
        """Mean over the compared bins of |fill - truth| / (half of fill + truth), of I(q)."""
        filled, _ = azimuthal_average(counts, self.q, self.edges)
        filled, truth = filled[self.compared], self.truth[self.compared]
        return float((np.abs(filled - truth) / ((filled + truth) / 2)).mean())


def profile(truth: Floats, scored: Bools, calibration: Calibration | None, full_scale: float) -> Profile | None:
    """Return I(q) of a frame's truth (rows, columns); None where nothing is scored, known or bright enough."""
    if calibration is None or not scored.any():
        return None
    q = calibration.q((truth.shape[0], truth.shape[1]))[scored]
    edges = np.linspace(q.min(), q.max(), BINS + 1)
    mean, pixels = azimuthal_average(to_counts(truth[scored].astype(np.float64), full_scale), q, edges)
    compared = np.nan_to_num(mean) * pixels >= ENOUGH_COUNTS
    return Profile(q, edges, mean, compared) if compared.any() else None


def profiles(images: Images) -> list[Profile | None]:
    """I(q) of every frame of whole frames."""
    frames = zip(images.truth, images.scored, images.data.calibrations, strict=True)
    return [profile(*frame, images.data.full_scale) for frame in frames]
