"""The statements of HDF5 files on their pixels: masks, and the least and the largest count that is valid.

Their meaning: NXdetector and NXdetector_channel in the NeXus manual,
https://manual.nexusformat.org/classes/base_classes/NXdetector.html. Dectris' masters of the first kind have their
mask and their count cutoff in the group `detectorSpecific`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import h5py
import numpy as np

from scattering.arrays import Bools
from scattering.reading import nexus
from scattering.reading.pages import Stated

REJECTING = 0xFFFF
"""Bits of a `pixel_mask` for which a pixel is left out. The upper ones say of what kind it is, as one whose counts
were interpolated where two chips meet."""

_MASK = re.compile(r"pixel_mask(_\d+)?")
_SPECIFIC = "detectorSpecific"
_NO_DATA = ("_FillValue", "missing_value", "nodata")
"""Attributes that say which number stands where there are no data."""
_CHANNEL = "_channel"
"""How names of groups end that tell of one channel of a detector, a threshold."""


class Channel(NamedTuple):
    """One of the channels that frames were recorded in."""

    axis: int
    """Of the array of frames, along which channels follow one another,"""
    number: int
    """and its place there."""

    def has(self, number: int, frames: Sequence[int]) -> bool:
        """Tell whether a frame of an array with such first axes is of this channel."""
        return bool(np.unravel_index(number, frames)[self.axis] == self.number)


class Mask(NamedTuple):
    """A mask of the frames of an array, or of some of them."""

    array: h5py.Dataset
    """Of one frame, or of as many as its first axes say."""
    frames: tuple[int, ...]
    """Sizes of the first axes of the array of frames, those before rows and columns."""
    bits: int | None = REJECTING
    """Which of them leave a pixel out; any number but 0 where it is None."""
    channel: Channel | None = None
    """Of whose frames it is; of all where it is None."""

    def place(self, number: int) -> tuple[int, ...] | None:
        """Return the index of what it says of a frame; None where it says nothing of this one."""
        if self.channel is not None and not self.channel.has(number, self.frames):
            return None
        index = tuple(int(one) for one in np.unravel_index(number, self.frames)) if self.frames else ()
        own = self.array.shape[:-2]
        if math.prod(own) == 1:
            return (0,) * len(own)
        if self.of_each:
            return tuple(int(one) for one in np.unravel_index(number, own))
        return index[: len(own)] if own == self.frames[: len(own)] else index[-len(own) :]

    @property
    def for_all(self) -> bool:
        """Tell whether it says the same of all frames."""
        return bool(self.channel is None and math.prod(self.array.shape[:-2]) == 1)

    @property
    def of_each(self) -> bool:
        """Tell whether it says something of its own of each frame."""
        return bool(math.prod(self.array.shape[:-2]) == math.prod(self.frames))

    def invalid(self, place: tuple[int, ...]) -> Bools:
        """Return the pixels that are left out by what it says at a place, (rows, columns)."""
        values = np.asarray(self.array[place])
        return np.asarray(values != 0 if self.bits is None else (values.astype(np.int64) & self.bits) != 0)


@dataclass(frozen=True)
class Told:
    """All that a file says of the pixels of an array's frames."""

    masks: list[Mask]
    numbers: list[tuple[Channel | None, Stated]]
    frames: tuple[int, ...]
    """Sizes of the first axes of the array of frames, those before rows and columns."""
    _kept: dict[tuple[int, tuple[int, ...]], Bools] = field(default_factory=dict)
    """By the number of a mask that frames share, and the place in it: read once."""

    def stated(self, number: int) -> Stated:
        """Return what is said of the numbers in a frame: of its channel, or else of all frames."""
        return [told for channel, told in self.numbers if channel is None or channel.has(number, self.frames)][-1]

    def invalid(self, number: int) -> Bools | None:
        """Return the pixels of a frame that masks leave out, (rows, columns); None where there is no mask of it."""
        found: list[Bools] = []
        for which, mask in enumerate(self.masks):
            place = mask.place(number)
            if place is None:
                continue
            flags = self._kept.get((which, place))
            if flags is None:
                flags = mask.invalid(place)
            if not mask.of_each:
                self._kept[which, place] = flags
            found.append(flags)
        return np.asarray(np.logical_or.reduce(found)) if found else None


def pixel_masks(file: h5py.File, inside: str) -> tuple[list[Mask], list[str]]:
    """Return the masks of an array, all of which hold, and what is unclear about others, in words."""
    masks: list[Mask] = []
    unclear: list[str] = []
    counts = file[inside]
    for group, channel in _groups(file, inside, unclear):
        for array in _masks(group):
            mask = Mask(array, counts.shape[:-2], channel=channel)
            if _fits(array.shape, counts.shape):
                masks.append(mask)
            else:
                unclear.append(
                    f"the mask {array.name} of shape {_by(array.shape)} does not fit the array of shape "
                    f"{_by(counts.shape)}: it is not used"
                )
    # One mask may be linked to from several places.
    once = [mask for number, mask in enumerate(masks) if not any(_same(mask, other) for other in masks[:number])]
    return once, list(dict.fromkeys(unclear))


def stated(file: h5py.File, inside: str) -> list[tuple[Channel | None, Stated]]:
    """Return what is said of the numbers in an array: of all frames, then of those of single channels."""
    codes = tuple((code, 0.0) for name in _NO_DATA if (code := _number(file[inside].attrs.get(name))) is not None)
    found: list[tuple[Channel | None, Stated]] = [(None, Stated(codes))]
    for group, channel in _groups(file, inside, []):
        least, largest = (_number(_field(group, name)) for name in ("underload_value", "saturation_value"))
        if largest is None:
            largest = _number(_field(group, f"{_SPECIFIC}/countrate_correction_count_cutoff"))
        if least is not None or largest is not None:
            # A detector that is saturated by nothing is one of which nobody has said what saturates it.
            limit = largest if largest is not None and largest > 0 else math.inf
            found.append((channel, Stated(codes, -math.inf if least is None else least, limit)))
    return found


def _groups(file: h5py.File, inside: str, unclear: list[str]) -> Iterator[tuple[h5py.Group, Channel | None]]:
    """Give the groups that tell of an array's pixels, and of which channel of it each does.

    Of several detectors that could have recorded it none is given.
    """
    shape = file[inside].shape[-2:]
    groups = [file[inside].parent, nexus.parent(file, inside)]
    detectors = nexus.detectors(file, inside)
    if len(detectors) > 1:
        detectors = [
            one
            for one in detectors
            if any(mask.shape[-2:] == shape for group in (one, *_channels(one).values()) for mask in _masks(group))
        ]
    if len(detectors) > 1:
        names = ", ".join(one.name for one in detectors)
        unclear.append(f"it is not said which of the detectors {names} the frames are of: their masks are not used")
    else:
        groups += detectors
    for group in groups:
        yield group, None
        yield from _of_channels(group, file, inside, unclear)


def _of_channels(
    detector: h5py.Group, file: h5py.File, inside: str, unclear: list[str]
) -> Iterator[tuple[h5py.Group, Channel | None]]:
    """Give the groups of a detector's channels that the frames are of."""
    channels = _channels(detector)
    named = nexus.named_axis(file, inside)
    if named is not None:
        axis, names = named
        for number, name in enumerate(names):
            if name in channels:
                yield channels[name], Channel(axis, number)
    elif len(channels) == 1:
        yield next(iter(channels.values())), None
    elif any(any(_masks(group)) for group in channels.values()):
        unclear.append(
            f"it is not said which of the channels {', '.join(channels)} the frames are of: their masks are not used"
        )


def _channels(detector: h5py.Group) -> dict[str, h5py.Group]:
    return {
        name.removesuffix(_CHANNEL): group
        for name in detector
        if name.endswith(_CHANNEL) and isinstance(group := detector.get(name), h5py.Group)
    }


def _masks(group: h5py.Group) -> Iterator[h5py.Dataset]:
    """Give the masks of one group."""
    for place in (group, group.get(_SPECIFIC)):
        for name in place if isinstance(place, h5py.Group) else ():
            array = place.get(name) if _MASK.fullmatch(name) else None
            if isinstance(array, h5py.Dataset) and array.shape and is_pixel_mask(array):
                yield array


def is_pixel_mask(array: h5py.Dataset) -> bool:
    """Tell whether an array is a mask of NeXus, by its name and type."""
    return bool(_MASK.fullmatch(str(array.name).rpartition("/")[2]) and array.dtype.kind in "iub")


def _same(one: Mask, other: Mask) -> bool:
    return bool(one.array == other.array and one.channel == other.channel)


def _fits(mask: Sequence[int], counts: Sequence[int]) -> bool:
    """Tell whether a mask of this shape is one of all frames, or has some for each."""
    own, frames = tuple(mask[:-2]), tuple(counts[:-2])
    if tuple(mask[-2:]) != tuple(counts[-2:]):
        return False
    each = own in (frames[: len(own)], frames[len(frames) - len(own) :], (math.prod(frames),))
    return math.prod(own) == 1 or each


def _field(group: h5py.Group, name: str) -> object:
    field = group.get(name)
    return field[()] if isinstance(field, h5py.Dataset) and field.size == 1 else None


def _number(value: object) -> float | None:
    """Return a single number as such; None for what is none."""
    values: Any = np.asarray(value)
    if values.dtype.kind not in "iuf" or values.size != 1 or not np.isfinite(values).all():
        return None
    return float(values.flat[0])


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
