"""EDF, the format of ESRF and Xenocs: frames one after another, each with a header of text.

fabio's reader fills truncated frames with zeros, keeps every frame that it reads, and does not come back from some
damaged headers: only its names of types are used. Format: https://www.silx.org/doc/fabio/latest/, "EDF".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from scattering.arrays import Counts
from scattering.reading.pages import Pages, Plain, Stated, count_type, enough, frame_shape

_SHORT_HEADER, _LONGEST_HEADER = 2**13, 2**18
_HEADER = re.compile(rb"\s*\{(.*?)\}\r?\n", re.DOTALL)
_DETECTOR_KEYS = ("detector", "detectorname", "detector_name", "detectormodel", "det_model")


_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_TENTH = 0.1


class _Frame(NamedTuple):
    """Place and type of the counts of one frame."""

    begin: int
    shape: tuple[int, int]
    stored: np.dtype[np.generic]


def open_edf(path: Path) -> Pages:
    """Read the headers of an EDF file.

    Raises ValueError or KeyError for a damaged one, frames of several shapes, compressed ones, and ones kept in
    another file.
    """
    with path.open("rb") as file:
        headers = list(_headers(file))
    if not headers:
        raise ValueError("no frame follows the header")
    frames = [_frame(begin, fields) for begin, fields in headers]
    first = frames[0]
    if any((frame.shape, frame.stored) != (first.shape, first.stored) for frame in frames):
        raise ValueError("the frames of a file must have one shape and type")
    pixels, dtype = math.prod(first.shape), count_type(first.stored)
    enough(path.stat().st_size, frames[-1].begin + pixels * dtype.itemsize)

    def frame(number: int) -> Counts:
        counts = np.fromfile(path, first.stored, pixels, offset=frames[number].begin)
        return counts.reshape(first.shape).astype(dtype, copy=False)

    detector = next((headers[0][1][key] for key in _DETECTOR_KEYS if headers[0][1].get(key)), "")
    plain = Plain(tuple(frame.begin for frame in frames), first.stored)
    told = [_stated(fields) for _, fields in headers]
    return Pages(len(frames), first.shape, dtype, frame, detector, ".edf", plain, told.__getitem__)


def _headers(file: BinaryIO) -> Iterator[tuple[int, dict[str, str]]]:
    """Give, for each frame, where its counts begin and the fields of its header, keys in lower case."""
    position, common = 0, dict[str, str]()
    while True:
        file.seek(position)
        block = file.read(_SHORT_HEADER)
        if not block.strip(b"\0 \t\r\n"):
            return
        found = _HEADER.match(block) or _HEADER.match(block + file.read(_LONGEST_HEADER))
        if not found:
            raise ValueError(f"no header of a frame is at byte {position}")
        fields = _fields(found[1])
        begin = position + found.end()
        if "edf_dataformatversion" in fields:  # of all frames, which follow
            common, size = fields, int(fields.get("edf_binarysize", 0))
        else:
            fields = common | fields
            size = _size(fields)
            yield begin, fields
        if size < 0:
            raise ValueError(f"counts must take bytes, got {size}")
        position = begin + size


def _fields(header: bytes) -> dict[str, str]:
    lines = (line.partition("=") for line in header.decode("latin-1").split(";"))
    return {key.strip("\0 \t\r\n").lower(): value.strip("\0 \t\r\n") for key, equals, value in lines if equals}


def _frame(begin: int, fields: dict[str, str]) -> _Frame:
    from fabio.edfimage import DATA_TYPES

    if not fields.get("compression", "none").lower().startswith("no") or "edf_binaryfilename" in fields:
        raise ValueError("frames must not be compressed, nor kept in another file")
    if int(fields.get("dim_3", 1)) != 1:
        raise ValueError("frames must have rows and columns, got a third dimension")
    order = {"low": "<", "high": ">"}[fields["byteorder"].lower().removesuffix("bytefirst")]
    return _Frame(begin, _shape(fields), np.dtype(DATA_TYPES[fields["datatype"]]).newbyteorder(order))


def _stated(fields: dict[str, str]) -> Stated:
    """Return what `Dummy` and `DDummy` say: which number stands for no data, and how far from it one still does.

    As the SAXS programs of the ESRF have it, a dummy of 0 is none; without `DDummy` it is a tenth, or what single
    precision leaves of large numbers.
    """
    dummy, tolerance = (_number(fields.get(key, "")) for key in ("dummy", "ddummy"))
    if dummy is None:
        return Stated()
    if tolerance is None:
        tolerance = max(_TENTH, 1e-5 * abs(dummy))
    return Stated(((dummy, tolerance),)) if abs(dummy) > max(tolerance, _TENTH) else Stated()


def _number(text: str) -> float | None:
    """Return the number that a field begins with, a unit may follow; None where there is none."""
    found = _NUMBER.match(text.strip())
    return float(found[0]) if found else None


def _size(fields: dict[str, str]) -> int:
    """Bytes from the counts of a frame to the next header."""
    from fabio.edfimage import DATA_TYPES

    needed = math.prod(_shape(fields)) * np.dtype(DATA_TYPES[fields["datatype"]]).itemsize
    declared = int(fields.get("edf_binarysize") or fields.get("size") or needed)
    enough(declared, needed)
    return declared


def _shape(fields: dict[str, str]) -> tuple[int, int]:
    return frame_shape((int(fields["dim_2"]), int(fields["dim_1"])))
