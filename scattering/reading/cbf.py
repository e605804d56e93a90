"""CBF, as PILATUS detectors write it: one frame, compressed by differences of neighbours."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scattering.arrays import Counts
from scattering.reading.pages import Pages, count_type, enough, frame_shape, stated_by_pilatus

_BINARY_STARTS = b"\x0c\x1a\x04\xd5"
_USUAL_HEADER = 2**14
_LONGEST_HEADER = 2**18
_NAME = re.compile(r"[\w-]+")
_DETECTOR = re.compile(r"^#\s*Detector:\s*([^\r\n]+)", re.MULTILINE)
_PADDING = bytes(16)
"""fabio's decoder reads up to 14 bytes beyond a damaged end."""


class Section(NamedTuple):
    """The binary section of a file: what its header says, and where its bytes are."""

    text: str
    """All that comes before its bytes begin, without the mark of it."""
    fields: dict[str, str]
    begin: int
    size: int
    shape: tuple[int, int]
    dtype: np.dtype[np.generic]


def open_cbf(path: Path) -> Pages:
    """Read the header of a CBF file.

    Raises ValueError or KeyError for a damaged one, and for compressions other than byte offsets.
    """
    text, fields, begin, size, shape, dtype = find_section(path)
    checksum = fields.get("Content-MD5")

    def frame(_: int) -> Counts:
        with path.open("rb") as file:
            file.seek(begin)
            packed = file.read(size)
        if checksum and md5(packed) != checksum:
            raise ValueError("the checksum (Content-MD5) does not fit the counts")
        return _unpack(packed, math.prod(shape), dtype).reshape(shape)

    named, stated = _DETECTOR.search(text), stated_by_pilatus(text)
    return Pages(1, shape, dtype, frame, named[1].strip() if named else "", ".cbf", stated=lambda _: stated)


def find_section(path: Path) -> Section:
    """Read the header of the counts.

    Raises ValueError or KeyError for a damaged one, and for compressions other than byte offsets.
    """
    from fabio.cbfimage import DATA_TYPES

    with path.open("rb") as file:
        head = file.read(_USUAL_HEADER)
        if _BINARY_STARTS not in head:
            head += file.read(_LONGEST_HEADER)
    start = head.find(_BINARY_STARTS)
    if start < 0:
        raise ValueError("no binary section follows the header")
    text = head[:start].decode("latin-1")
    fields = dict(_fields(text[text.find("--CIF-BINARY-FORMAT-SECTION--") :]))
    if fields["conversions"] != "x-CBF_BYTE_OFFSET" or fields.get("X-Binary-Size-Third-Dimension", "1") not in "01":
        raise ValueError("only single frames compressed by x-CBF_BYTE_OFFSET can be read")
    shape = frame_shape([int(fields[f"X-Binary-Size-{axis}-Dimension"]) for axis in ("Second", "Fastest")])
    dtype = count_type(DATA_TYPES[fields["X-Binary-Element-Type"]])
    begin, size = start + len(_BINARY_STARTS), int(fields["X-Binary-Size"])
    enough(path.stat().st_size - begin, size)
    return Section(text, fields, begin, size, shape, dtype)


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Give the names and values of a header's lines, in time that grows with its length alone."""
    for line in text.split("\n"):
        name, value = min((line.partition(sign)[::2] for sign in ":="), key=lambda parts: len(parts[0]))
        value = value.strip(" \t\r").removesuffix(";").removeprefix('"').removesuffix('"')
        if _NAME.fullmatch(name := name.strip(" \t")) and '"' not in value and len(name) < len(line):
            yield name, value


def md5(packed: bytes) -> str:
    """Return the checksum of counts as headers give it."""
    return base64.b64encode(hashlib.md5(packed, usedforsecurity=False).digest()).decode()


def _unpack(packed: bytes, pixels: int, dtype: np.dtype[np.generic]) -> Counts:
    """Undo the byte offset compression."""
    from fabio.compression import decByteOffset

    # The padding decodes to one number a byte, which tells whether the counts end where the stream does.
    numbers = np.asarray(decByteOffset(packed + _PADDING, size=pixels + len(_PADDING) + 1, dtype=str(dtype)))
    if len(numbers) != pixels + len(_PADDING):
        raise ValueError(f"{pixels} counts are declared, {len(numbers) - len(_PADDING)} are there")
    return numbers[:pixels].astype(dtype)
