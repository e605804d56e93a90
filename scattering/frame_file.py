"""Writes detector frames in our own HDF5 layout, the one that `scattering.reading` reads back.

`frames` (N, rows, columns) counts; `invalid`, of the same shape, 1 where there are none; `names`, `groups`,
`categories` (N,); of simulated frames `clean`, noise-free counts; `calibration` (N, fields of `Calibration`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scattering.dataset import RawFrame
from scattering.errors import InputError
from scattering.files import replacing
from scattering.outputs import PROGRAM

NO_DATA = -1
"""What PILATUS detectors write into their gaps, and we into every invalid pixel."""


def write_frames(path: Path, frames: Iterable[RawFrame], count: int, detector: str, source: str = "") -> None:
    """Write the truth of `count` frames of one shape and signed type, one at a time, whole or not at all.

    `source` says what they were made from, for `is_made_from`. Equal frames give equal bytes.
    Raises InputError where the file cannot be written.
    """
    try:
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            file.attrs["detector"] = detector
            # Of fixed length: a damaged variable-length string can crash HDF5.
            file.attrs["program"] = np.bytes_(PROGRAM)
            file.attrs["source"] = np.bytes_(source.encode("utf-8", "surrogateescape"))
            _fill(file, frames, count)
    except OSError as error:
        raise InputError(f"cannot write the frames {path}: {error.strerror or error}") from None


def is_made_from(source: str) -> Callable[[Path], bool]:
    """Return a test for files of frames that we have made from the same source."""

    def is_own(path: Path) -> bool:
        try:
            with h5py.File(path) as file:
                mark = (file.attrs.get("program"), file.attrs.get("source"))
        except OSError:
            return False
        return mark == (PROGRAM.encode(), source.encode("utf-8", "surrogateescape"))

    return is_own


def _fill(file: h5py.File, frames: Iterable[RawFrame], count: int) -> None:
    stream = iter(frames)
    first = next(stream)
    arrays = {"frames": first.truth.dtype, "invalid": np.dtype(np.uint8)}
    if first.clean is not None:
        arrays["clean"] = first.clean.dtype
    stored = {name: _stack(file, name, (count, *first.truth.shape), dtype) for name, dtype in arrays.items()}
    labels: list[tuple[str, str, str]] = []
    calibrations = []
    for number, frame in enumerate(chain([first], stream)):
        stored["frames"][number] = np.where(frame.valid, frame.truth, frame.truth.dtype.type(NO_DATA))
        stored["invalid"][number] = ~frame.valid
        if frame.clean is not None:
            stored["clean"][number] = frame.clean
        labels.append((frame.name, frame.group, frame.category))
        calibrations.append(frame.calibration)
    for name, texts in zip(("names", "groups", "categories"), zip(*labels, strict=True), strict=True):
        _text(file, name, texts)
    calibration = np.array(calibrations, np.float64)
    if not np.isnan(calibration).all():
        file.create_dataset("calibration", data=calibration, track_times=False)


def _stack(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> h5py.Dataset:
    import hdf5plugin

    # Counts become a quarter to a fifth of their size, at the speed of a disk; gzip takes ten times as long.
    return file.create_dataset(
        name, shape, dtype, chunks=(1, *shape[1:]), compression=hdf5plugin.Bitshuffle(), track_times=False
    )


def _text(file: h5py.File, name: str, texts: Sequence[str]) -> None:
    # Of fixed length: a damaged variable-length string can crash HDF5.
    # Names of files need not be UTF-8.
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    dtype = h5py.string_dtype("utf-8", max(1, *map(len, encoded)))
    file.create_dataset(name, data=np.array(encoded, dtype), track_times=False)
