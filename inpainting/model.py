"""A model that fills frames: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from inpainting import model_file
from inpainting.familiarity import traits, unlike
from inpainting.filler import FrameFiller, WindowFiller, spans
from inpainting.model_file import Description, ModelFile
from inpainting.native import enlarge, nearest, whole_counts
from inpainting.uncertainty import LEVELS, counting_noise
from scattering.arrays import Bools, Counts, Floats, Reals
from scattering.calibration import Calibration
from scattering.detectors import detector
from scattering.errors import InputError, one_line
from scattering.filling.interpolation import linear
from scattering.filling.texture import texture
from scattering.preprocessing import resize, to_counts, to_intensity
from scattering.survey.background import subtracted
from scattering.survey.hot import hot_pixels
from scattering.survey.validity import GapParts, gap_parts, measured
from scattering.windows import SMALLEST_SIDE
from trainables import devices
from trainables.rings import estimate

MAX_UNCERTAINTY = 1.0
"""How much a filled count may be uncertain, as a share of it, before its pixel is left as it is; without the noise of
counting, which no fill can know."""

FORCED_REACH = 2
"""How many times farther from measured pixels `force` fills than the training did: gaps of EIGER detectors are twice
as wide as those of PILATUS. There intervals are widened in proportion, which nobody has calibrated."""


class Fill(NamedTuple):
    """A filled frame, (rows, columns)."""

    counts: Counts
    """In the type given; measured pixels bit for bit as they were."""
    uncertainty: Floats
    """Half-width of the interval that holds 68 % of true counts, their own noise included; NaN where not filled."""


@dataclass(frozen=True)
class Report:
    """The result of filling one frame, in numbers."""

    filled: int
    """Pixels that were filled,"""
    far: int
    """left because none that was measured is near enough, and"""
    unsure: int
    """left because the model is too uncertain."""
    doubts: tuple[str, ...]
    """In what the frame is unlike those that the model was trained on."""
    rings: bool
    """Whether the fill follows the rings of the frame: the model looks at them, and the geometry was given."""


class _Working(NamedTuple):
    """A frame on the working grid, (H, W)."""

    measured: Floats
    observed: Bools


class _Prediction(NamedTuple):
    """A frame as the members fill it on the working grid, (H, W), intensity."""

    mean: Floats
    spread: Floats
    contrast: Floats
    distance: npt.NDArray[np.int64]
    rings: bool
    """Whether they followed the rings."""


class Model:
    """Networks that were trained together, and what is known of their errors. `load` reads one from its file."""

    def __init__(self, file: ModelFile, device: torch.device) -> None:
        self.description: Description = file.description
        self.gap = file.gap
        self.device = device
        self._members = [WindowFiller(network, task).to(device) for network, task in file.members]
        self._layout = file.layout

    def fill(
        self,
        counts: Counts,
        valid: Bools | None = None,
        *,
        hidden: Bools | None = None,
        pedestal: float = 0.0,
        calibration: Calibration | None = None,
        max_uncertainty: float = MAX_UNCERTAINTY,
        force: bool = False,
    ) -> Fill:
        """Fill the pixels of one frame (rows, columns) that were not measured.

        `valid` says which were; without it those that hold no code (NaN, 2**31 - 1 and beyond, and numbers below 0
        unless a background was subtracted) and do not lie in the detector's gaps. `hidden` ones stay as they are and
        are not looked at: dead ones; so do hot pixels, and where `valid` is not given full counters. Of a masked
        array, what is masked is missing.
        `pedestal` counts are in every pixel. `calibration` says where the beam hits the frame: a model that was
        trained with it then follows the rings. `force` fills frames unlike those of the training, and pixels up to
        twice as far from measured ones as there.
        Raises InputError for such frames otherwise, and for what is no frame.
        """
        return self.fill_frame(
            counts,
            valid,
            hidden=hidden,
            pedestal=pedestal,
            calibration=calibration,
            max_uncertainty=max_uncertainty,
            force=force,
        )[0]

    def fill_frame(
        self,
        counts: Counts,
        valid: Bools | None = None,
        *,
        hidden: Bools | None = None,
        pedestal: float = 0.0,
        calibration: Calibration | None = None,
        max_uncertainty: float = MAX_UNCERTAINTY,
        force: bool = False,
    ) -> tuple[Fill, Report]:
        """Do as `fill`, and say what was done."""
        masked = np.ma.getmaskarray(counts) if isinstance(counts, np.ma.MaskedArray) else None
        counts = np.asarray(counts)
        if counts.ndim != 2 or counts.dtype.kind not in "iuf" or min(counts.shape) < SMALLEST_SIDE:
            raise InputError(
                f"a frame must be numbers of shape (rows, columns), {SMALLEST_SIDE} or more of each, got "
                f"{counts.dtype} of shape {counts.shape}"
            )
        if not 0 <= max_uncertainty < math.inf:
            raise InputError(f"max_uncertainty must be a share of the counts, 0 or more, got {max_uncertainty}")
        for name, flags in (("valid", valid), ("hidden", hidden)):
            if flags is not None and np.shape(flags) != counts.shape:
                raise InputError(f"{name} must have the shape of the frame, {counts.shape}, got {np.shape(flags)}")
        saturated = np.zeros(counts.shape, bool)
        if valid is None:
            valid, saturated = self.measured(counts)
        valid = np.asarray(valid, bool) & np.isfinite(counts)
        if masked is not None:
            valid &= ~masked
        known = valid if hidden is None else valid & ~np.asarray(hidden, bool)
        seen = known & ~saturated & ~hot_pixels(counts, known)
        if not seen.any():
            raise InputError("a frame needs measured pixels, got none: leave it out")
        working = self._resized(counts, seen, pedestal)
        doubts = self._doubts(counts.shape, working)
        if doubts and not force:
            raise InputError(f"the model was not made for such a frame: {'; '.join(doubts)}: fill it anyway by force")
        located = None
        if self.looks_at_rings and calibration is not None and not math.isnan(calibration.distance):
            located = calibration.resized((counts.shape[0], counts.shape[1]), working.measured.shape)
        found = self._predict(working, located)
        return self._filled(counts, ~valid, found, pedestal, max_uncertainty, force, doubts)

    def measured(self, counts: Counts) -> tuple[Bools, Bools]:
        """Tell which pixels were measured, and which are full, where nobody says it: see `fill`."""
        gap, parts = self._own_gaps
        if gap.shape != counts.shape:
            # Files of other detectors have codes in their gaps.
            gap = np.zeros(counts.shape, bool)
            return measured(counts, gap, below_zero=subtracted([(counts, gap)]))
        valid, saturated = measured(counts, gap, below_zero=subtracted([(counts, gap)]))
        return valid & ~parts.without_counts(counts, valid), saturated

    @cached_property
    def _own_gaps(self) -> tuple[Bools, GapParts]:
        """The gaps of the detector at its own size; none of one that pyFAI does not know."""
        gap = np.zeros(self.description.native, bool)
        with suppress(InputError):
            gap = detector(self.description.detector).gap
        return gap, gap_parts(gap)

    def _resized(self, counts: Counts, seen: Bools, pedestal: float) -> _Working:
        """Prepare a frame as those of the training were; another detector's at the same scale."""
        shape = working_shape(self.description, (counts.shape[0], counts.shape[1]))
        # Noise about the pedestal may be negative: the resize averages it before it clips.
        values = counts.astype(np.float32) - np.float32(pedestal) if pedestal else counts
        resized, observed = resize(values, seen, shape)
        return _Working(np.asarray(to_intensity(resized, self.description.full_scale), np.float32), observed)

    def _doubts(self, shape: tuple[int, ...], working: _Working) -> tuple[str, ...]:
        """In what a frame is unlike those of the training."""
        native, reasons = self.description.native, []
        if shape != native:
            reasons.append(
                f"it has {shape[0]} x {shape[1]} pixels, those of {self.description.detector} in training had "
                f"{native[0]} x {native[1]}"
            )
        gap = self.gap if working.observed.shape == self.gap.shape else np.zeros(working.observed.shape, bool)
        if not working.observed.any():
            return (*reasons, "next to nothing of it is measured")
        found = traits(working.measured, working.observed, gap)
        if gap is not self.gap:
            found.pop("hidden")  # its gaps are others
        return (*reasons, *unlike(found, self.description.familiar, self.description.full_scale))

    @property
    def looks_at_rings(self) -> bool:
        """Tell whether a frame's geometry is of use to it."""
        return any(member.task.rings for member in self._members)

    @torch.no_grad()
    def _predict(self, frame: _Working, calibration: Calibration | None = None) -> _Prediction:
        """Fill a frame by all members together, along its rings where its geometry at the working size is known."""
        measured, observed = (torch.from_numpy(array).to(self.device)[None, None] for array in frame)
        rings = None if calibration is None else estimate(measured[0, 0], observed[0, 0], calibration)[None]
        filler = FrameFiller(self._members, spans(self._layout, measured.shape[-1])).to(self.device)
        contrast = texture(linear(measured, observed))[1]
        mean, apart, around = (image[0, 0].cpu().numpy() for image in (*filler(measured, observed, rings), contrast))
        distance = np.rint(ndimage.distance_transform_edt(~frame.observed)).astype(np.int64)
        return _Prediction(mean, apart, around, distance, rings is not None)

    def _filled(
        self,
        counts: Counts,
        missing: Bools,
        found: _Prediction,
        pedestal: float,
        max_uncertainty: float,
        force: bool,
        doubts: tuple[str, ...],
    ) -> tuple[Fill, Report]:
        """Lay what was predicted into the missing pixels of the frame itself."""
        known, scale = self.description.uncertainty_of(found.rings), np.log1p(self.description.full_scale)
        shape = (counts.shape[0], counts.shape[1])
        row, column = np.nonzero(missing)
        places = (row, column)
        distance = nearest(found.distance, shape, places)
        far = distance > known.reach * (FORCED_REACH if force else 1)
        beyond = np.maximum(distance / known.reach, 1)
        distance = np.minimum(distance, known.reach)
        intensity, apart, contrast = (enlarge(image, shape, places) for image in found[:3])
        mean = np.asarray(to_counts(intensity, self.description.full_scale), np.float64)

        def half_width(noise: Reals) -> Reals:
            """Of the interval in counts: exact, as the intensity is a logarithm."""
            width = beyond * known.half_width(LEVELS[0], known.scale(apart, contrast, noise, distance), distance)
            return np.asarray((1 + mean) * np.sinh(np.minimum(width, 1.0) * scale))

        # Not what is larger: NaN is neither.
        kept = ~far & (half_width(np.zeros_like(mean)) <= max_uncertainty * (1 + mean)) & np.isfinite(mean)
        unsure = ~(far | kept)
        places = (row[kept], column[kept])
        result = counts.copy()
        result[places] = whole_counts(np.maximum(mean[kept], 0) + pedestal, places, counts.dtype)
        uncertainty = np.full(shape, np.nan, np.float32)
        uncertainty[places] = half_width(
            np.asarray(counting_noise(intensity, self.description.full_scale, 1), np.float64)
        )[kept]
        report = Report(int(kept.sum()), int(far.sum()), int(unsure.sum()), doubts, found.rings)
        return Fill(result, uncertainty), report


def working_shape(description: Description, shape: tuple[int, int]) -> tuple[int, int]:
    """Return the working shape of a frame of `shape`: as in training, or at the same scale."""
    if shape == description.native:
        return description.working
    sides = zip(shape, description.native, description.working, strict=True)
    rows, columns = (max(round(size * new / old), SMALLEST_SIDE) for size, old, new in sides)
    return rows, columns


def load(path: str | Path, device: str | torch.device | None = None) -> Model:
    """Read a model: a file, or the folder of a run. Without a `device` it uses a GPU if there is one.

    Raises InputError for what is no model.
    """
    try:
        chosen = devices.with_index(torch.device(device)) if device else devices.device()
        torch.empty(0, device=chosen).cpu()
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"device must be one that PyTorch has here, got {device!r}, {one_line(error)}: leave it out or take cpu"
        ) from None
    return Model(model_file.read(Path(path)), chosen)
