"""CBF: the header kept as it is, the counts packed anew."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from scattering.arrays import Counts
from scattering.reading.cbf import find_section, md5

_SHORTEST = 127
"""The largest difference that takes one byte."""
_ESCAPES = {2: b"\x80", 4: b"\x80\0\x80", 8: b"\x80\0\x80\0\0\0\x80"}
"""What comes before differences of 2, 4 and 8 bytes."""


def write_cbf(source: Path, target: Path, counts: Counts) -> None:
    """Write a copy of a file with other counts of the same type: all is the same but these, their size and checksum.

    Raises ValueError or KeyError for a source that is damaged.
    """
    section = find_section(source)
    packed = pack(counts)
    content = source.read_bytes()
    head, tail = content[: section.begin], content[section.begin + section.size :]
    for key, value in (("X-Binary-Size", str(len(packed))), ("Content-MD5", md5(packed))):
        head = _replaced(head, key, value.encode())
    target.write_bytes(head + packed + tail)


def pack(counts: Counts) -> bytes:
    """Compress integers by byte offsets: differences of neighbours, each in as few bytes as hold it.

    fabio's encoder loses differences of signed counts that need more than 32 bits.
    """
    # Modulo 2^64, or 2^32 as decoders of 32-bit counts sum them up: they know no longer ones.
    summed = np.int32 if counts.dtype == np.int32 else np.int64
    differences = np.diff(counts.ravel().astype(summed), prepend=summed(0))
    long = np.flatnonzero((differences < -_SHORTEST) | (differences > _SHORTEST))
    widths = np.full(len(long), 8)
    for width in (4, 2):
        largest = 2 ** (8 * width - 1) - 1
        widths[(differences[long] >= -largest) & (differences[long] <= largest)] = width
    # Each takes its escapes, which are as many bytes but one, and itself, instead of one byte.
    extra = 2 * widths - 2
    starts = long + np.cumsum(extra) - extra
    packed = np.zeros(differences.size + int(extra.sum()), np.uint8)
    short = np.ones(packed.shape, np.bool_)
    for width, escape in _ESCAPES.items():
        of_width = widths == width
        places = starts[of_width, None] + np.arange(len(escape) + width)
        longer = differences[long[of_width]].astype(f"<i{width}").view(np.uint8).reshape(-1, width)
        packed[places[:, : len(escape)]] = np.frombuffer(escape, np.uint8)
        packed[places[:, len(escape) :]] = longer
        short[places] = False
    packed[short] = np.delete(differences, long).astype(np.int8).view(np.uint8)
    return packed.tobytes()


def _replaced(head: bytes, key: str, value: bytes) -> bytes:
    """Return the header of the counts with another value in the last line of this key, if it has one."""
    found = list(re.finditer(rb"(?m)^[ \t]*%s[ \t]*[:=][ \t]*\"?([^\"\r\n;]*)" % key.encode(), head))
    return head[: found[-1].start(1)] + value + head[found[-1].end(1) :] if found else head
