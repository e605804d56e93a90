"""The file of a data set: HDF5, laid out so that frames can be written one by one and read without a copy.

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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from scattering.calibration import Calibration
from scattering.dataset import ARRAYS, LABELS, Bools, Dataset, fingerprint, frame_digest, known_calibration
from scattering.errors import InputError, one_line
from scattering.files import replacing

FORMAT = "gapsearch dataset 3"

PAGE = 4096
"""Arrays begin where memory can be mapped."""

TYPES = {
    "measured": np.float32, "observed": np.bool_, "truth": np.float32, "valid": np.bool_,
    "strips": np.float32, "strips_observed": np.bool_, "clean": np.float32, "calibration": np.float64,
}  # fmt: skip
"""Of each array of frames."""


class Sources(NamedTuple):
    """Where frames come from."""

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
        # Of fixed length, as all text here: damaged variable-length strings can crash HDF5.
        file.attrs["format"] = np.bytes_(FORMAT)
        _add(file, "settings", _text([json.dumps(skeleton.settings)]))
        for name in LABELS:
            _add(file, name, _text(skeleton.labels[name]))
        _add(file, "gap", skeleton.gap)
        _add(file, "strip_starts", np.array(skeleton.strip_starts, np.int64))
        if skeleton.sources.paths:
            _add(file, "sources/path", _text(skeleton.sources.paths))
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


def _text(lines: Sequence[str]) -> npt.NDArray[np.bytes_]:
    # Names of files need not be UTF-8.
    encoded = [line.encode("utf-8", "surrogateescape") for line in lines]
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", max(1, *map(len, encoded))))


def _reserve(path: Path, size: int) -> None:
    """Fail with OSError where `size` bytes do not fit."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, max(size, 1))


class Extent(NamedTuple):
    """Where an array lies in a file."""

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


def _extents(path: Path) -> dict[str, Extent]:
    """Every array of a data set.

    Raises InputError for another format, ValueError for an array that is not all in the file.
    """
    with h5py.File(path, "r") as file:
        if _format(file) != FORMAT:
            raise InputError(f"{path} is not a data set of this version ({FORMAT!r}): prepare it again")
        sources = [f"sources/{name}" for name in file["sources"]] if "sources" in file else []
        return {name: _extent(file, name, path.stat().st_size) for name in (*file, *sources) if name != "sources"}


def _format(file: h5py.File) -> str:
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


class Slots:
    """Places for the frames of a skeleton."""

    def __init__(self, path: Path, file: int) -> None:
        self._extents = _extents(path)
        self._file = file
        self._arrays = [name for name in TYPES if name in self._extents]

    def put(self, frame: int, rows: Mapping[str, npt.NDArray[Any]], digest: bytes) -> None:
        """Write a frame."""
        for name in self._arrays:
            self._write(self._extents[name].row(frame), rows[name])
        self._write(self._extents["digests"].row(frame), np.frombuffer(digest, np.uint8))

    def put_source(self, number: int, sha256: str) -> None:
        """Write the SHA-256 of a source, in hexadecimal."""
        self._write(self._extents["sources/sha256"].row(number), np.array(sha256, "S64"))

    def has_source(self, number: int) -> bool:
        """Whether the SHA-256 of a source was written."""
        return bool(self._read(self._extents["sources/sha256"].row(number)))

    def holds(self, frame: int, labels: Sequence[str]) -> bool:
        """Whether a frame was written whole."""
        rows = {name: self._read(self._extents[name].row(frame)) for name in self._arrays}
        return frame_digest(labels, rows) == self._read(self._extents["digests"].row(frame)).tobytes()

    def finish(self, full_scale: float, skeleton: Skeleton) -> str:
        """Write and return the fingerprint of frames that are all there; all is on the disk then."""
        digests = self._read(self._extents["digests"])
        found = fingerprint(full_scale, skeleton.strip_starts, skeleton.gap, (row.tobytes() for row in digests))
        self._write(self._extents["fingerprint"].row(0), np.array(found, "S64"))
        os.fsync(self._file)
        return found

    def _write(self, extent: Extent, array: npt.NDArray[Any]) -> None:
        if (array.dtype, array.shape) != (extent.dtype, extent.shape):
            raise ValueError(f"{array.dtype} {array.shape} does not fit {extent}")
        left, offset = memoryview(array.tobytes()), extent.offset
        while left:
            written = os.pwrite(self._file, left, offset)
            left, offset = left[written:], offset + written

    def _read(self, extent: Extent) -> npt.NDArray[Any]:
        content = os.pread(self._file, extent.size, extent.offset)
        return np.frombuffer(content, extent.dtype).reshape(extent.shape)


@contextmanager
def slots(path: Path) -> Iterator[Slots]:
    """Open a skeleton for its frames.

    Raises InputError, OSError, KeyError or ValueError for a file that is none.
    """
    file = os.open(path, os.O_RDWR)
    try:
        yield Slots(path, file)
    finally:
        os.close(file)


def write(path: Path, data: Dataset) -> None:
    """Write a data set, whole or not at all.

    Raises InputError where the file cannot be written.
    """
    skeleton = Skeleton(
        data.settings, data.gap, data.strip_starts, {name: getattr(data, name) for name in LABELS},
        row_shapes(data.gap.shape, data.strips.shape[1:], data.clean is not None), Sources(),
    )  # fmt: skip
    try:
        with replacing(path) as temporary:
            create(temporary, skeleton)
            with slots(temporary) as places:
                for frame, digest in enumerate(data.digests()):
                    places.put(frame, data.rows(frame), digest)
                places.finish(data.full_scale, skeleton)
    except OSError as error:
        raise InputError(f"cannot write the data set {path}: {error.strerror or error}") from None


def is_dataset(path: Path) -> bool:
    """Whether a file says that it is a data set, of this version or another."""
    try:
        with h5py.File(path, "r") as file:
            return _format(file).startswith("gapsearch dataset")
    except OSError:
        return False


def read(path: Path) -> Dataset:
    """Read a data set. Its arrays stay in the file, mapped into memory, and cannot be written to.

    Raises InputError for a file that is not a data set, is truncated, or was changed since it was written.
    """
    try:
        arrays = _mapped(path)
        data, digests = _dataset(arrays), arrays["digests"]
        said = [row.tobytes() for row in digests]
        intact = data.digests() == said and arrays["fingerprint"].tolist() == [
            fingerprint(data.full_scale, data.strip_starts, data.gap, said).encode()
        ]
    except InputError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError, RecursionError) as error:
        raise InputError(f"cannot read the data set {path}: {one_line(error)}") from None
    if not intact:
        raise InputError(f"{path} does not match its own fingerprint, it was damaged or edited: prepare it again")
    return data


def _mapped(path: Path) -> dict[str, npt.NDArray[Any]]:
    extents = _extents(path)
    whole = np.memmap(path, np.uint8, "r").view(np.ndarray)
    return {
        name: whole[extent.offset : extent.offset + extent.size].view(extent.dtype).reshape(extent.shape)
        for name, extent in extents.items()
    }


def _dataset(arrays: Mapping[str, npt.NDArray[Any]]) -> Dataset:
    """Put a data set together from its arrays.

    Raises KeyError, TypeError or ValueError where one is missing or they do not fit each other.
    """
    labels = {name: tuple(_lines(arrays[name])) for name in LABELS}
    gap, strips = arrays["gap"], arrays["strips"]
    if gap.ndim != 2 or gap.dtype != np.bool_ or strips.ndim != 5:
        raise ValueError("gap or strips are of another shape")
    rows = row_shapes(gap.shape, strips.shape[1:], "clean" in arrays)
    for name, shape in rows.items():
        array = arrays[name]
        if array.dtype != TYPES[name] or {array.shape} != {(len(lines), *shape) for lines in labels.values()}:
            raise ValueError(f"{name} does not fit the other arrays: {array.dtype} {array.shape}")
    found: dict[str, Any] = labels | {name: arrays[name] for name in ARRAYS}
    return Dataset(
        settings=json.loads(_lines(arrays["settings"])[0]),
        gap=gap,
        strip_starts=tuple(arrays["strip_starts"].tolist()),
        clean=arrays.get("clean"),
        calibration=known_calibration(arrays["calibration"]),
        **found,
    )


def _lines(text: npt.NDArray[Any]) -> list[str]:
    if text.ndim != 1 or text.dtype.kind != "S":
        raise TypeError(f"text is {text.dtype} {text.shape}")
    return [line.decode("utf-8", "surrogateescape") for line in text.tolist()]
