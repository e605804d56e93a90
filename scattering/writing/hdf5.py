"""HDF5: a copy of the file with its frames filled, or where these lie elsewhere, a new NeXus file.

A mask of the file is False where counts were filled: that of each frame where they were filled in this frame, one of
all frames where they were filled in all of them, so that no frame is said to hold counts which it does not.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scattering.arrays import Bools
from scattering.reading import hdf5, nexus
from scattering.reading.pixel_masks import Mask
from scattering.reading.stacks import Stack
from scattering.writing.filled import Filled
from scattering.writing.process import create, recorded

FRAMES = "/entry/data/data"
"""The frames of a new file."""
_EXACT = frozenset((1, 2, 3, 4, 307, 32000, 32001, 32004, 32008, 32015, 32026))
"""Filters without loss: deflate, shuffle, checksum, szip, bzip2, LZF, Blosc, LZ4, Bitshuffle, Zstandard, Blosc2."""
_SMALL = 1024
"""Numbers up to which a field describes the detector, and is no image of it."""


def fill_copy(stack: Stack, target: Path, frames: Iterable[Filled], note: dict[str, Any]) -> bool:
    """Copy a file and fill the frames of one of its arrays; False, and nothing taken, where they lie elsewhere.

    Nothing is written through links to other files.
    """
    path, inside = stack.location
    with hdf5.open_file(path) as file:
        found = _writable(file, stack)
    if not found:
        return False
    shutil.copyfile(path, target)
    # A file may link to itself by its name, which is another file now. Reading it, we touch none.
    with hdf5.open_file(target) as file:
        arrays = _writable(file, stack)
        if len(arrays) != len(found):
            return False
        references = [array.ref for array in arrays]
        cache = max(hdf5.CACHE, *(_chunk(array) for array in arrays))
        entry = _entry(file, inside)
    with h5py.File(target, "r+", rdcc_nbytes=cache) as file:
        counts = file[references[0]]
        taken = recorded(file[entry], frames, len(stack), stack.shape, note)
        for number, frame in enumerate(_unmasked(hdf5.find_masks(file, inside), taken)):
            if frame.filled.any():
                counts[hdf5.place(counts, number)] = frame.counts
    return True


def write_nexus(stack: Stack, target: Path, frames: Iterable[Filled], note: dict[str, Any]) -> None:
    """Write a file whose default plot is the frames, with the mask of the source and what it says of its detector."""
    with h5py.File(target, "w") as file:
        file.attrs.update(NX_class="NXroot", default="entry")
        entry = _node(file, "entry", "NXentry", default="data")
        detector = _node(_node(entry, "instrument", "NXinstrument"), "detector", "NXdetector")
        masks = _copy_masks(stack, detector)
        if stack.detector and "description" not in detector:
            detector.create_dataset("description", data=stack.detector, track_times=False)
        counts = create(detector, "data", (len(stack), *stack.shape), stack.dtype)
        _node(entry, "data", "NXdata", signal="data")["data"] = counts
        taken = recorded(entry, frames, len(stack), stack.shape, note)
        for number, frame in enumerate(_unmasked(masks, taken)):
            counts[number] = frame.counts


def write_beside(path: Path, frames: Iterable[Filled], stack: Stack, note: dict[str, Any]) -> Iterator[Filled]:
    """Give the frames on as they are, and write a file of what the format of their own file cannot hold."""
    with h5py.File(path, "w") as file:
        file.attrs.update(NX_class="NXroot", default="entry")
        yield from recorded(_node(file, "entry", "NXentry"), frames, len(stack), stack.shape, note)


def _unmasked(masks: Sequence[Mask], frames: Iterable[Filled]) -> Iterator[Filled]:
    """Give the frames on as they are, and take from their masks what was filled."""
    everywhere: dict[tuple[int, tuple[int, ...]], Bools] = {}
    for number, frame in enumerate(frames):
        for which, mask in enumerate(masks):
            place = mask.place(number)
            if place is None:
                continue
            if not mask.of_each:
                everywhere[which, place] = everywhere.get((which, place), True) & frame.filled
            elif frame.filled.any():
                mask.array[place] = _without(mask.array[place], frame.filled)
        yield frame
    for (which, place), filled in everywhere.items():
        if filled.any():
            masks[which].array[place] = _without(masks[which].array[place], filled)


def _without(mask: Any, filled: Bools) -> Any:
    mask[filled] = 0
    return mask


def _writable(file: h5py.File, stack: Stack) -> list[h5py.Dataset]:
    """Return the frames and their masks; nothing unless all can be written, in this very file."""
    inside = stack.location.inside
    if file.get(inside) is None:
        return []
    arrays = [file[inside], *(mask.array for mask in hdf5.find_masks(file, inside))]
    return arrays if all(_is_here(file, array) and _is_exact(array) for array in arrays) else []


def _is_here(file: h5py.File, array: h5py.Dataset) -> bool:
    same = h5py.h5o.get_info(array.id).fileno == h5py.h5o.get_info(file.id).fileno
    return bool(same and not array.is_virtual and not array.external)


def _is_exact(array: h5py.Dataset) -> bool:
    """Tell whether an array gives back what is written to it: its filters can be used, and round nothing."""
    properties = array.id.get_create_plist()
    filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    return all(
        code in _EXACT and h5py.h5z.filter_avail(code)
        and h5py.h5z.get_filter_info(code) & h5py.h5z.FILTER_CONFIG_ENCODE_ENABLED
        for code in filters
    )  # fmt: skip


def _chunk(array: h5py.Dataset) -> int:
    """Return the bytes of a chunk: of several frames, it must be kept until all of them are written."""
    return math.prod(array.chunks or ()) * int(array.dtype.itemsize)


def _entry(file: h5py.File, inside: str) -> str:
    """Return the path of the entry of an array, which tells of its instrument, or the root."""
    name = inside.strip("/").split("/")[0]
    # Its class is not asked for: damaged texts crash HDF5.
    own = isinstance(file.get(name, getlink=True), h5py.HardLink) and nexus.instrument(file, inside) is not None
    return f"/{name}" if own else "/"


def _node(parent: h5py.Group, name: str, nx_class: str, **attributes: str) -> h5py.Group:
    group = parent.require_group(name)
    group.attrs.update(NX_class=nx_class, **attributes)
    return group


def _copy_masks(stack: Stack, detector: h5py.Group) -> list[Mask]:
    """Copy the masks of an array of another file, laid over one another, and the fields of its instrument."""
    path, inside = stack.location
    if not inside:
        return []
    with hdf5.open_file(path) as file:
        instrument = nexus.instrument(file, inside)
        if instrument is not None:
            _describe(instrument, detector.parent)
        old = hdf5.find_masks(file, inside)
        if not old:
            return []
        common = all(mask.for_all for mask in old)
        size = max(mask.array.dtype.itemsize if mask.array.dtype.kind in "iu" else 1 for mask in old)
        dtype = np.dtype(f"u{size}")
        shape = stack.shape if common else (len(stack), *stack.shape)
        copy = Mask(create(detector, "pixel_mask", shape, dtype), (len(stack),))
        for number in range(1 if common else len(stack)):
            values = np.zeros(stack.shape, dtype)
            for mask in old:
                if (place := mask.place(number)) is not None:
                    bits = mask.array[place]
                    values |= bits.astype(dtype) if bits.dtype.kind in "iu" else (bits != 0).astype(dtype)
            copy.array[copy.place(number)] = values
        return [copy]


def _describe(old: h5py.Group, new: h5py.Group, levels: int = 8) -> None:
    """Copy the small fields of a group and of those in it, but what links take from elsewhere."""
    for name in old:
        if not isinstance(old.get(name, getlink=True), h5py.HardLink):
            continue
        node = old[name]
        if isinstance(node, h5py.Group) and levels:
            group = new.require_group(name)
            if "NX_class" in node.attrs:
                group.attrs["NX_class"] = nexus.attribute(node, "NX_class")
            _describe(node, group, levels - 1)
        elif isinstance(node, h5py.Dataset) and name not in new and _is_small(node):
            old.copy(node, new, name)


def _is_small(field: h5py.Dataset) -> bool:
    return field.shape is not None and field.size <= _SMALL and not field.is_virtual and not field.external
