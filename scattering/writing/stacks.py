"""Filled frames of a file written as a file of the same format, with what was filled and how sure it is.

In HDF5 that stands in the same file, for other formats in one beside it, `scan.cbf.filled.h5`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scattering.arrays import Counts
from scattering.errors import InputError, one_line
from scattering.files import replacing
from scattering.reading import nexus
from scattering.reading.hdf5 import SUFFIXES
from scattering.reading.images import open_image
from scattering.reading.locations import Location
from scattering.reading.pages import Pages
from scattering.reading.stacks import Stack, read
from scattering.writing import hdf5
from scattering.writing.cbf import write_cbf
from scattering.writing.conversion import CONVERTERS
from scattering.writing.filled import Filled
from scattering.writing.patching import patch
from scattering.writing.paths import beside, is_hdf5, is_writable
from scattering.writing.paths import output_paths as output_paths
from scattering.writing.tiff import write_tiff

_SAME = {".tiff": ".tif"}
"""Suffixes of one format."""

WRITABLE = (*CONVERTERS, *sorted(SUFFIXES))
"""Suffixes of the formats that frames of any other can be written in."""


def write_filled(stack: Stack, output: Path, frames: Iterable[Filled], note: dict[str, Any]) -> list[Path]:
    """Write all frames of a stack, in order and one at a time, to `output`; return the files written.

    Each file is written whole or not at all.
    Raises InputError where `output` is one of the files read, its format cannot hold the frames, or the source
    changed meanwhile or the frames differ from it where they are not filled; ValueError for frames of another kind.
    """
    written = [output]
    digests: list[bytes] = []
    checked = _checked(stack, frames, digests)
    try:
        with ExitStack() as files:
            if is_hdf5(stack, output):
                _keep_sources(stack, written)
                temporary = files.enter_context(replacing(output))
                inside = _write_hdf5(stack, temporary, checked, note)
            else:
                written.append(beside(output))
                _keep_sources(stack, written)
                temporary, extra = (files.enter_context(replacing(path)) for path in written)
                _write_image(stack, output.suffix.lower(), temporary, hdf5.write_beside(extra, checked, stack, note))
                inside = ""
            _check_written(stack, output, Location(temporary, inside), digests)
    except OSError as error:
        raise InputError(f"cannot write {output}: {error.strerror or one_line(error)}: name another folder") from None
    return written


def _checked(stack: Stack, frames: Iterable[Filled], digests: list[bytes]) -> Iterator[Filled]:
    """Give the frames on if they are those of the stack, and keep a digest of the counts of each.

    Raises ValueError for others.
    """
    for source, frame in zip(read(stack, range(len(stack))), frames, strict=True):
        found = [(array.shape, array.dtype) for array in frame[:3]]
        if found != [(stack.shape, dtype) for dtype in (stack.dtype, np.dtype(np.bool_), np.dtype(np.float32))]:
            raise ValueError(f"counts, filled and uncertainty must be {stack.dtype}, bool, float32, got {found}")
        if frame.counts[~frame.filled].tobytes() != source.counts[~frame.filled].tobytes():
            raise InputError(
                f"measured pixels must stay as they are, got others than in {stack.location}: it changed meanwhile"
            )
        digests.append(_digest(frame.counts))
        yield frame


def _digest(counts: Counts) -> bytes:
    return hashlib.blake2b(counts.tobytes(), digest_size=16).digest()


def _check_written(stack: Stack, output: Path, location: Location, digests: Sequence[bytes]) -> None:
    """Raise InputError unless a file holds the counts written to it: an odd source may not bear changes."""
    try:
        written = read(replace(stack, location=location), range(len(stack)))
        same = all(_digest(frame.counts) == digest for frame, digest in zip(written, digests, strict=True))
    except InputError as error:
        raise InputError(f"{output} cannot be read again once it is written: {error}: write .nxs") from None
    if not same:
        raise InputError(
            f"{output} cannot hold these counts, or {stack.location} was changed meanwhile: try again, or write .nxs"
        )


def _keep_sources(stack: Stack, written: Sequence[Path]) -> None:
    for path in written:
        if path.exists() and any(path.samefile(file) for file in stack.files if file.exists()):
            raise InputError(f"filled frames must not take the place of their source, got {path}: name another file")


def _write_hdf5(stack: Stack, temporary: Path, frames: Iterable[Filled], note: dict[str, Any]) -> str:
    """Write an HDF5 file, and return the path of the frames in it."""
    if (
        stack.location.inside
        and not nexus.is_part(stack.location.inside)
        and hdf5.fill_copy(stack, temporary, frames, note)
    ):
        return stack.location.inside
    hdf5.write_nexus(stack, temporary, frames, note)
    return hdf5.FRAMES


def _write_image(stack: Stack, suffix: str, temporary: Path, frames: Iterable[Filled]) -> None:
    """Write a file of any other format: of the source's own if the suffix is its own, too, else anew."""
    if not stack.location.inside:
        with open_image(stack.location.path) as (source, pages):
            if _is_of_source(suffix, source, pages) and is_writable(pages):
                _write_same(source, pages, temporary, frames)
                return
    if suffix not in CONVERTERS:
        raise InputError(
            f"frames are written as {', '.join(WRITABLE)} or as their source, if its format "
            f"can be, got {suffix or 'no suffix'} for {stack.location}: write .nxs"
        )
    CONVERTERS[suffix](stack, temporary, frames)


def _write_same(source: Path, pages: Pages, target: Path, frames: Iterable[Filled]) -> None:
    if pages.plain:
        patch(source, target, pages, frames)
    elif pages.format == ".cbf":
        (frame,) = frames
        write_cbf(source, target, frame.counts)
    else:
        write_tiff(source, target, frames)


def _is_of_source(suffix: str, source: Path, pages: Pages) -> bool:
    return suffix == source.suffix.lower() or _SAME.get(suffix, suffix) == pages.format
