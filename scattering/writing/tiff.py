"""TIFF files whose pages are packed, or in parts: written anew, page by page, with what they say."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scattering.writing.filled import Filled

_WORDS = (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432)
"""Tags of text: names of document and page, description, maker and model, software, date, artist, host, copyright."""
_TEXT = 2
_DEFLATE = (8, 32946)
"""Packings that need no further library; pages that were packed otherwise are not packed."""
_RESOLUTION = (282, 283)


def write_tiff(source: Path, target: Path, frames: Iterable[Filled]) -> None:
    """Write the pages of a file with other counts: their order of bytes, text and resolution stay."""
    from tifffile import TiffFile, TiffWriter

    with (
        TiffFile(source, is_ome=False) as old,
        TiffWriter(target, bigtiff=old.is_bigtiff, byteorder=old.byteorder) as new,
    ):
        for number, frame in enumerate(frames):
            new.write(frame.counts, **_options(old.pages.get(number)))


def _options(page: Any) -> dict[str, Any]:
    file = page.parent.filehandle
    words = []
    for code in _WORDS:
        if (tag := page.tags.get(code)) is not None and tag.dtype == _TEXT:
            # As they are: what decodes them guesses.
            file.seek(tag.valueoffset)
            words.append((code, _TEXT, None, file.read(tag.valuebytecount).rstrip(b"\0"), False))
    options: dict[str, Any] = {
        "photometric": page.photometric,
        "metadata": None,
        "software": False,
        "extratags": words,
    }
    if page.compression in _DEFLATE:
        options |= {"compression": "zlib", "predictor": page.predictor != 1}
    if all(code in page.tags for code in _RESOLUTION):
        # As fractions, which they are.
        options["resolution"] = tuple(page.tags[code].value for code in _RESOLUTION)
        options["resolutionunit"] = page.resolutionunit
    return options
