"""Pixels of a frame that hold counts, told apart from codes for gaps, dead pixels and full counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scattering.arrays import Bools, Counts

LARGEST = 2**31 - 1
"""No counter counts so far, whatever the type: 2**31 - 1 and 2**32 - 1 are codes, also in floats, and so are -1 and
-2 read without their sign. The largest number of a narrower type is one, too."""

FULL_COUNTERS = (2**20 - 1, 2**16 - 1)
"""Counters of PILATUS (20 bits) and of 16-bit detectors when full. In a wider type they are counts like any other
where a valid pixel holds more."""


def recorded(counts: Counts, invalid: Bools | None = None, hidden: Bools | None = None) -> Bools:
    """Tell counts from codes, for (rows, columns): True where a pixel was read, and was not full.

    Codes are negative whole numbers, NaN and infinity, and what full counters hold. Negative fractions are noise
    about zero, left by a subtracted background; so are negative whole floats of a file with a mask of its own,
    `invalid`, outside of it: a pedestal was subtracted from whole counts. `hidden` is as in `full`.
    """
    values: npt.NDArray[Any] = counts
    negative = values < 0
    if values.dtype.kind == "f":
        negative &= values == np.trunc(values) if invalid is None else False
    counted = np.asarray(np.isfinite(values) & ~negative & ~full(counts, hidden))
    return counted if invalid is None else counted & ~invalid


def full(counts: Counts, hidden: Bools | None = None) -> Bools:
    """Pixels of (rows, columns) that hold what full counters do; many files write the same into gaps.

    Which counter it is, is told without the pixels that are `hidden`: what a network sees must not depend on the
    counts that it is to predict.
    """
    values: npt.NDArray[Any] = counts
    info: Any = np.finfo(values.dtype) if values.dtype.kind == "f" else np.iinfo(values.dtype)
    top = min(LARGEST, info.max)
    found = np.asarray(values >= top)
    if values.dtype.itemsize > 2:
        seen = np.isfinite(values) & ~found
        highest = values.max(where=seen if hidden is None else seen & ~hidden, initial=0)
        if highest in FULL_COUNTERS:
            found |= values == highest
    return found


def measured(counts: Counts, gap: Bools, invalid: Bools | None = None) -> tuple[Bools, Bools]:
    """Tell which pixels of (rows, columns) were measured, and which of these only as more than a counter can hold.

    What a counter writes when it is full lies in gaps, too: there, and in the file's own mask `invalid`, it is a
    code. What no counter holds is a code wherever it is.
    """
    values: npt.NDArray[Any] = counts
    none = gap if invalid is None else gap | invalid
    saturated = full(values, gap) & (values < LARGEST) & ~none
    return recorded(counts, invalid, gap) | saturated, saturated


@dataclass(frozen=True)
class GapParts:
    """The connected parts of a detector's gaps: horizontal stripes, vertical ones, and where they cross."""

    places: npt.NDArray[np.intp]
    """(pixels,): flat numbers of all gap pixels, part after part."""
    starts: npt.NDArray[np.intp]
    """(parts,): where each part begins in `places`."""

    def without_counts(self, counts: Counts, known: Bools) -> Bools:
        """Parts that no exposure saw, (rows, columns): all their known pixels hold one constant, often 0.

        A part with counts that differ was filled at the instrument, by moving the detector: it is truth.
        """
        empty = np.zeros(counts.shape, bool)
        if not len(self.places):
            return empty
        values, seen = counts.ravel()[self.places].astype(np.float64), known.ravel()[self.places]
        lowest = np.minimum.reduceat(np.where(seen, values, np.inf), self.starts)
        highest = np.maximum.reduceat(np.where(seen, values, -np.inf), self.starts)
        sizes = np.diff(self.starts, append=len(self.places))
        empty.ravel()[self.places] = np.repeat(highest <= lowest, sizes)
        return empty


def gap_parts(gap: Bools) -> GapParts:
    """Take gaps (rows, columns) apart.

    Stripes that cross are parts of their own: the detector is moved along one axis, which fills the gaps across it.
    """
    labels = np.zeros(gap.shape, np.int32)
    count = 0
    rows, columns = gap.all(axis=1, keepdims=True), gap.all(axis=0, keepdims=True)
    for kind in (~rows & ~columns, rows & ~columns, ~rows & columns, rows & columns):
        part = gap & kind
        found, number = ndimage.label(part)
        labels[part] = found[part] + count
        count += number
    places = np.flatnonzero(labels)
    places = places[np.argsort(labels.ravel()[places], kind="stable")]
    _, starts = np.unique(labels.ravel()[places], return_index=True)
    return GapParts(places, starts)
