"""The frames of a file, listed at once and read one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scattering.calibration import UNKNOWN, Calibration

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.generic]


class Location(NamedTuple):
    """Where frames lie: a file and, in HDF5, the path of the array; "" where that is to be found."""

    path: Path
    inside: str = ""

    def __str__(self) -> str:
        return f"{self.path}::{self.inside}" if self.inside else str(self.path)


@dataclass(frozen=True)
class Stack:
    """Frames of one shape and type in one file. Nothing is read but what describes them."""

    location: Location
    """With the path of the array found."""
    shape: tuple[int, int]
    """(rows, columns) of each frame."""
    dtype: np.dtype[np.generic]
    names: tuple[str, ...]
    """One a frame, unique among all that is read together: file and number, and what the file calls it."""
    groups: tuple[str, ...]
    """What the file says of each frame's sample or series; "" where it says nothing."""
    categories: tuple[str, ...]
    detector: str = ""
    """What the file says of its detector; "" where it says nothing."""

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.names)


class Recorded(NamedTuple):
    """One frame as its file holds it; all arrays (rows, columns)."""

    counts: Counts
    """In the type of the file."""
    invalid: Bools | None = None
    """The file's own mask: True in gaps, dead and hidden pixels."""
    clean: npt.NDArray[np.floating] | None = None
    """Noise-free counts; files of simulated frames only."""
    calibration: Calibration = UNKNOWN


def open_stacks(patterns: Sequence[str]) -> list[Stack]:
    """List what files, folders, globs and HDF5 paths (`scan.h5::/entry/data/data`) hold, each frame once.

    Raises InputError for a pattern that matches nothing and for a file that cannot be used.
    """
    raise NotImplementedError


def read(stack: Stack, numbers: Sequence[int]) -> Iterator[Recorded]:
    """Read some frames of a stack, in this order; one at a time is in memory.

    Raises InputError for a file that is damaged, or is no longer what was listed.
    """
    raise NotImplementedError
