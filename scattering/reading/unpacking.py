"""Files that were compressed as a whole, with gzip or bzip2."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

SUFFIXES = (".gz", ".bz2")

_OPENERS: tuple[tuple[bytes, Callable[[Path], gzip.GzipFile | bz2.BZ2File]], ...] = (
    (b"\x1f\x8b", gzip.GzipFile),
    (b"BZh", bz2.BZ2File),
)

_LARGEST = 2**30
"""Bytes; what is larger was packed to fill the disk, or holds so many frames that it is to be unpacked once."""
_CHUNK = 2**20


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Give the plain file: `path` itself, or what it holds, unpacked for as long as the block lasts.

    Raises OSError, EOFError or zlib.error for a damaged file, ValueError for one that grows beyond 1 GiB.
    """
    with path.open("rb") as file:
        start = file.read(3)
    opener = next((opener for magic, opener in _OPENERS if start.startswith(magic)), None)
    if opener is None:
        yield path
        return
    with TemporaryDirectory(prefix="gapsearch-") as folder:
        name = path.name.removesuffix(path.suffix) if path.suffix.lower() in SUFFIXES else path.name
        plain = Path(folder) / name
        size = 0
        # To the end: the checksums stand there.
        with opener(path) as packed, plain.open("wb") as target:
            while chunk := packed.read(_CHUNK):
                size += len(chunk)
                if size > _LARGEST:
                    raise ValueError("it unpacks to more than 1 GiB: unpack it before")
                target.write(chunk)
        yield plain
