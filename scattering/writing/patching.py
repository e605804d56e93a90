"""Formats whose counts lie plainly: a copy of the file with nothing but the filled pixels changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from mmap import mmap
from pathlib import Path

import numpy as np

from scattering.errors import InputError
from scattering.reading.pages import Pages
from scattering.writing.filled import Filled


def patch(source: Path, target: Path, pages: Pages, frames: Iterable[Filled]) -> None:
    """Copy a file and write what was filled in its frames, in the byte order of the file.

    Raises InputError where a frame would reach beyond the end of the copy.
    """
    plain = pages.plain
    assert plain is not None
    shutil.copyfile(source, target)
    with target.open("r+b") as file, mmap(file.fileno(), 0) as content:
        for offset, frame in zip(plain.offsets, frames, strict=True):
            try:
                # NumPy checks that all of it lies within the copy.
                stored = np.ndarray(pages.shape, plain.stored, content, offset, plain.strides)
            except (TypeError, ValueError):
                raise InputError(f"{source} must not change meanwhile, got a shorter file: try again") from None
            stored[frame.filled] = frame.counts[frame.filled]
            del stored  # or the file cannot be closed
