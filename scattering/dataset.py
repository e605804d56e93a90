"""The data set: frames prepared for training, what is known about each pixel, and the file they live in."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from scattering.calibration import UNKNOWN, Calibration
from scattering.detectors import Detector
from scattering.errors import InputError
from scattering.files import replacing
from scattering.preprocessing import FULL_SCALE, reach, resize, to_intensity
from scattering.windows import Windows, vertical_gaps, windows

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

FORMAT = "gapsearch dataset 2"


class RawFrame(NamedTuple):
    """One frame as a file or the simulator gives it, before the resize; all arrays (rows, columns)."""

    name: str
    group: str
    """Frames of one sample or series share a group: they stay on one side of the split."""
    category: str
    truth: npt.NDArray[np.generic]
    """Counts."""
    valid: Bools
    """The truth is known here."""
    observed: Bools
    """One exposure measures it: the network may see it."""
    measured: npt.NDArray[np.generic] | None = None
    """Counts of that exposure, where they differ from the truth (two exposures merged)."""
    clean: npt.NDArray[np.generic] | None = None
    """Noise-free counts, known to the simulator alone."""
    calibration: Calibration = UNKNOWN
    """Where the beam hits it, at its own size."""


@dataclass(frozen=True)
class Dataset:
    """Prepared frames, intensity in [0, 1]. N frames of (H, W); P gap patterns laid in F free windows."""

    settings: dict[str, Any]
    """What made these frames: title, detector, simulated, full_scale, ..."""
    gap: Bools
    """(H, W), the detector's gaps."""
    names: tuple[str, ...]
    groups: tuple[str, ...]
    categories: tuple[str, ...]
    measured: Floats
    """(N, H, W): what one exposure gives, 0 where not observed. The only intensity a network may see."""
    observed: Bools
    """(N, H, W)"""
    truth: Floats
    """(N, H, W), 0 where not valid."""
    valid: Bools
    """(N, H, W)"""
    strip_starts: tuple[int, ...]
    """(P,): first column of the strips of each gap pattern, within the window."""
    strips: Floats
    """(N, P, F, H, S): `measured` around an artificial gap, computed from the pixels that this gap leaves."""
    strips_observed: Bools
    """(N, P, F, H, S)"""
    clean: Floats | None = None
    """(N, H, W), noise-free; simulated frames only."""
    calibration: npt.NDArray[np.float64] | None = None
    """(N, fields of `Calibration`), at the working size, NaN for a frame of unknown geometry; None where all are."""

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.names)

    @cached_property
    def windows(self) -> Windows:
        """How the frames are cut."""
        return windows(self.gap)

    @property
    def calibrations(self) -> list[Calibration | None]:
        """Where the beam hits each frame, at the working size; None where it is not known."""
        if self.calibration is None:
            return [None] * len(self)
        return [None if np.isnan(row).any() else Calibration(*row.tolist()) for row in self.calibration]

    @property
    def full_scale(self) -> float:
        """Counts that map to intensity 1."""
        return float(self.settings["full_scale"])

    def select(self, frames: Sequence[int]) -> Dataset:
        """Keep these frames, in this order."""
        chosen = list(frames)
        changes: dict[str, Any] = {name: getattr(self, name)[chosen] for name in ARRAYS}
        changes |= {name: tuple(getattr(self, name)[i] for i in chosen) for name in LABELS}
        changes |= {name: array[chosen] for name in EXTRAS if (array := getattr(self, name)) is not None}
        return replace(self, **changes)

    def fingerprint(self) -> str:
        """SHA-256 over every name, pixel and flag: equal data, equal fingerprint."""
        digest = hashlib.sha256(json.dumps([self.full_scale, self.strip_starts]).encode())
        for name in LABELS:
            digest.update(json.dumps(getattr(self, name)).encode())
        for name in ("gap", *ARRAYS, *EXTRAS):
            array = getattr(self, name)
            if array is not None:
                digest.update(f"{name} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


ARRAYS = ("measured", "observed", "truth", "valid", "strips", "strips_observed")
EXTRAS = ("clean", "calibration")
"""Arrays that may be missing."""
LABELS = ("names", "groups", "categories")


def build(
    frames: Iterable[RawFrame],
    detector: Detector,
    shape: tuple[int, int],
    settings: dict[str, Any],
    narrowest: int,
) -> Dataset:
    """Prepare frames of any size for the working `shape`, (rows, columns); artificial gaps follow `detector`.

    `narrowest` is the fewest columns that any of the frames has: it says how wide the strips must be.
    Raises InputError when there is no frame, or a frame has no observed pixel.
    """
    gap = detector.gap_for(shape)
    layout = windows(gap)
    starts, width = _strip_columns(layout, narrowest)
    prepared = [_prepare(frame, detector, layout, starts, width) for frame in frames]
    if not prepared:
        raise InputError("a data set needs frames, got none")
    columns = {name: [row[name] for row in prepared] for name in prepared[0]}
    clean = None if columns["clean"][0] is None else np.stack(columns["clean"])
    calibration = np.array(columns["calibration"], np.float64)
    return Dataset(
        settings={"full_scale": FULL_SCALE, **settings},
        gap=gap,
        names=tuple(columns["names"]),
        groups=tuple(columns["groups"]),
        categories=tuple(columns["categories"]),
        clean=clean,
        calibration=None if np.isnan(calibration).any(axis=1).all() else calibration,
        strip_starts=starts,
        **{name: np.stack(columns[name]) for name in ARRAYS},
    )


def _prepare(
    frame: RawFrame, detector: Detector, layout: Windows, starts: tuple[int, ...], width: int
) -> dict[str, Any]:
    """Resize one frame: the truth from valid pixels, what the network sees from observed pixels alone."""
    shape = layout.frame_shape
    if not (frame.observed.any() and frame.valid.any()):
        raise InputError(f"a frame needs observed pixels, got none in {frame.name}: leave it out")
    counts = frame.truth if frame.measured is None else frame.measured
    measured, observed = resize(counts, frame.observed, shape)
    truth, valid = resize(frame.truth, frame.valid, shape)
    clean = None if frame.clean is None else _intensity(resize(frame.clean, np.ones_like(frame.valid), shape)[0])
    strips, strips_observed = _strips(counts, frame.observed, detector, layout, starts, width)
    return {
        "names": frame.name,
        "groups": frame.group,
        "categories": frame.category,
        "measured": _intensity(measured),
        "observed": observed,
        "truth": _intensity(truth),
        "valid": valid,
        "strips": _intensity(strips),
        "strips_observed": strips_observed,
        "clean": clean,
        "calibration": frame.calibration.resized(counts.shape, shape),
    }


def _intensity(counts: Floats) -> Floats:
    return np.asarray(to_intensity(counts), dtype=np.float32)


def _strips(
    counts: npt.NDArray[np.generic],
    observed: Bools,
    detector: Detector,
    layout: Windows,
    starts: tuple[int, ...],
    width: int,
) -> tuple[Floats, Bools]:
    """Resize the surroundings of every artificial gap without the pixels under it, (P, F, H, S).

    The gap is laid on the frame before the resize: laid after it, the pixels beside the gap would still
    carry some of what lies under it.
    """
    rows, columns = counts.shape
    vertical = np.flatnonzero(vertical_gaps(detector.gap_for((rows, columns))))
    scale = columns / layout.frame_shape[1]
    values = np.zeros((len(starts), len(layout.free), layout.frame_shape[0], width), np.float32)
    known = np.zeros(values.shape, bool)
    for p, gapped in enumerate(layout.gapped):
        first = layout.starts[gapped]
        under = vertical[(vertical >= first * scale) & (vertical < (first + layout.width) * scale)]
        for f, free in enumerate(layout.free):
            hidden = np.zeros(columns, bool)
            place = under + round((layout.starts[free] - first) * scale)
            hidden[place[place < columns]] = True
            left = layout.starts[free] + starts[p]
            strip = slice(left, left + width)
            values[p, f], known[p, f] = resize(counts, observed & ~hidden, layout.frame_shape, strip)
    return values, known


def _strip_columns(layout: Windows, narrowest: int) -> tuple[tuple[int, ...], int]:
    """Where strips lie: first column within the window for each gap pattern, and the columns of a strip.

    A strip holds the gap and all that a resize from `narrowest` columns lets it touch, within the window.
    """
    margin = reach(narrowest, layout.frame_shape[1])
    spans = (np.ptp(np.flatnonzero(layout.pattern(number))) for number in layout.gapped)
    widest = max((int(span) + 1 for span in spans), default=0)
    width = min(widest + 2 * margin, layout.width)
    return tuple(min(max(left - margin, 0), layout.width - width) for left in layout.left_edges), width


def split(groups: Sequence[str], seed: int, shares: tuple[float, float] = (0.15, 0.2)) -> tuple[list[int], ...]:
    """Split frames by group into (train, validation, test) frame numbers; shares are of validation and test.

    Raises InputError when there are fewer than three groups: each part needs one of its own.
    """
    names = sorted(set(groups))
    if len(names) < 3:
        raise InputError(
            f"train, validation and test need a group of frames each, got {len(names)} group(s) in "
            f"{len(groups)} frame(s): give more files, or the attribute `group` in the files"
        )
    members = {name: [i for i, group in enumerate(groups) if group == name] for name in names}
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    parts: list[list[int]] = []
    for share in reversed(shares):
        part = members[order.pop()]
        # The last group is left for training, and one for each part to come.
        while len(part) < share * len(groups) and len(order) > len(shares) - len(parts):
            part = part + members[order.pop()]
        parts.append(part)
    train = [i for name in order for i in members[name]]
    test, validation = parts
    return sorted(train), sorted(validation), sorted(test)


def write(path: Path, data: Dataset) -> None:
    """Write a data set as HDF5, whole or not at all.

    Raises InputError where the file cannot be written.
    """
    arrays = {name: getattr(data, name) for name in (*ARRAYS, *EXTRAS) if getattr(data, name) is not None}
    try:
        with replacing(path) as temporary:
            _reserve(temporary, sum(array.nbytes for array in arrays.values()))
            with h5py.File(temporary, "w") as file:
                file.attrs["format"] = FORMAT
                file.attrs["settings"] = json.dumps(data.settings)
                # Of fixed length: a damaged variable-length string can crash HDF5.
                file.attrs["fingerprint"] = np.bytes_(data.fingerprint())
                for name in LABELS:
                    file[name] = np.array(getattr(data, name), dtype=h5py.string_dtype())
                file["gap"] = data.gap
                file["strip_starts"] = np.array(data.strip_starts, np.int64)
                for name, array in arrays.items():
                    # One frame a chunk: noise hardly compresses, and whole frames are what is read.
                    chunks = (1, *array.shape[1:]) if array.size else None
                    file.create_dataset(name, data=array, chunks=chunks)
    except OSError as error:
        raise InputError(f"cannot write the data set {path}: {error.strerror or error}") from None


def _reserve(path: Path, size: int) -> None:
    """Fail with OSError where `size` bytes do not fit: HDF5 may crash the process on a full disk."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)


def read(path: Path) -> Dataset:
    """Read what `write` wrote.

    Raises InputError for a file that is not a data set, is truncated, or was changed since it was written.
    """
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise InputError(f"{path} is not a data set of this version ({FORMAT!r}): prepare it again")
            columns: dict[str, Any] = {name: tuple(file[name].asstr()[()]) for name in LABELS}
            columns |= {name: file[name][()] for name in ARRAYS}
            columns |= {name: file[name][()] for name in EXTRAS if name in file}
            data = Dataset(
                settings=json.loads(file.attrs["settings"]),
                gap=file["gap"][()],
                strip_starts=tuple(int(start) for start in file["strip_starts"]),
                **columns,
            )
            intact = bytes(file.attrs["fingerprint"]).decode() == data.fingerprint()
    except (OSError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read the data set {path}: {error}") from None
    if not intact:
        raise InputError(f"{path} does not match its own fingerprint, it was damaged or edited: prepare it again")
    return data
