"""The frames of a file, listed at once and read one at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scattering.arrays import Bools as Bools
from scattering.arrays import Counts as Counts
from scattering.errors import InputError, UnreadableError
from scattering.reading import hdf5
from scattering.reading.images import list_image, read_image
from scattering.reading.locations import Location as Location
from scattering.reading.locations import find, labels
from scattering.reading.pages import Pages
from scattering.reading.pages import Recorded as Recorded


@dataclass(frozen=True)
class Stack:
    """Frames of one shape and type in one file. Nothing is read but what describes them."""

    location: Location
    """With the path of the array found."""
    shape: tuple[int, int]
    """(rows, columns) of each frame."""
    dtype: np.dtype[np.generic]
    names: tuple[str, ...]
    """One a frame, unique among all that is read together: file and number, and what the file calls it."""
    groups: tuple[str, ...]
    """What the file says of each frame's sample or series; "" where it says nothing."""
    categories: tuple[str, ...]
    files: tuple[Path, ...]
    """All that hold its counts: a file may link to others."""
    detector: str = ""
    """What the file says of its detector; "" where it says nothing."""
    unclear: tuple[str, ...] = ()
    """What the file says of its pixels and cannot be used, in words."""
    missing: tuple[str, ...] = ()
    """Files of its series that are not there."""

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.names)


def open_stacks(patterns: Sequence[str], left_out: Collection[Path] = ()) -> list[Stack]:
    """List what files, folders, globs and HDF5 paths (`scan.h5::/entry/data/data`) hold, each frame once.

    Files come in natural order, scan_2 before scan_10, without those to be left out.
    Raises InputError for a pattern that matches nothing, UnreadableError for a file that cannot be used.
    """
    locations = [location for location in find(patterns) if location.path not in left_out]
    listed = [
        (location, label, array)
        for location, label in zip(locations, labels(locations), strict=True)
        for array in _readable(location)
    ]
    # What a master file links to may be among the files, too: the master knows more, its mask and its detector.
    linked = {source for location, _, array in listed for source in _elsewhere(location, array)}
    stacks: list[Stack] = []
    taken: set[object] = set()
    numbers: Counter[Location] = Counter()
    for location, label, array in listed:
        first = numbers[location]
        numbers[location] += array.count
        if taken & array.sources or (linked & array.sources and not _elsewhere(location, array)):
            continue
        taken |= array.sources
        stacks.append(_stack(location, label, first, array))
    _check_names(stacks)
    return stacks


def read(stack: Stack, numbers: Sequence[int]) -> Iterator[Recorded]:
    """Read some frames of a stack, in this order; one at a time is in memory.

    Raises UnreadableError for a file that is damaged, or is no longer what was listed.
    """
    path, inside = stack.location
    try:
        for array, recorded in hdf5.read_array(path, inside, numbers) if inside else _read_image(path, numbers):
            listed = (stack.shape, stack.dtype, len(stack))
            found = (recorded.counts.shape, recorded.counts.dtype, array.count)
            if found != listed:
                raise InputError(
                    f"{stack.location} was listed with {_words(*listed)}, got {_words(*found)}: it is damaged, or "
                    f"was changed meanwhile"
                )
            yield recorded
    except InputError as error:
        raise UnreadableError(str(error), path) from None


def _readable(location: Location) -> list[hdf5.Array]:
    try:
        return _list(location)
    except InputError as error:
        raise UnreadableError(str(error), location.path) from None


def _list(location: Location) -> list[hdf5.Array]:
    """Describe all that a file holds, or the one array that is asked for."""
    path, inside = location
    if inside or hdf5.is_hdf5(path):
        return hdf5.list_arrays(path, inside)
    return [_described(path, list_image(path))]


def _read_image(path: Path, numbers: Sequence[int]) -> Iterator[tuple[hdf5.Array, Recorded]]:
    for number, (pages, counts) in zip(numbers, read_image(path, numbers), strict=True):
        stated = pages.stated(number)
        yield _described(path, pages), Recorded(counts, stated.invalid(counts), stated=stated)


def _described(path: Path, pages: Pages) -> hdf5.Array:
    source = frozenset({(path.resolve(), "")})
    return hdf5.Array("", source, pages.count, pages.shape, pages.dtype, detector=pages.detector)


def _elsewhere(location: Location, array: hdf5.Array) -> frozenset[object]:
    """Return what an array takes from other files."""
    return frozenset(source for source in array.sources if source[0] != location.path.resolve())


def _stack(location: Location, label: str, first: int, array: hdf5.Array) -> Stack:
    """Name the frames of an array whose first one is the file's number `first`."""
    # File and number: names alone repeat within some files.
    single = array.count == 1 and not array.inside
    names = [label] if single else [f"{label} {first + number}" for number in range(array.count)]
    if array.names:
        names = [f"{name} {Path(called).stem}" for name, called in zip(names, array.names, strict=True)]
    nothing = ("",) * array.count
    return Stack(
        Location(location.path, array.inside),
        array.shape,
        array.dtype,
        tuple(names),
        array.groups or nothing,
        array.categories or nothing,
        tuple(sorted({location.path.resolve(), *(path for path, _ in array.sources)})),
        array.detector,
        array.unclear,
        array.missing,
    )


def _check_names(stacks: Sequence[Stack]) -> None:
    """Raise InputError for two frames of one name: `scan 1` of `scan.h5` and of `scan 1.tif`."""
    for name, times in Counter(name for stack in stacks for name in stack.names).most_common(1):
        if times > 1:
            raise InputError(f"every frame needs a name of its own, got {name!r} {times} times: rename a file")


def _words(shape: tuple[int, ...], dtype: np.dtype[np.generic], count: int) -> str:
    return f"{count} frames of {' x '.join(map(str, shape))} {dtype}"
