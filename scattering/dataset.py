"""The data set: frames prepared for training, and what is known about each pixel."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scattering.arrays import Bools, Floats
from scattering.artificial import moved_gaps
from scattering.calibration import UNKNOWN, Calibration
from scattering.detectors import Detector
from scattering.errors import InputError
from scattering.preprocessing import FULL_SCALE, column_sums, means, resize, to_intensity
from scattering.reading.pages import NOTHING, Stated
from scattering.split import assign, too_few_groups
from scattering.strips import strip_columns, strips
from scattering.windows import Windows, vertical_gaps, windows


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
    stated: Stated = NOTHING
    """What its file says of its numbers."""
    hot: Bools | None = None
    """Counts far more than its neighbours: not valid."""


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
    parts: tuple[str, ...]
    """What each frame is for, one of PARTS; "" for all where there are too few groups to split."""
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
    checked: str = field(default="", compare=False)
    """The fingerprint, where it was checked when the data set was read: hashing it again takes as long as reading."""

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.names)

    @cached_property
    def windows(self) -> Windows:
        """The windows that frames are cut into."""
        return windows(self.gap)

    @property
    def calibrations(self) -> list[Calibration | None]:
        """The geometry of each frame at the working size; None where it is not known."""
        if self.calibration is None:
            return [None] * len(self)
        return [None if np.isnan(row).any() else Calibration(*row.tolist()) for row in self.calibration]

    @property
    def full_scale(self) -> float:
        """Counts that map to intensity 1."""
        return float(self.settings["full_scale"])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in vars(self).values() if isinstance(array, np.ndarray))

    def select(self, frames: Sequence[int]) -> Dataset:
        """Keep these frames, in this order."""
        chosen = list(frames)
        changes: dict[str, Any] = {"checked": ""} | {name: getattr(self, name)[chosen] for name in ARRAYS}
        changes |= {name: tuple(getattr(self, name)[i] for i in chosen) for name in LABELS}
        changes |= {name: array[chosen] for name in EXTRAS if (array := getattr(self, name)) is not None}
        return replace(self, **changes)

    def part(self, name: str) -> Dataset:
        """Select the frames for "train", "validation" or "test".

        Raises InputError as `members` does.
        """
        return self.select(self.members(name))

    def members(self, part: str) -> list[int]:
        """Return the numbers of the frames for "train", "validation" or "test".

        Raises InputError when there were too few groups to split.
        """
        if not all(self.parts):
            raise too_few_groups(self.groups)
        return [frame for frame, own in enumerate(self.parts) if own == part]

    def labels(self, frame: int) -> tuple[str, ...]:
        """Return the labels of one frame, in the order of LABELS."""
        return tuple(getattr(self, name)[frame] for name in LABELS)

    def rows(self, frame: int) -> dict[str, npt.NDArray[Any]]:
        """One frame's row of each array."""
        found = {name: getattr(self, name)[frame] for name in ARRAYS}
        found["calibration"] = np.array(UNKNOWN) if self.calibration is None else self.calibration[frame]
        return found if self.clean is None else found | {"clean": self.clean[frame]}

    def digests(self) -> list[bytes]:
        """SHA-256 of each frame."""
        # Hashing leaves Python to the other threads.
        with ThreadPoolExecutor() as threads:
            return list(
                threads.map(lambda frame: frame_digest(self.labels(frame), self.rows(frame)), range(len(self)))
            )

    def fingerprint(self) -> str:
        """SHA-256 over every label, pixel and flag: equal data, equal fingerprint."""
        return fingerprint(self.full_scale, self.strip_starts, self.gap, self.digests())


ARRAYS = ("measured", "observed", "truth", "valid", "strips", "strips_observed")
EXTRAS = ("clean", "calibration")
"""Arrays that may be missing."""
LABELS = ("names", "groups", "categories", "parts")


@dataclass(frozen=True)
class Recipe:
    """Settings that the preparation of all frames of a data set has in common."""

    detector: Detector
    """Whose gaps are filled, at a size of its own."""
    layout: Windows
    strip_starts: tuple[int, ...]
    strip_width: int
    _gaps: dict[tuple[int, int], Bools] = field(default_factory=dict)

    def gap(self, shape: tuple[int, int]) -> Bools:
        """The detector's gaps in frames of `shape`, laid over them once."""
        if shape not in self._gaps:
            self._gaps[shape] = self.detector.gap_for(shape)
        return self._gaps[shape]


def recipe(detector: Detector, shape: tuple[int, int], narrowest: int) -> Recipe:
    """Lay out the working `shape`, (rows, columns), for frames of `narrowest` columns or more.

    Raises InputError where no window would be free of vertical gaps.
    """
    layout = windows(detector.gap_for(shape))
    return Recipe(detector, layout, *strip_columns(layout, narrowest))


def check_gaps(detector: Detector, shape: tuple[int, int]) -> None:
    """Raise InputError where a detector has no gaps to fill, or the working `shape` has none of a kind any more."""
    if not detector.gap.any():
        raise InputError(f"the detector must have gaps to fill, got {detector.name}, which has none: give --detector")
    for kind, own, left in zip(
        ("vertical", "horizontal"), _kinds(detector.gap), _kinds(detector.gap_for(shape)), strict=True
    ):
        if own and not left:
            raise InputError(
                f"at the working size the gaps must be wider than half a pixel, got --size {shape[0]}x{shape[1]}, "
                f"where the {kind} gaps of {detector.name} vanish: take a larger one"
            )


def _kinds(gap: Bools) -> tuple[bool, bool]:
    """Tell whether there are vertical gaps, and others."""
    vertical = vertical_gaps(gap)
    return bool(vertical.any()), bool(gap[:, ~vertical].any())


def build(
    frames: Iterable[RawFrame],
    detector: Detector,
    shape: tuple[int, int],
    settings: dict[str, Any],
    narrowest: int,
    seed: int = 0,
) -> Dataset:
    """Prepare frames of any size for the working `shape`, (rows, columns); artificial gaps follow `detector`.

    `narrowest` is the fewest columns that any of the frames has: it says how wide the strips must be. `seed` decides
    the split.
    Raises InputError when there is no frame, or a frame has no observed pixel.
    """
    common = recipe(detector, shape, narrowest)
    labels, rows = [], []
    for frame in frames:
        labels.append((frame.name, frame.group, frame.category))
        rows.append(prepare_frame(frame, common))
    if not rows:
        raise InputError("a data set needs frames, got none")
    names, groups, categories = zip(*labels, strict=True)
    arrays: dict[str, Any] = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    calibration = arrays.pop("calibration")
    return Dataset(
        settings={"full_scale": FULL_SCALE, **settings},
        gap=detector.gap_for(shape),
        names=names,
        groups=groups,
        categories=categories,
        parts=assign(groups, seed),
        strip_starts=common.strip_starts,
        calibration=known_calibration(calibration),
        **arrays,
    )


def prepare_frame(frame: RawFrame, common: Recipe) -> dict[str, npt.NDArray[Any]]:
    """Resize one frame: the truth from valid pixels, what the network sees from observed pixels alone.

    Returns its row of each of the arrays of `Dataset`.
    """
    layout = common.layout
    rows, columns = layout.frame_shape
    counts = frame.truth if frame.measured is None else frame.measured
    gap = common.gap((counts.shape[0], counts.shape[1]))
    seen = frame.observed & ~moved_gaps(gap, frame.valid, frame.name)
    if not (seen.any() and frame.valid.any()):
        raise InputError(f"a frame needs observed pixels, got none in {frame.name}: leave it out")
    sums = column_sums(counts, seen, rows)
    measured, observed = means(sums, columns)
    truth, valid = measured, observed
    if frame.measured is not None or not np.array_equal(seen, frame.valid):
        truth, valid = resize(frame.truth, frame.valid, layout.frame_shape)
    around, around_observed = strips(sums, vertical_gaps(gap), layout, common.strip_starts, common.strip_width)
    prepared = {
        "measured": _intensity(measured),
        "observed": observed,
        "truth": _intensity(truth),
        "valid": valid,
        "strips": _intensity(around),
        "strips_observed": around_observed,
        "calibration": np.array(frame.calibration.resized(counts.shape, layout.frame_shape), np.float64),
    }
    if frame.clean is not None:
        prepared["clean"] = _intensity(resize(frame.clean, np.ones_like(frame.valid), layout.frame_shape)[0])
    return prepared


def _intensity(counts: Floats) -> Floats:
    return np.asarray(to_intensity(counts), dtype=np.float32)


def known_calibration(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """Return the geometry of frames (N, fields), or None where none of them is known."""
    return None if np.isnan(rows).any(axis=1).all() else rows


def frame_digest(labels: Sequence[str], rows: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """SHA-256 of all that a data set says of one frame: its labels, and its row of each array."""
    digest = hashlib.sha256(json.dumps(list(labels)).encode())
    for name in (*ARRAYS, *EXTRAS):
        # A frame of unknown geometry is the same among frames whose geometry is known.
        if name in rows and not (name == "calibration" and np.isnan(rows[name]).any()):
            digest.update(f"{name} {rows[name].shape}".encode())
            digest.update(np.ascontiguousarray(rows[name]).data)
    return digest.digest()


def fingerprint(full_scale: float, strip_starts: Sequence[int], gap: Bools, digests: Iterable[bytes]) -> str:
    """SHA-256 of a data set, in hexadecimal: what all frames share, and the digest of each."""
    whole = hashlib.sha256(json.dumps([full_scale, list(strip_starts), gap.shape]).encode())
    whole.update(np.ascontiguousarray(gap).data)
    for digest in digests:
        whole.update(digest)
    return whole.hexdigest()
