"""Hot pixels of one frame: those that count far more than all that is around them.

A Bragg spot has flanks: of one with a standard deviation of 0.4 pixels, in the middle of its pixel, each of the four
neighbours gets a seventh of what the pixel holds. So a pixel is hot where it exceeds the least of its eight
neighbours by `EXCESS` times as much as the largest of them does, or, as two may lie side by side, by `PAIR_EXCESS`
times as much as the second largest does. What is lost are spots much sharper than a pixel: of simulated round ones of
300 to 30 000 counts, at random places on a background of 2, none of a million with standard deviations of 0.35 pixels
or more, one in 100 000 with 0.3, 3 in 100 with 0.25, 20 in 100 with 0.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scattering.arrays import Bools, Counts

EXCESS = 20.0
PAIR_EXCESS = 100.0

COUNTS = 50.0
"""What a hot pixel counts beyond that: neighbours of few counts may by chance be empty."""

KNOWN = 3
"""Neighbours that must be known: a corner of a module has no more."""

_AROUND = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if row or column]


def hot_pixels(counts: Counts, known: Bools) -> Bools:
    """Tell which pixels of a frame, (rows, columns), are hot, by those that are `known` to hold counts alone."""
    values: npt.NDArray[Any] = counts
    hot = np.zeros(known.shape, bool)
    places = np.argwhere(_outstanding(values, known))
    padded, there = np.pad(values, 1), np.pad(known, 1)
    around = np.full((len(places), len(_AROUND)), np.nan)
    for number, (row, column) in enumerate(_AROUND):
        place = (places[:, 0] + 1 + row, places[:, 1] + 1 + column)
        around[:, number] = np.where(there[place], padded[place].astype(np.float64), np.nan)
    # NaN comes last.
    around.sort(axis=1)
    count = np.isfinite(around).sum(axis=1)
    enough = count >= KNOWN
    places, around, count = places[enough], around[enough], count[enough]
    one = np.arange(len(places))
    excess = values[tuple(places.T)].astype(np.float64) - around[:, 0]
    largest, second = (around[one, count - rank] - around[:, 0] for rank in (1, 2))
    found = (excess > EXCESS * largest + COUNTS) | (excess > PAIR_EXCESS * second + COUNTS)
    hot[tuple(places[found].T)] = True
    return hot


def _outstanding(values: npt.NDArray[Any], known: Bools) -> Bools:
    """Pixels of which at most one of the four next to them holds a share of the excess that is not hot: few."""
    heights = np.where(known, values, -np.inf).astype(np.float32)
    floor = ndimage.minimum_filter(np.where(known, heights, np.float32(np.inf)), 3)
    excess = heights - floor
    larger = np.zeros(values.shape, np.int8)
    for before, behind in ((np.s_[:-1, :], np.s_[1:, :]), (np.s_[:, :-1], np.s_[:, 1:])):
        for one, other in ((before, behind), (behind, before)):
            larger[one] += heights[other] - floor[one] > excess[one] / EXCESS
    return np.asarray(known & (excess > COUNTS) & (larger < 2))
