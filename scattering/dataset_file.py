"""The file of a data set: its frames put in their places one by one, and read as they lie there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from scattering.dataset import ARRAYS, LABELS, Dataset, fingerprint, frame_digest, known_calibration
from scattering.dataset_layout import (
    TYPES,
    Extent,
    Skeleton,
    Sources,
    create,
    extents,
    format_of,
    lines,
    row_shapes,
)
from scattering.errors import InputError, one_line
from scattering.files import replacing


class Slots:
    """Places for the frames of a skeleton."""

    def __init__(self, path: Path, file: int) -> None:
        self._extents = extents(path)
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
        """Tell whether the SHA-256 of a source was written."""
        return bool(self._read(self._extents["sources/sha256"].row(number)))

    def holds(self, frame: int, labels: Sequence[str]) -> bool:
        """Tell whether a frame was written whole."""
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
    """Tell whether a file says that it is a data set, of this version or another."""
    try:
        with h5py.File(path, "r") as file:
            return format_of(file).startswith("gapsearch dataset")
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
        found = fingerprint(data.full_scale, data.strip_starts, data.gap, said)
        intact = data.digests() == said and arrays["fingerprint"].tolist() == [found.encode()]
    except InputError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, OverflowError, RecursionError) as error:
        raise InputError(f"cannot read the data set {path}: {one_line(error)}") from None
    if not intact:
        raise InputError(f"{path} does not match its own fingerprint, it was damaged or edited: prepare it again")
    return replace(data, checked=found)


def _mapped(path: Path) -> dict[str, npt.NDArray[Any]]:
    found = extents(path)
    whole = np.memmap(path, np.uint8, "r").view(np.ndarray)
    return {
        name: whole[extent.offset : extent.offset + extent.size].view(extent.dtype).reshape(extent.shape)
        for name, extent in found.items()
    }


def _dataset(arrays: Mapping[str, npt.NDArray[Any]]) -> Dataset:
    """Put a data set together from its arrays.

    Raises KeyError, TypeError or ValueError where one is missing or they do not fit each other.
    """
    labels = {name: tuple(lines(arrays[name])) for name in LABELS}
    gap, strips = arrays["gap"], arrays["strips"]
    if gap.ndim != 2 or gap.dtype != np.bool_ or strips.ndim != 5:
        raise ValueError("gap or strips are of another shape")
    rows = row_shapes(gap.shape, strips.shape[1:], "clean" in arrays)
    for name, shape in rows.items():
        array = arrays[name]
        if array.dtype != TYPES[name] or {array.shape} != {(len(label), *shape) for label in labels.values()}:
            raise ValueError(f"{name} does not fit the other arrays: {array.dtype} {array.shape}")
    found: dict[str, Any] = labels | {name: arrays[name] for name in ARRAYS}
    return Dataset(
        settings=json.loads(lines(arrays["settings"])[0]),
        gap=gap,
        strip_starts=tuple(arrays["strip_starts"].tolist()),
        clean=arrays.get("clean"),
        calibration=known_calibration(arrays["calibration"]),
        **found,
    )
