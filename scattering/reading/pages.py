"""Contents of files of any format, and the limits of all formats."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scattering.arrays import Bools, Counts
from scattering.calibration import UNKNOWN, Calibration

_MOST_PIXELS = 2**28
"""Sixteen times the largest detector: a header that says more lies, and would take all memory."""


class Plain(NamedTuple):
    """The place of counts that lie in a file pixel by pixel, unpacked."""

    offsets: tuple[int, ...]
    """Bytes from the begin of the file to the first pixel of each frame."""
    stored: np.dtype[np.generic]
    """With the byte order of the file."""
    strides: tuple[int, int] | None = None
    """Bytes from row to row and from column to column; None where rows follow one another."""


class Stated(NamedTuple):
    """The statements of a file on the numbers in a frame."""

    no_data: tuple[tuple[float, float], ...] = ()
    """Numbers that mean that there are no data, and how far from each a number still does."""
    least: float = -math.inf
    """The least number that is a valid count,"""
    largest: float = math.inf
    """and the largest one: beyond it the detector is saturated."""

    @property
    def tells_negatives(self) -> bool:
        """Tell whether it says which of the numbers below 0 are counts."""
        return self.least > -math.inf or any(value < 0 for value, _ in self.no_data)

    def invalid(self, counts: Counts) -> Bools | None:
        """Tell what of a frame, (rows, columns), is no count by this; None where nothing is said."""
        values: npt.NDArray[Any] = counts
        found = [values < self.least] if self.least > -math.inf else []
        for value, tolerance in self.no_data:
            # Of integers without a sign, whose differences have none.
            found.append((values >= value - tolerance) & (values <= value + tolerance))
        return np.asarray(np.logical_or.reduce(found)) if found else None


NOTHING = Stated()
"""What most files say."""

_CUTOFF = re.compile(r"^#?\s*Count_cutoff[\s:=]+(\d+)", re.MULTILINE)


def stated_by_pilatus(header: str) -> Stated:
    """Return what the text that PILATUS detectors write into each file says: at its cutoff a counter is full."""
    cutoff = _CUTOFF.search(header)
    return Stated(largest=int(cutoff[1]) - 1) if cutoff else NOTHING


@dataclass(frozen=True)
class Pages:
    """The frames of one image file, all of one shape and type. Only headers are read until a frame is asked for."""

    count: int
    shape: tuple[int, int]
    """(rows, columns)"""
    dtype: np.dtype[np.generic]
    frame: Callable[[int], Counts]
    """Reads the counts of a frame by its number; raises whatever the decoder raises."""
    detector: str = ""
    """What the file says of its detector."""
    format: str = ""
    """The suffix that files of this format usually have."""
    plain: Plain | None = None
    """None where counts are packed."""
    stated: Callable[[int], Stated] = lambda _: NOTHING
    """What the file says of the numbers in a frame, by its number."""


class Recorded(NamedTuple):
    """One frame as its file holds it; all arrays (rows, columns)."""

    counts: Counts
    """In the type of the file."""
    invalid: Bools | None = None
    """What is no count by the file's own masks and by what it states: gaps, dead and hidden pixels."""
    clean: npt.NDArray[np.floating] | None = None
    """Noise-free counts; files of simulated frames only."""
    calibration: Calibration = UNKNOWN
    stated: Stated = NOTHING


def either(one: Bools | None, other: Bools | None) -> Bools | None:
    """Return what is True in one of two images, of which there may be none."""
    return other if one is None else one if other is None else one | other


def frame_shape(shape: Sequence[int]) -> tuple[int, int]:
    """Return (rows, columns) as declared by a file, or raise ValueError where no frame can have it."""
    if len(shape) != 2 or min(shape) < 1 or math.prod(shape) > _MOST_PIXELS:
        declared = " x ".join(str(size) for size in shape) or "nothing"
        raise ValueError(f"frames must have rows and columns, at most {_MOST_PIXELS} pixels, got {declared}")
    return int(shape[0]), int(shape[1])


def count_type(dtype: npt.DTypeLike) -> np.dtype[np.generic]:
    """Return the type of counts in the byte order of this machine, or raise ValueError for what counts nothing."""
    declared = np.dtype(dtype)
    if declared.kind not in "iuf":
        raise ValueError(f"frames must be numbers (integers or floats), got {declared}")
    return declared.newbyteorder("=")


def enough(available: int, needed: int) -> None:
    """Raise ValueError where a file is shorter than its header says; decoders fill the rest with zeros."""
    if needed > available:
        raise ValueError(f"truncated: {needed} bytes are declared, {available} are there")
