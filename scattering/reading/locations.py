"""Files and arrays that patterns stand for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import NamedTuple

from scattering.errors import InputError
from scattering.reading import hdf5, images, unpacking

BESIDE = ".filled.h5"
"""How names of files end that stand beside filled frames, and hold no frames."""


class Location(NamedTuple):
    """The place of frames: a file and, in HDF5, the path of the array; "" where that is to be found."""

    path: Path
    inside: str = ""

    def __str__(self) -> str:
        return f"{self.path}::{self.inside}" if self.inside else str(self.path)


def find(patterns: Sequence[str]) -> list[Location]:
    """Find what files, folders, globs and HDF5 paths (`scan.h5::/entry/data/data`) stand for, each once.

    They come in natural order, scan_2 before scan_10, whatever the order of the patterns: a shell has its own.
    Raises InputError for a pattern that matches nothing, and a folder without frames.
    """
    found = {location for pattern in patterns for location in _find(pattern)}
    once: dict[Location, Location] = {}
    for location in sorted(found, key=lambda location: (natural(str(location.path)), natural(location.inside))):
        # Whatever its names, a file is listed once.
        once.setdefault(location._replace(path=location.path.resolve()), location)
    return list(once.values())


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """Return a key that sorts numbers in names by their size."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text) if part)


def stem(path: Path) -> str:
    """Return the name of a file without what tells its format and packing."""
    name = path.name
    for suffix in unpacking.SUFFIXES:
        name = name.removesuffix(suffix)
    return Path(name).stem


def labels(locations: Sequence[Location]) -> list[str]:
    """Name each location as shortly as tells it from the others: by its stem, if need be its folder, path, array."""
    return told_apart([
        (
            stem(path),
            f"{path.parent.name}/{stem(path)}",
            f"{path.parent.name}/{path.name}",
            str(path),
            f"{path}::{inside}",
        )
        for path, inside in locations
    ])  # fmt: skip


def told_apart(spellings: Sequence[Sequence[str]]) -> list[str]:
    """Choose of each row, its spellings from the shortest to the longest, the first that no other row has."""
    chosen = [row[0] for row in spellings]
    for following in list(zip(*spellings, strict=True))[1:]:
        times = Counter(chosen)
        chosen = [name if times[name] == 1 else longer for name, longer in zip(chosen, following, strict=True)]
    return chosen


def _find(pattern: str) -> list[Location]:
    """Find what one pattern stands for."""
    outer, _, inside = pattern.partition("::")
    inside = f"/{inside.strip('/')}" if inside else ""
    try:
        path = Path(outer).expanduser()
        if path.is_file():
            return [Location(path, inside)]
        if path.is_dir():
            return [Location(file, inside) for file in _files(path)]
        matches = sorted(glob(str(path), recursive=True)) if has_magic(outer) else []  # noqa: PTH207 - a pattern may be absolute
        files = [match for name in matches if (match := Path(name)).is_file() and not name.endswith(BESIDE)]
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, a null byte, no home
        raise InputError(f"frames are named by files, folders of them or globs, got {pattern!r}: {error}") from None
    if not files:
        there = "no file that could be read" if matches or path.exists() else "nothing there"
        raise InputError(f"frames are named by files, folders of them or globs, got {pattern!r}: {there}")
    return [Location(file, inside) for file in files]


def known_files(folder: Path) -> list[Path]:
    """Return the files of a folder whose names are those of a known format."""
    return [path for path in folder.iterdir() if _is_known(path) and path.is_file()]


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder whose names are those of a known format.

    Raises InputError where there is none.
    """
    found = known_files(folder)
    if not found:
        known = " ".join(sorted(hdf5.SUFFIXES | images.SUFFIXES))
        raise InputError(
            f"frames are named by files, folders of them or globs, got {str(folder)!r}: nothing there that ends in "
            f"{known}"
        )
    return found


def _is_known(path: Path) -> bool:
    name = path.name.lower()
    for suffix in unpacking.SUFFIXES:
        name = name.removesuffix(suffix)
    suffix = Path(name).suffix
    # Hidden files are those of a file system, or half written.
    return (
        not name.startswith(".")
        and not name.endswith(BESIDE)
        and (suffix in hdf5.SUFFIXES or suffix in images.SUFFIXES or bool(images.NUMBERED.fullmatch(suffix)))
    )
