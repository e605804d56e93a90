"""TIFF: of PILATUS, of MarCCD and Rayonix (`.mccd`), and of any other camera; one frame a page."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from scattering.arrays import Counts
from scattering.reading.pages import Pages, Plain, Stated, count_type, enough, frame_shape, stated_by_pilatus

_LZW = 5
_MODEL = 272
_NO_DATA = 42113
_DETECTOR = re.compile(r"#\s*Detector:\s*([^\r\n]+)")


def open_tiff(path: Path) -> Pages:
    """Read the pages' tags of a TIFF file.

    Raises ValueError for a damaged one, for colours, for pages of several shapes, and for frames without a page.
    """
    from tifffile import TiffFile

    # What OME says is of several files.
    with TiffFile(path, is_ome=False) as file:
        pages = [file.pages.get(number) for number in range(len(file.pages))]
        kinds = {(page.shape, page.dtype) for page in pages}
        if len(kinds) != 1:
            raise ValueError("the pages of a file must have one shape and type")
        declared, stored = kinds.pop()
        if stored is None:
            raise ValueError("its numbers are of no known type")
        shape, dtype = frame_shape(declared), count_type(stored)
        for page in pages:
            _check(page, math.prod(shape) * dtype.itemsize, file.filehandle.size)
        frames = math.prod(file.series[0].shape[:-2])
        if frames > len(pages):
            raise ValueError(f"declares {frames} frames, has tags for {len(pages)}: save it as one page a frame")
        detector, told = _detector(pages[0]), [_stated(page) for page in pages]
        plain = None
        if all(page.is_final for page in pages):
            stored = np.dtype(stored).newbyteorder(file.byteorder)
            plain = Plain(tuple(page.dataoffsets[0] for page in pages), stored)

    def frame(number: int) -> Counts:
        with TiffFile(path) as file:
            page = file.pages.get(number)
            if page.compression == _LZW:
                return _read_lzw(path, number, dtype)
            return np.asarray(page.asarray()).astype(dtype, copy=False)

    return Pages(len(pages), shape, dtype, frame, detector, ".tif", plain, told.__getitem__)


def _check(page: Any, size: int, available: int) -> None:
    """Raise ValueError where strips or tiles lie outside the file, or hold too little: tifffile reads them as 0."""
    places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if not places or len(places) < math.prod(page.chunked) or min(map(min, places)) <= 0:
        raise ValueError("parts of the frame are missing")
    enough(available, max(offset + length for offset, length in places))
    if page.compression == 1:
        enough(sum(length for _, length in places), size * page.bitspersample // (8 * page.dtype.itemsize))


def _read_lzw(path: Path, number: int, dtype: np.dtype[np.generic]) -> Counts:
    """Read a page with Pillow, which knows what tifffile does not without a library of codecs."""
    from PIL import Image

    with _no_stderr(), Image.open(path) as image:
        image.seek(number)
        counts = _native(np.asarray(image))
    if counts.dtype.itemsize == dtype.itemsize:
        return counts.view(dtype)
    cast = counts.astype(dtype)
    if not np.array_equal(cast, counts):
        raise ValueError(f"LZW compression of {dtype} cannot be read: save it uncompressed")
    return cast


def _native(counts: Counts) -> Counts:
    """Return counts in the byte order of this machine."""
    return counts.astype(counts.dtype.newbyteorder("="), copy=False)


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Keep libtiff from printing what it raises anyway."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _stated(page: Any) -> Stated:
    """Return what the texts of a page say of its numbers: of PILATUS, or GDAL's number for no data."""
    said = stated_by_pilatus(page.description)
    try:
        code = float(str(page.tags.valueof(_NO_DATA)).strip("\0 "))
    except ValueError:
        return said
    return said if math.isnan(code) else said._replace(no_data=((code, 0.0),))


def _detector(page: Any) -> str:
    model = page.tags.valueof(_MODEL)
    named = _DETECTOR.search(page.description)
    return str(model).strip() if isinstance(model, str) else named[1].strip() if named else ""
