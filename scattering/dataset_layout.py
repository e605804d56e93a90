"""Layout of the file of a data set: HDF5, so that frames can be written one by one and read without a copy.

Every array lies in one piece at a place that is known before the first frame is prepared. Until then the file is a
skeleton; rows are put into it without HDF5, so that it stays sound HDF5 whenever the writing ends.

    attribute format        FORMAT
    settings                JSON: what made these frames
    names, groups, categories, parts    (N,) text
    gap, strip_starts, measured, observed, truth, valid, strips, strips_observed, clean, calibration
                            as in `scattering.dataset.Dataset`; `calibration` is NaN where unknown
    digests (N, 32)         SHA-256 of each frame, see `scattering.dataset.frame_digest`
    fingerprint             see `scattering.dataset.fingerprint`
    sources/path, sources/sha256 (M,)   the files that the frames were read from
    sources/frames (N, 2)   the file of each frame, and its number in there
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from scattering.arrays import Bools
from scattering.calibration import Calibration
from scattering.dataset import LABELS
from scattering.errors import InputError

FORMAT = "gapsearch dataset 3"

PAGE = 4096
"""Arrays begin where memory can be mapped."""

TYPES = {
    "measured": np.float32, "observed": np.bool_, "truth": np.float32, "valid": np.bool_,
    "strips": np.float32, "strips_observed": np.bool_, "clean": np.float32, "calibration": np.float64,
}  # fmt: skip
"""Of each array of frames."""


class Sources(NamedTuple):
    """The sources of frames."""

    paths: tuple[str, ...] = ()
    """As the user gave them."""
    frames: tuple[tuple[int, int], ...] = ()
    """The file of each frame, and its number in there."""


@dataclass(frozen=True)
class Skeleton:
    """All that is known before the first frame is prepared."""

    settings: dict[str, Any]
    gap: Bools
    strip_starts: tuple[int, ...]
    labels: dict[str, tuple[str, ...]]
    """By the names in LABELS, one a frame."""
    rows: dict[str, tuple[int, ...]]
    """Shape of a frame's row of each array."""
    sources: Sources

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.labels["names"])

    @property
    def size(self) -> int:
        """Bytes of the frames."""
        return len(self) * sum(prod(shape) * np.dtype(TYPES[name]).itemsize for name, shape in self.rows.items())


def row_shapes(shape: tuple[int, int], strips: tuple[int, ...], clean: bool) -> dict[str, tuple[int, ...]]:
    """Shapes of the rows of frames of `shape`, whose `strips` are (P, F, H, S); `clean`: simulated ones."""
    plain = ("measured", "observed", "truth", "valid", *(["clean"] if clean else []))
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(plain, shape)
    return shapes | {"strips": strips, "strips_observed": strips, "calibration": (len(Calibration._fields),)}


def create(path: Path, skeleton: Skeleton) -> None:
    """Write the skeleton of a data set, with room for its frames.

    Raises OSError where there is none.
    """
    # HDF5 may crash the process on a full disk.
    _reserve(path, skeleton.size)
    with h5py.File(path, "w", alignment_threshold=PAGE, alignment_interval=PAGE) as file:
        # Of fixed length, too.
        file.attrs["format"] = np.bytes_(FORMAT)
        _add(file, "settings", text([json.dumps(skeleton.settings)]))
        for name in LABELS:
            _add(file, name, text(skeleton.labels[name]))
        _add(file, "gap", skeleton.gap)
        _add(file, "strip_starts", np.array(skeleton.strip_starts, np.int64))
        if skeleton.sources.paths:
            _add(file, "sources/path", text(skeleton.sources.paths))
            _add(file, "sources/frames", np.array(skeleton.sources.frames, np.int64))
            _add(file, "sources/sha256", np.zeros(len(skeleton.sources.paths), "S64"))
        _add(file, "digests", np.zeros((len(skeleton), 32), np.uint8))
        _add(file, "fingerprint", np.zeros(1, "S64"))
        for name, shape in skeleton.rows.items():
            _allocate(file, name, (len(skeleton), *shape), np.dtype(TYPES[name]))
    _reserve(path, path.stat().st_size)


def _add(file: h5py.File, name: str, array: npt.NDArray[Any]) -> None:
    place = _allocate(file, name, array.shape, array.dtype)
    if array.size:
        place[...] = array


def _allocate(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> h5py.Dataset:
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_layout(h5py.h5d.CONTIGUOUS)
    made.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    made.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    made.set_obj_track_times(False)
    return file.create_dataset(name, shape, dtype, dcpl=made)


def text(lines: Sequence[str]) -> npt.NDArray[np.bytes_]:
    """Text of fixed length: a damaged one of variable length can crash HDF5."""
    # Names of files need not be UTF-8.
    encoded = [line.encode("utf-8", "surrogateescape") for line in lines]
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", max(1, *map(len, encoded))))


def lines(array: npt.NDArray[Any]) -> list[str]:
    """Undo `text`.

    Raises TypeError for an array that is none.
    """
    if array.ndim != 1 or array.dtype.kind != "S":
        raise TypeError(f"text is {array.dtype} {array.shape}")
    return [line.decode("utf-8", "surrogateescape") for line in array.tolist()]


def source_paths(path: Path) -> tuple[str, ...] | None:
    """Return the paths that a data set was prepared from; None for a file that is no data set."""
    try:
        with h5py.File(path) as file:
            if not bytes(file.attrs.get("format", b"")).startswith(b"gapsearch dataset"):
                return None
            return tuple(lines(file["sources/path"][()])) if "sources/path" in file else ()
    except (OSError, KeyError, TypeError, ValueError, RuntimeError):
        return None


def _reserve(path: Path, size: int) -> None:
    """Fail with OSError where `size` bytes do not fit."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        path.touch()
        # Not for appending: where a file system cannot reserve, glibc writes at places, and fails with EBADF.
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, max(size, 1))


class Extent(NamedTuple):
    """The place of an array in a file."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return prod(self.shape) * self.dtype.itemsize

    def row(self, number: int) -> Extent:
        """One entry along the first axis."""
        shape = self.shape[1:]
        return Extent(self.offset + number * prod(shape) * self.dtype.itemsize, self.dtype, shape)


def extents(path: Path) -> dict[str, Extent]:
    """Every array of a data set.

    Raises InputError for another format, ValueError for an array that is not all in the file.
    """
    with h5py.File(path, "r") as file:
        if format_of(file) != FORMAT:
            raise InputError(f"{path} is not a data set of this version ({FORMAT!r}): prepare it again")
        sources = [f"sources/{name}" for name in file["sources"]] if "sources" in file else []
        return {name: _extent(file, name, path.stat().st_size) for name in (*file, *sources) if name != "sources"}


def format_of(file: h5py.File) -> str:
    """Return the format that an HDF5 file states; "" where it states none."""
    found = file.attrs.get("format", b"")
    return found.decode("ascii", "replace") if isinstance(found, bytes) else str(found)


def _extent(file: h5py.File, name: str, end: int) -> Extent:
    array = file[name]
    if not isinstance(array, h5py.Dataset) or array.dtype.hasobject or array.shape is None:
        raise ValueError(f"{name} is no array")
    extent = Extent(array.id.get_offset() or 0, np.dtype(array.dtype.str), array.shape)
    if extent.size and not 0 < extent.offset <= end - extent.size:
        raise ValueError(f"{name} of shape {array.shape} is not all in the file")
    return extent
