"""Detector files: HDF5 with `frames` (N, rows, columns) of counts, and optionally

`invalid` of the same shape (non-zero: gap, dead or outside the sensor), `names` (N,), and attributes
`group` (one sample or series; else the file's name) and `category`. Negative and non-finite counts are invalid, and
so is the largest number of an integer type.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from scattering.errors import InputError, one_line


class DetectorFrame(NamedTuple):
    """One frame of a file, as recorded."""

    name: str
    group: str
    category: str
    counts: npt.NDArray[np.generic]
    """(rows, columns)"""
    valid: npt.NDArray[np.bool_]
    """(rows, columns), the detector recorded it."""


def find_files(patterns: Sequence[str]) -> list[Path]:
    """Files that paths, folders (their `*.h5`) and globs stand for, sorted, each once.

    Raises InputError for a pattern that matches nothing.
    """
    found: set[Path] = set()
    for pattern in patterns:
        path = Path(pattern).expanduser()
        matches = (
            list(path.glob("*.h5")) if path.is_dir() else [Path(name) for name in glob(str(path))]  # noqa: PTH207
        )
        if not matches:
            raise InputError(
                f"--data must name HDF5 files, a folder of them or a glob, got {pattern!r}: nothing there"
            )
        found.update(matches)
    return sorted(found)


def frame_shapes(path: Path) -> list[tuple[int, int]]:
    """Shape (rows, columns) of each frame of a file, without reading the frames.

    Raises InputError as `read_frames` does.
    """
    with _open(path) as file:
        count, rows, columns = _frames(file, path).shape
    return [(rows, columns)] * count


def read_frames(path: Path, label: str = "") -> Iterator[DetectorFrame]:
    """Read the frames of one file, one after another; their names begin with `label`, else the file's name.

    Raises InputError for a file that is not HDF5, is truncated, holds no frames, has arrays that do not fit
    each other, or a frame without a single valid pixel.
    """
    with _open(path) as file:
        frames = _frames(file, path)
        invalid = file.get("invalid")
        shape = getattr(invalid, "shape", "none")
        if invalid is not None and shape != frames.shape:
            raise InputError(f"frames and invalid must have one shape, got {frames.shape} and {shape} in {path}")
        names = _names(file)
        if names and len(names) != len(frames):
            raise InputError(f"every frame needs a name, got {len(names)} names for {len(frames)} frames in {path}")
        group, category = str(file.attrs.get("group", label or path.stem)), str(file.attrs.get("category", ""))
        for index in range(len(frames)):
            counts = frames[index]
            valid = np.isfinite(counts) & (counts >= 0)
            if counts.dtype.kind in "iu":
                # Detectors write the largest number into gaps and overflowed pixels.
                valid &= counts != np.iinfo(counts.dtype).max
            if invalid is not None:
                valid &= invalid[index] == 0
            # File and number: names alone repeat within some files.
            name = f"{label or path.stem} {index}" + (f" {Path(names[index]).stem}" if names else "")
            if not valid.any():
                raise InputError(
                    f"every frame needs valid counts, got none (all NaN, negative or invalid) in {name!r}"
                )
            yield DetectorFrame(name, group, category, counts, valid)


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file and turn what HDF5 says of broken ones into one line."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"cannot read {path} as HDF5: {one_line(error)}") from None
    with file:
        try:
            yield file
        except (OSError, KeyError, TypeError, RuntimeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is damaged: {one_line(error)}") from None


def _names(file: h5py.File) -> list[str]:
    names = file.get("names")
    if names is None:
        return []
    if not isinstance(names, h5py.Dataset):
        raise TypeError("names is not an array")
    return [str(name) for name in names.asstr()[()]]


def _frames(file: h5py.File, path: Path) -> h5py.Dataset:
    frames = file.get("frames")
    if not isinstance(frames, h5py.Dataset) or frames.ndim != 3 or 0 in frames.shape:
        shape = getattr(frames, "shape", "none")
        raise InputError(f"{path} must hold `frames` of shape (N, rows, columns) with N of at least 1, got {shape}")
    if frames.dtype.kind not in "iuf":
        raise InputError(f"frames must be numbers (integers or floats), got {frames.dtype} in {path}")
    return frames
