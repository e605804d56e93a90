"""Mar345 image plates: one frame, packed by differences of neighbours in blocks of few bits.

Format: rayonix.com, "The mar345 image formats"; the packing is J. P. Abrahams', as CCP4 has it.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scattering.arrays import Counts
from scattering.reading.pages import Pages, enough, frame_shape

Places = npt.NDArray[np.int64]

_HEADER = 4096
_PACKED = re.compile(rb"\nCCP4 packed image, X: (\d{4}), Y: (\d{4})\n")
_BITS = (0, 4, 5, 6, 7, 8, 16, 32)
"""Bits of each number of a block, by the code in its header."""
_BLOCK_HEADER = 6
"""Bits: three for how many numbers follow, as a power of 2, three for their size."""
_MARK = 1234
"""The first number of every file; it tells the byte order."""


def open_mar345(path: Path) -> Pages:
    """Read the header of a mar345 file.

    Raises ValueError for a damaged one, or one that is not packed.
    """
    with path.open("rb") as file:
        head = file.read(64)
    enough(path.stat().st_size, _HEADER)
    order = "<" if np.frombuffer(head, "<i4", 1)[0] == _MARK else ">"
    numbers = np.frombuffer(head, f"{order}i4")
    columns, high, pixels = (int(numbers[place]) for place in (1, 2, 5))
    if columns < 3 or pixels % columns or pixels < 2 * columns or not 0 <= high <= pixels:
        raise ValueError(f"{pixels} pixels in rows of {columns}, {high} of them high, cannot be")
    shape = frame_shape((pixels // columns, columns))

    def frame(_: int) -> Counts:
        content = path.read_bytes()
        found = _PACKED.search(content, _HEADER)
        if not found or (int(found[2]), int(found[1])) != shape:
            raise ValueError(f"no packed image of {shape[0]} x {shape[1]} pixels follows the header")
        counts = _unpack(content[found.end() :], shape)
        # Counts above 16 bits stand apart: pairs of a pixel's number, from 1, and its counts.
        pairs = np.frombuffer(content, f"{order}i4", 2 * high, _HEADER).reshape(high, 2)
        if high and not 1 <= pairs[:, 0].min() <= pairs[:, 0].max() <= pixels:
            raise ValueError("the list of high counts names pixels outside the frame")
        counts[pairs[:, 0] - 1] = pairs[:, 1]
        return counts.reshape(shape)

    return Pages(1, shape, np.dtype(np.uint32), frame, "Mar345", ".mar2300")


def _unpack(packed: bytes, shape: tuple[int, int]) -> Counts:
    """Undo the packing; (pixels,)."""
    from fabio.ext import mar345_IO

    differences = _differences(packed, math.prod(shape))
    # fabio leaves the sign of the upper half in the first row.
    return np.asarray(mar345_IO.postdec(differences, shape[1])).astype(np.uint32) & np.uint32(0xFFFF)


def _differences(packed: bytes, pixels: int) -> npt.NDArray[np.int32]:
    """Read the packed numbers; (pixels,). fabio's own reader trusts the blocks, and takes 32 bits for none."""
    starts, sizes, bits = _blocks(packed, pixels)
    # Where each number begins, in bits.
    first = np.repeat(starts - bits * (np.cumsum(sizes) - sizes), sizes)
    widths = np.repeat(bits, sizes)
    places = first + widths * np.arange(pixels)
    stream = np.frombuffer(packed + bytes(8), np.uint8)
    words = np.zeros(pixels, np.int64)
    for byte in range(5):
        words |= stream[(places >> 3) + byte].astype(np.int64) << (8 * byte)
    # Two's complement of so many bits: pushed to the top and back, the sign is kept.
    unused = 64 - widths
    signed = (words >> (places & 7)) << np.minimum(unused, 63) >> np.minimum(unused, 63)
    return np.where(widths == 0, 0, signed).astype(np.int32)


def _blocks(packed: bytes, pixels: int) -> tuple[Places, Places, Places]:
    """Find the blocks: where the numbers of each begin, how many they are, and their bits.

    Raises ValueError unless the blocks end with the frame.
    """
    starts, sizes, widths = [], [], []
    unpacked = bit = 0
    end = 8 * len(packed)
    while unpacked < pixels and bit + _BLOCK_HEADER <= end:
        header = int.from_bytes(packed[bit >> 3 : (bit >> 3) + 2], "little") >> (bit & 7)
        numbers, width = 1 << (header & 7), _BITS[header >> 3 & 7]
        starts.append(bit + _BLOCK_HEADER)
        sizes.append(numbers)
        widths.append(width)
        bit += _BLOCK_HEADER + numbers * width
        unpacked += numbers
    if unpacked != pixels or bit > end:
        raise ValueError(f"{pixels} counts are declared, {unpacked} are there")
    return np.array(starts), np.array(sizes), np.array(widths)
