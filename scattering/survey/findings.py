"""Findings about detector files: the detector, the valid pixels, the groups of frames.

Found once, from the lists of frames and a sample of them, and shown by `python -m scattering.look`; then every frame
is read as these findings say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, groupby
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from scattering.arguments import Options
from scattering.arrays import Bools
from scattering.dataset import RawFrame
from scattering.detectors import Detector, detector
from scattering.errors import InputError, UnreadableError
from scattering.reading.locations import find
from scattering.reading.stacks import Counts, Recorded, Stack, open_stacks, read
from scattering.survey import pedestal
from scattering.survey.background import subtracted
from scattering.survey.geometry import NOWHERE, Geometry, find_geometry, given_geometry
from scattering.survey.groups import frame_groups
from scattering.survey.hot import hot_pixels
from scattering.survey.masks import check_mask, read_mask
from scattering.survey.recognition import recognise
from scattering.survey.tally import Tally
from scattering.survey.validity import GapParts, gap_parts, measured, recorded, switched_off

SAMPLE = 16
"""Frames of each shape that are looked at."""

BEAM_SAMPLE = 3
"""Frames of each group that the beam centre is found from, at most."""

PEDESTAL_SAMPLE = 3
"""Those of them whose pedestals are estimated; the middle one counts."""

Shape = tuple[int, int]
Item = TypeVar("Item")


class Place(NamedTuple):
    """One frame: a stack by its number in the findings, and the frame's number in it."""

    stack: int
    frame: int


@dataclass(frozen=True)
class Sensor:
    """The sensor that recorded the frames of one shape."""

    name: str
    """As pyFAI calls it, or in words where it knows none."""
    origin: str
    """How it was found."""
    gap: Bools
    """(rows, columns), where it has no sensor."""
    pixel_size: tuple[float, float]
    """Metres; NaN where it is not known."""
    masked: Bools
    """What the mask file adds."""
    dead: Bools
    """Pixels that stay dark where their neighbours count."""
    pedestal: float
    """Counts that its readout seems to add to every pixel."""
    below_zero: bool
    """Whether numbers below 0 are counts: a background was subtracted."""
    coded: Bools
    """Pixels that hold one code in every frame, where the number alone could be a count."""
    sample: tuple[Place, ...]
    """The frames that were looked at."""

    def no_data(self, counts: Counts) -> Bools:
        """Tell which pixels of a frame, (rows, columns), hold codes that depend on the sensor or the pixel."""
        code = switched_off(counts, self.gap) if self.name.startswith("Eiger") else None
        return self.coded if code is None else np.asarray(self.coded | (counts == code))

    @cached_property
    def parts(self) -> GapParts:
        """The gaps, taken apart."""
        return gap_parts(self.gap)


@dataclass(frozen=True)
class Findings:
    """All that is known before frames are prepared. It can be pickled: tasks on other machines read by it."""

    stacks: tuple[Stack, ...]
    sensors: dict[Shape, Sensor]
    """By frame shape."""
    geometries: dict[tuple[Shape, str], Geometry]
    """By frame shape and group, for frames whose files say nothing of it."""
    pedestals: tuple[float, ...]
    """Counts to subtract, one a stack."""
    places: tuple[Place, ...]
    """Every frame, in the order of the data set."""
    names: tuple[str, ...]
    groups: tuple[str, ...]
    categories: tuple[str, ...]
    """One a frame, in the order of `places`."""
    target: Detector
    """Whose gaps are filled."""
    obstacle: str
    """Why no gaps of these frames can be filled, and the way out; "" where they can."""
    options: Options
    unreadable: tuple[str, ...] = ()
    """Why files were left out that cannot be read."""

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.places)

    @property
    def notes(self) -> list[str]:
        """Files that were left out, or are not there, in lines for people."""
        missing = [
            f"{stack.location.path}: {len(stack.missing)} files of its series are not there, from "
            f"{stack.missing[0]} on"
            for stack in self.stacks
            if stack.missing
        ]
        return [*(f"left out: {reason}" for reason in self.unreadable), *missing]

    @property
    def native(self) -> Shape:
        """Shape of the frames, or of the detector whose gaps are filled where they differ."""
        shape, *others = self.sensors
        return (self.target.gap.shape[0], self.target.gap.shape[1]) if others else shape

    @cached_property
    def firsts(self) -> tuple[int, ...]:
        """Number of the first frame of each stack."""
        return (0, *accumulate(len(stack) for stack in self.stacks))[:-1]

    def geometry(self, number: int) -> Geometry:
        """Return the geometry of a frame, by its number."""
        return self.geometries.get((self.stacks[self.places[number].stack].shape, self.groups[number]), NOWHERE)

    @property
    def files(self) -> list[Path]:
        """Every file that is read."""
        return sorted({path for stack in self.stacks for path in stack.files})


def survey(patterns: Sequence[str], options: Options) -> Findings:
    """Find out what the files hold.

    Raises InputError for files that cannot be used, or where it cannot be told whose gaps are to be filled.
    """
    findings = identify(patterns, options)
    if findings.obstacle:
        raise InputError(findings.obstacle)
    return findings


def identify(patterns: Sequence[str], options: Options, *, locate: bool = True) -> Findings:
    """Find out what the files hold, also where their gaps cannot be filled: the findings say why.

    A file that cannot be read is left out where there are others; of many frames, a few are read here. With
    `locate`, the beam is looked for where nobody says where it is.
    Raises InputError for files that cannot be used.
    """
    left_out: dict[Path, str] = {}
    while True:
        try:
            findings = _identify(open_stacks(patterns, left_out), options, locate=locate)
            return replace(findings, unreadable=tuple(left_out.values()))
        except UnreadableError as error:
            if error.path in left_out or len({location.path for location in find(patterns)} - {*left_out}) == 1:
                raise
            left_out[error.path] = str(error)


def check_all_read(findings: Findings) -> None:
    """Raise InputError where files were left out, once the others are done."""
    if left := len(findings.unreadable):
        were = "were" if left > 1 else "was"
        raise InputError(f"{left} of the files could not be read and {were} left out: see above")


def _identify(listed: Sequence[Stack], options: Options, *, locate: bool) -> Findings:
    given = _given_pedestal(options.pedestal)
    stacks = tuple(listed)
    places = tuple(Place(number, frame) for number, stack in enumerate(stacks) for frame in range(len(stack)))
    groups = frame_groups(stacks, options.group_by)
    by_shape: dict[Shape, list[int]] = {}
    for number, place in enumerate(places):
        by_shape.setdefault(stacks[place.stack].shape, []).append(number)
    mask = None if options.mask is None else read_mask(options.mask)
    if mask is not None and mask.shape not in by_shape:
        raise InputError(
            f"--mask must have the shape of the frames, {', '.join(map(_by, by_shape))} pixels, got "
            f"{_by(mask.shape)} in {options.mask}"
        )
    sensors = {
        shape: _sensor(stacks, [places[number] for number in _spread(numbers, SAMPLE)], mask)
        for shape, numbers in by_shape.items()
    }
    if mask is not None and options.mask is not None:
        check_mask(mask, sensors[mask.shape[0], mask.shape[1]].gap, options.mask)
    names = tuple(name for stack in stacks for name in stack.names)
    target, obstacle = _target(sensors, options.detector)
    for shape, numbers in by_shape.items():
        if not (obstacle or target.gap_for(shape).any()):
            obstacle = (
                f"the gaps of {target.name} must cover pixels of every frame, got none in {names[numbers[0]]!r} of "
                f"{_by(shape)} pixels: it is too small, leave it out"
            )
    findings = Findings(
        stacks=stacks,
        sensors=sensors,
        geometries={},
        pedestals=tuple(sensors[stack.shape].pedestal if given is None else given for stack in stacks),
        places=places,
        names=names,
        groups=groups,
        categories=tuple(category for stack in stacks for category in stack.categories),
        target=target,
        obstacle=obstacle,
        options=options,
    )
    return replace(findings, geometries=_geometries(findings, options, locate=locate))


def _geometries(findings: Findings, options: Options, *, locate: bool) -> dict[tuple[Shape, str], Geometry]:
    """Return the geometry of each group of frames of a shape: as the user says, or as files and frames tell."""
    numbers: dict[tuple[Shape, str], list[int]] = {}
    for number, group in enumerate(findings.groups):
        numbers.setdefault((findings.stacks[findings.places[number].stack].shape, group), []).append(number)
    given = {
        shape: said
        for shape, sensor in findings.sensors.items()
        if (said := given_geometry(options.poni, options.beam, shape, sensor.pixel_size))
    }
    found = {}
    for (shape, group), own in numbers.items():
        if shape in given:
            found[shape, group] = given[shape]
        elif locate:
            frames = raw_frames(findings, _spread(own, BEAM_SAMPLE))
            found[shape, group] = find_geometry(frames, shape, findings.sensors[shape].pixel_size)
    return found


def read_raw(findings: Findings, numbers: Sequence[int]) -> Iterator[RawFrame]:
    """Read frames by their numbers in `findings.places`, with what is valid and observed in each.

    Raises InputError for a damaged file, or a frame without a single observed pixel.
    """
    for frame in raw_frames(findings, numbers):
        if not frame.observed.any():
            raise InputError(
                f"a frame needs observed pixels, got none (gaps, codes or masked all over) in {frame.name!r}: "
                "leave it out"
            )
        yield frame


def raw_frames(findings: Findings, numbers: Sequence[int]) -> Iterator[RawFrame]:
    """Read frames as `read_raw`, also those in which nothing is observed."""
    shapes = {findings.stacks[findings.places[number].stack].shape for number in numbers}
    laid = {shape: findings.target.gap_for(shape) for shape in shapes}
    for number, frame in zip(numbers, _read(findings.stacks, [findings.places[n] for n in numbers]), strict=True):
        stack = findings.stacks[findings.places[number].stack]
        sensor, gap = findings.sensors[stack.shape], laid[stack.shape]
        valid, saturated = measured(frame.counts, gap, frame.invalid, frame.stated, below_zero=sensor.below_zero)
        codes = sensor.masked | sensor.no_data(frame.counts)
        saturated &= ~codes
        valid &= ~(saturated | codes | sensor.dead)
        # What is seen must not depend on the counts in gaps.
        hot = hot_pixels(frame.counts, (valid | saturated) & ~gap) | hot_pixels(frame.counts, valid & gap)
        valid &= ~hot
        valid &= ~sensor.parts.without_counts(frame.counts, valid)
        # One constant in every gap pixel is a code, not a measurement: there is no truth.
        if gap.any() and (frame.counts[gap] == frame.counts[gap][0]).all():
            valid &= ~gap
        offset = findings.pedestals[findings.places[number].stack]
        unplaced = any(map(math.isnan, frame.calibration))
        yield RawFrame(
            name=findings.names[number],
            group=findings.groups[number],
            category=findings.categories[number],
            # Noise about the pedestal may be negative: the resize averages it before it clips.
            truth=np.where(valid, frame.counts, 0).astype(np.float32) - np.float32(offset)
            if offset
            else frame.counts,
            valid=valid,
            observed=valid & ~gap,
            clean=frame.clean,
            calibration=findings.geometry(number).calibration if unplaced else frame.calibration,
            stated=frame.stated,
            hot=hot,
        )


class Measured(NamedTuple):
    """One frame as its file holds it, and what of it was measured; all arrays (rows, columns)."""

    counts: npt.NDArray[np.generic]
    valid: Bools
    """Measured. The others hold codes, or nothing, and can be filled."""
    hidden: Bools
    """Measured, but not to be gone by: dead ones and full counters."""


def measured_frames(findings: Findings, numbers: Sequence[int]) -> Iterator[Measured]:
    """Read frames by their numbers in `findings.places`, with what of them was measured.

    Raises InputError for a damaged file.
    """
    for number, frame in zip(numbers, _read(findings.stacks, [findings.places[n] for n in numbers]), strict=True):
        sensor = findings.sensors[findings.stacks[findings.places[number].stack].shape]
        valid, saturated = measured(
            frame.counts, sensor.gap, frame.invalid, frame.stated, below_zero=sensor.below_zero
        )
        valid &= ~(sensor.masked | sensor.no_data(frame.counts))
        valid &= ~sensor.parts.without_counts(frame.counts, valid)
        yield Measured(frame.counts, valid, valid & (sensor.dead | saturated))


def _sensor(stacks: Sequence[Stack], places: Sequence[Place], mask: Bools | None) -> Sensor:
    """Find out whose frames these are, all of one shape."""
    shape = stacks[places[0].stack].shape
    masked = mask if mask is not None and mask.shape == shape else np.zeros(shape, bool)
    tally = Tally(shape)
    for frame in _read(stacks, places):
        tally.add(frame.counts, recorded(frame.counts, frame.invalid, stated=frame.stated))
    said = " ".join(sorted({stacks[place.stack].detector for place in places}))
    found, origin = recognise(shape, said, tally)
    below_zero, coded = False, np.zeros(shape, bool)
    if tally.odd.any():
        hidden = found.gap | masked
        below_zero = subtracted(
            (frame.counts, hidden if frame.invalid is None else hidden | frame.invalid)
            for frame in _read(stacks, places)
        )
        coded = tally.coded(found.gap)
        if below_zero:
            tally = Tally(shape)
            for frame in _read(stacks, places):
                known = recorded(frame.counts, frame.invalid, found.gap, frame.stated, below_zero=True)
                tally.add(frame.counts, known & ~coded)
    few = _read(stacks, _spread(places, PEDESTAL_SAMPLE))
    pedestals = sorted(
        pedestal.estimate(
            frame.counts,
            recorded(frame.counts, frame.invalid, found.gap, frame.stated, below_zero=below_zero) & ~found.gap,
        )
        for frame in few
    )
    return Sensor(
        name=found.name,
        origin=origin,
        gap=found.gap,
        pixel_size=found.pixel_size,
        masked=masked,
        dead=tally.dead() & ~found.gap,
        pedestal=pedestals[len(pedestals) // 2],
        below_zero=below_zero,
        coded=coded,
        sample=tuple(places),
    )


def _read(stacks: Sequence[Stack], places: Sequence[Place]) -> Iterator[Recorded]:
    """Read frames in this order, opening a file once for those that follow each other."""
    for stack, together in groupby(places, key=lambda place: place.stack):
        yield from read(stacks[stack], [place.frame for place in together])


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """Choose `count` of them or fewer, evenly from first to last."""
    chosen = np.linspace(0, len(items) - 1, min(count, len(items)))
    return [items[int(place)] for place in np.round(chosen)]


def _target(sensors: dict[Shape, Sensor], name: str | None) -> tuple[Detector, str]:
    """Tell whose gaps are to be filled: the detector named, else the one with gaps, else what the mask hides.

    Where that cannot be told it is a detector without gaps, and why.
    """
    if name is not None:
        named = detector(name)
        if not named.gap.any():
            raise InputError(f"--detector must name one with gaps to fill, got {name!r}: {named.name} has none")
        return named, ""
    found = [Detector(sensor.name, sensor.gap, sensor.pixel_size) for sensor in sensors.values()]
    gapped = [one for one in found if one.gap.any()] or [
        Detector(f"{sensor.name}, gaps from the mask", sensor.masked, sensor.pixel_size)
        for sensor in sensors.values()
        if sensor.masked.any()
    ]
    if len(gapped) == 1:
        return gapped[0], ""
    none = Detector("none", np.zeros_like(found[0].gap), found[0].pixel_size)
    if gapped:
        return none, (
            f"the frames must be of one detector with gaps, got {'; '.join(one.name for one in gapped)}: say with "
            "--detector NAME whose gaps are to be filled"
        )
    return none, (
        f"it must be known whose gaps are to be filled, got frames without gaps "
        f"({'; '.join(one.name for one in found)}): say --detector NAME, as Pilatus2M, or give the gaps with "
        "--mask FILE"
    )


def _given_pedestal(text: str | None) -> float | None:
    """Return the counts that the user says, 0 for none; None where they are to be estimated."""
    if text == "auto":
        return None
    if text is None:
        return 0.0
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"--pedestal must be a number of counts or auto, got {text!r}")
    return value


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
