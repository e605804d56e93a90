"""Dead pixels of a detector, and pixels that hold codes, found from a sample of its frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scattering.arrays import Bools, Counts
from scattering.survey.validity import switched_off

DARK_PHOTONS = 60.0
"""Photons that the neighbours promise a pixel before its zeros make it dead.

Under Poisson statistics a live pixel is dark with exp(-60). With a margin of a third for the neighbours' own noise,
exp(-40), one of the 18 million pixels of an EIGER 16M is called dead by mistake with a probability below 1e-9.
"""

SURE_FRAMES = 4
"""Frames in which a pixel must hold the same number to be taken for one that holds a code."""


class Tally:
    """Pixels of one frame shape, (rows, columns); frames are added one at a time."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.frames = 0
        self.counted = np.zeros(shape, bool)
        """It held a count other than 0 in one of the frames."""
        self.uncoded = np.zeros(shape, bool)
        """It held a count, 0 or not, in one of the frames."""
        self._total = np.zeros(shape, np.float32)
        self.odd = np.zeros(shape, bool)
        """It held a number in one of the frames that is a code or a count: below 0, or what `switched_off` says."""
        self._first: Counts = np.zeros(shape, np.int8)
        self._constant = np.ones(shape, bool)
        self._least = np.zeros(shape, np.float32)

    def add(self, counts: Counts, known: Bools) -> None:
        """Add a frame: counts, and where they are none of codes."""
        values = np.where(known, counts, 0).astype(np.float32)
        self.frames += 1
        self.counted |= values != 0
        self.uncoded |= known
        self._total += values
        odd = _odd(counts)
        self.odd |= odd
        if self.frames == 1:
            self._first = counts
        self._constant &= counts == self._first
        self._least = np.minimum(self._least, np.where(odd & ~known, counts, 0).astype(np.float32))

    def coded(self, gap: Bools) -> Bools:
        """Pixels outside of `gap` that hold one code in every frame, of `SURE_FRAMES` or more.

        Below 0 they hold less than any pixel whose number changes: noise has a least number, too.
        """
        if self.frames < SURE_FRAMES:
            return np.zeros_like(self.odd)
        below = self._least < self._least.min(where=~self._constant & ~gap, initial=0)
        return np.asarray(self.odd & self._constant & ~gap & (below | (self._least == 0)))

    def dark(self) -> Bools:
        """Pixels that say nothing of the sample: codes in every frame; also zeros where most of the frame counts."""
        return ~self.counted if 2 * self.counted.sum() > self.uncoded.sum() else ~self.uncoded

    def dead(self) -> Bools:
        """Pixels that hold 0 in every frame, where the median of their neighbours promises `DARK_PHOTONS`.

        Neighbours are the 5 x 5 pixels around. How many photons their counts stand for follows from how much these
        scatter: a CCD gives several counts for one.
        """
        dead = np.zeros(self.counted.shape, bool)
        # Half of 13 neighbours or more reach the median: a bound that is cheap to check.
        promising = self.uncoded & ~self.counted & (_sum_around(self._total) >= 13 / 2 * DARK_PHOTONS)
        places = np.argwhere(promising)
        total = np.pad(np.where(self.uncoded, self._total, np.nan), 2, constant_values=np.nan)
        for part in np.array_split(places, len(places) // 100_000 + 1):
            photons = _photons(_neighbourhoods(total, part))
            dead[tuple(part[photons > DARK_PHOTONS].T)] = True
        return dead


def _odd(counts: Counts) -> Bools:
    values: npt.NDArray[Any] = counts
    below = np.asarray(values < 0)
    off = switched_off(values)
    return below if off is None else below | (values == off)


def _sum_around(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Sums over 5 x 5 pixels, 0 outside."""
    return np.asarray(25 * ndimage.uniform_filter(values, 5, mode="constant"))


def _neighbourhoods(padded: npt.NDArray[np.float32], places: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
    """Return the 5 x 5 pixels around places (N, 2) of an image padded by 2: (N, 25), sorted, NaN last."""
    offsets = np.indices((5, 5)).reshape(2, 25)
    rows, columns = places.T[:, :, None] + offsets[:, None]
    return np.sort(padded[rows, columns], axis=1)


def _photons(neighbours: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return the photons of the median of sorted neighbours (N, 25); 0 where fewer than 13 are known."""
    known = np.isfinite(neighbours).sum(axis=1)
    quarter, median, three_quarters = (
        neighbours[np.arange(len(known)), np.minimum((known * share).astype(int), 24)].astype(np.float64)
        for share in (0.25, 0.5, 0.75)
    )
    variance = ((three_quarters - quarter) / 1.349) ** 2
    counts_per_photon = np.maximum(variance / np.maximum(median, 1), 1)
    return np.where(known >= 13, median / counts_per_photon, 0)
