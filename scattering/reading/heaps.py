"""Damaged texts in HDF5 files, found before the HDF5 library sees them: it does not come back from some (2.0.0).

Texts of any length lie in global heaps; where a damaged size leads to one of 0, the library reads it for ever.
Layout: HDF5 File Format Specification, III.E, "Level 1E - Global Heap".
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_MARK = b"GCOL\x01\0\0\0"
_COLLECTION = struct.Struct("<8sQ")
_OBJECT = struct.Struct("<HHIQ")
_LARGEST = 2**24
"""Bytes of a file that is searched: to list a larger one must not take reading all of it, and a heap is a tiny part
of what may be damaged there."""


def check_heaps(path: Path) -> None:
    """Raise ValueError for a file with a damaged global heap, or an empty one."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if len(content) > _LARGEST:
            return
        start = content.find(_MARK)
        while start >= 0:
            _check(content, start)
            start = content.find(_MARK, start + len(_MARK))


def _check(content: mmap.mmap, start: int) -> None:
    """Walk through the objects of one heap."""
    if start + _COLLECTION.size > len(content):
        return
    _, size = _COLLECTION.unpack_from(content, start)
    place, end = start + _COLLECTION.size, start + size
    # A heap that reaches beyond the file is found by the library, or is no heap but counts that look so.
    while place + _OBJECT.size <= end <= len(content):
        index, _, _, taken = _OBJECT.unpack_from(content, place)
        # Object 0 is what is free, its header included; the others are padded to 8 bytes.
        step = taken if index == 0 else _OBJECT.size + -(-taken // 8) * 8
        if step == 0 or place + step > end:
            raise ValueError("the heap of its texts is damaged")
        place += step
