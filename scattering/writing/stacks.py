"""Filled frames of a file written as a file of the same format, with what was filled and how sure it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from scattering.reading.stacks import Stack
from scattering.writing.filled import Filled

SUFFIXES = (".edf", ".cbf", ".tif", ".tiff", ".npy", ".h5", ".hdf5", ".nxs")
"""Of the formats that can be written from any other."""


def output_paths(stacks: Sequence[Stack], folder: Path) -> list[Path]:
    """Name a file in a folder for each stack: as its source, and where that format cannot be written, `.nxs`.

    Raises InputError where one of the files to be written is among those that are read.
    """
    raise NotImplementedError


def write_filled(stack: Stack, output: Path, frames: Iterable[Filled], note: dict[str, Any]) -> list[Path]:
    """Write all frames of a stack, in order and one at a time, to `output`; return the files written.

    Each file is written whole or not at all.
    Raises InputError where `output` is one of the files read, its format cannot hold the frames, or the source
    changed meanwhile; ValueError for frames that are not those of the stack, or changed where they are not filled.
    """
    raise NotImplementedError
