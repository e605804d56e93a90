"""Pixels of a frame that hold counts, told apart from codes for gaps, dead pixels and full counters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scattering.arrays import Bools, Counts
from scattering.reading.pages import NOTHING, Stated

LARGEST = 2**31 - 1
"""No counter counts so far, whatever the type: 2**31 - 1 and 2**32 - 1 are codes, also in floats, and so are -1 and
-2 read without their sign. The largest number of a narrower type is one, too."""

FULL_COUNTERS = (2**20 - 1, 2**16 - 1)
"""Counters of PILATUS (20 bits) and of 16-bit detectors when full. In a wider type they are counts like any other
where a valid pixel holds more."""


def recorded(
    counts: Counts,
    invalid: Bools | None = None,
    hidden: Bools | None = None,
    stated: Stated = NOTHING,
    *,
    below_zero: bool = False,
) -> Bools:
    """Tell counts from codes, for (rows, columns): True where a pixel was read, and was not full.

    Codes are negative whole numbers, NaN and infinity, and what full counters hold. Negative fractions are noise
    about zero, left by a subtracted background; so are negative whole floats of a file with a mask of its own,
    `invalid`, outside of it: a pedestal was subtracted from whole counts. Negative whole numbers are counts, too,
    where the file has `stated` which of them are codes, or with `below_zero`: see `survey.background`. Then codes are
    those that no counter counts, and one that stands all over the pixels that are `hidden` and below all others;
    which pixels are `hidden` is as in `full`.
    """
    values: npt.NDArray[Any] = counts
    if stated.tells_negatives:
        negative = values <= lowest(values.dtype)
    elif below_zero:
        negative = values <= max(lowest(values.dtype), _code_below(values, hidden))
    elif values.dtype.kind == "f":
        negative = (values < 0) & (values == np.trunc(values) if invalid is None else False)
    else:
        negative = values < 0
    counted = np.asarray(np.isfinite(values) & ~negative & ~full(counts, hidden, stated))
    return counted if invalid is None else counted & ~invalid


def lowest(dtype: np.dtype[Any]) -> float:
    """Return the number of a type that is a code, and so is all below it, even where noise is."""
    return float(np.iinfo(dtype).min) if dtype.kind == "i" and dtype.itemsize <= 2 else float(-LARGEST)


def _code_below(values: npt.NDArray[Any], hidden: Bools | None) -> float:
    """Return the number in all pixels that are hidden if it is below all others, else minus infinity."""
    inside = values[hidden] if hidden is not None else values[:0]
    if not inside.size or not (inside == inside.flat[0]).all() or not inside.flat[0] < 0:
        return -math.inf
    others = values.min(where=np.isfinite(values) & (values != inside.flat[0]), initial=0)
    return float(inside.flat[0]) if others > inside.flat[0] else -math.inf


def full(counts: Counts, hidden: Bools | None = None, stated: Stated = NOTHING) -> Bools:
    """Pixels of (rows, columns) that hold what full counters do, or more than the file has stated to be valid.

    Many files write the same into gaps, and one less into pixels that are switched off, which then is far above all
    counts.
    Which counter it is, is told without the pixels that are `hidden`: what a network sees must not depend on the
    counts that it is to predict.
    """
    values: npt.NDArray[Any] = counts
    info: Any = np.finfo(values.dtype) if values.dtype.kind == "f" else np.iinfo(values.dtype)
    top = min(LARGEST, info.max)
    found = np.asarray(values >= top)
    seen = np.isfinite(values) & ~found
    if hidden is not None:
        seen &= ~hidden
    wide = values.dtype.itemsize > 2
    highest = values.max(where=seen, initial=0)
    if wide and highest in FULL_COUNTERS:
        found |= values == highest
        seen &= ~found
        highest = values.max(where=seen, initial=0)
    tops = FULL_COUNTERS if wide else (top,) if values.dtype.kind == "u" else ()
    if highest + 1.0 in tops and 2.0 * values.max(where=seen & (values < highest), initial=0) < highest:
        found |= values == highest
    return found | (values > stated.largest) if stated.largest < math.inf else found


def switched_off(counts: Counts, gap: Bools | None = None) -> int | None:
    """Return what an EIGER detector writes into pixels that are switched off, where its counts have few bits.

    It is one less than what it writes into gaps: the largest number of its counts, which may have been kept in a
    wider type. Without `gap` that of the type is taken.
    """
    values: npt.NDArray[Any] = counts
    inside = values[gap] if gap is not None else values[:0]
    for bits in (8, 16):
        if (inside.size and (inside == 2**bits - 1).all()) or values.dtype == np.dtype(f"u{bits // 8}"):
            return 2**bits - 2
    return None


def measured(
    counts: Counts,
    gap: Bools,
    invalid: Bools | None = None,
    stated: Stated = NOTHING,
    *,
    below_zero: bool = False,
) -> tuple[Bools, Bools]:
    """Tell which pixels of (rows, columns) were measured, and which of these only as more than a counter can hold.

    What a counter writes when it is full lies in gaps, too: there, and in the file's own mask `invalid`, it is a
    code. What no counter holds is a code wherever it is. `stated` and `below_zero` are as in `recorded`.
    """
    values: npt.NDArray[Any] = counts
    none = gap if invalid is None else gap | invalid
    saturated = full(values, gap, stated) & (values < LARGEST) & ~none
    return recorded(counts, invalid, gap, stated, below_zero=below_zero) | saturated, saturated


def is_round(counts: npt.NDArray[Any]) -> bool:
    """Tell whether squares in all four corners hold nothing but 0, and the middle pixels do not: a round sensor."""
    side = max(1, min(counts.shape) // 20)
    ends = (slice(side), slice(-side, None))
    corners = [counts[rows, columns] for rows in ends for columns in ends]
    return bool(np.median(counts) != 0 and not np.any(corners))


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
