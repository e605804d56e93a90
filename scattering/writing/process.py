"""The record of a fill: a NeXus group `gapsearch` (NXprocess) in any HDF5 file.

`filled` (N, rows, columns) 1 where counts were filled; `uncertainty`, of the same shape, counts, NaN elsewhere;
`note`, JSON, of all frames, and `notes` (N,), JSON, of each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import count as numbers
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from scattering.writing.filled import Filled

_GROUP = "gapsearch"


def recorded(
    parent: h5py.Group, frames: Iterable[Filled], count: int, shape: tuple[int, int], note: dict[str, Any]
) -> Iterator[Filled]:
    """Give the frames on as they are, each noted in a new group of `parent`; they must be taken to the last."""
    group = _group(parent, note)
    filled = create(group, "filled", (count, *shape), np.dtype(np.uint8))
    uncertainty = create(group, "uncertainty", (count, *shape), np.dtype(np.float32))
    uncertainty.attrs["units"] = "counts"
    notes = []
    for number, frame in enumerate(frames):
        filled[number], uncertainty[number] = frame.filled, frame.uncertainty
        notes.append(_json(frame.note))
        yield frame
    group.create_dataset("notes", data=_texts(notes), track_times=False)


def is_filled_from(source: str, beside: Path | None = None) -> Callable[[Path], bool]:
    """Return a test for files that we have filled from the same source.

    Its note says so: in the file itself or, where its format holds none, in the one `beside` it.
    """

    def is_own(path: Path) -> bool:
        try:
            with h5py.File(beside or path) as file:
                return any(json.loads(note).get("source") == source for note in _notes(file))
        except (OSError, KeyError, RuntimeError, TypeError, ValueError, AttributeError):
            return False

    return is_own


def _notes(file: h5py.File) -> Iterator[str]:
    """Give the notes of all fills, which stand in the root or in an entry."""
    groups = [file, *(node for node in file.values() if isinstance(node, h5py.Group))]
    for group in groups:
        for name in group:
            if name == _GROUP or name.startswith(f"{_GROUP}_"):
                yield bytes(group[name]["note"][()]).decode("utf-8")


def create(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> h5py.Dataset:
    """Create an array of frames, packed so that any program with HDF5 can read it."""
    return group.create_dataset(
        name, shape, dtype, chunks=(1, *shape[1:]), compression="gzip", compression_opts=1, shuffle=True,
        track_times=False,
    )  # fmt: skip


def _group(parent: h5py.Group, note: dict[str, Any]) -> h5py.Group:
    """Begin a group; what is filled a second time gets a second one."""
    number = next(number for number in numbers(1) if parent.get(_named(number), getlink=True) is None)
    group = parent.create_group(_named(number))
    group.attrs["NX_class"] = "NXprocess"
    for key, text in (("program", "gapsearch"), ("version", _version()), ("note", _json(note))):
        group.create_dataset(key, data=_texts([text])[0], track_times=False)
    group.create_dataset("sequence_index", data=number, track_times=False)
    return group


def _named(number: int) -> str:
    return _GROUP if number == 1 else f"{_GROUP}_{number}"


def _version() -> str:
    try:
        return version("gapsearch")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"


def _json(note: dict[str, Any]) -> str:
    return json.dumps(note, sort_keys=True, allow_nan=False)


def _texts(texts: list[str]) -> npt.NDArray[Any]:
    # Of fixed length: a damaged variable-length string can crash HDF5.
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    return np.array(encoded, h5py.string_dtype("utf-8", max(1, *map(len, encoded))))
