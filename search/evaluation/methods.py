"""Everything that fills gaps and is measured: classical methods, networks, their ensemble, the noise-free pattern."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from scattering.arrays import Bools, Floats
from scattering.calibration import Calibration
from scattering.filling.interpolation import biharmonic, linear
from scattering.filling.polar import inpaint
from scattering.filling.symmetry import friedel
from scattering.windows import cut, stitch
from search.evaluation.images import Images
from trainables import devices
from trainables.tasks import Task, fill

BATCH = 16
BIHARMONIC = "biharmonic"
NOISE_FLOOR = "noise floor"


class Filler(NamedTuple):
    """Fills gaps; of images only `measured` and `observed`, and how their frames lie, may be looked at."""

    frames: Callable[[Images], Floats]
    """Fill whole frames, (K, H, W)."""
    windows: Callable[[Images], Floats]
    """Fill windows, likewise."""


@dataclass(frozen=True)
class Method:
    """One row of the leaderboard, with what it says beside the errors."""

    name: str
    kind: str
    """network, ensemble, classical or limit."""
    fillers: tuple[Filler, ...]
    """One; of a network that was trained with several seeds, one a seed."""
    parameters: int | None = None
    train_seconds: float | None = None
    network: str = ""
    task: str = ""
    trial: int | None = None
    point: int | None = None
    seeds: int | None = None


def _alone(name: str, fill_image: Callable[[Floats, Bools], Floats]) -> Method:
    """Make a method of a function that fills an image from itself."""

    def each(images: Images) -> Floats:
        filled = [fill_image(*pair) for pair in zip(images.measured, images.observed, strict=True)]
        return np.stack(filled) if filled else images.measured

    return Method(name, "classical", (Filler(each, each),))


LINEAR = _alone("linear", lambda image, seen: linear(torch.from_numpy(image), torch.from_numpy(seen)).numpy())
CLASSICAL = (LINEAR, _alone(BIHARMONIC, biharmonic))
"""What needs no geometry."""


def around_beam(name: str, fill_frame: Callable[[Floats, Bools, Calibration], Floats]) -> Method:
    """Make a method of a function that needs the whole frame and where the beam hits it: windows are cut out."""

    def each(images: Images) -> Floats:
        filled = images.measured.copy()
        calibrations = images.data.calibrations
        for frame in images.whole():
            calibration = calibrations[frame.frame]
            assert calibration is not None, "asked for where every geometry is known"
            whole = fill_frame(frame.measured, frame.observed, calibration)
            for number, part in images.parts(frame, whole):
                filled[number] = part
        return filled

    return Method(name, "classical", (Filler(each, each),))


PYFAI = around_beam("pyFAI, default bins", inpaint)
FRIEDEL = around_beam("Friedel symmetry", friedel)


def network_filler(network: nn.Module, task: Task) -> Filler:
    """Fill with a trained network: frames window by window, and stitched."""
    device = devices.device()
    network.to(device).eval()

    @torch.no_grad()
    def each(measured: Floats, observed: Bools) -> Floats:
        if not len(measured):
            return measured
        parts = []
        for start in range(0, len(measured), BATCH):
            values, seen = (
                torch.from_numpy(a[start : start + BATCH])[:, None].to(device) for a in (measured, observed)
            )
            parts.append(fill(task, network, values, seen)[:, 0].cpu())
        return torch.cat(parts).numpy()

    def frames(images: Images) -> Floats:
        layout = images.data.windows
        pieces = [cut(torch.from_numpy(array), layout) for array in (images.measured, images.observed)]
        flat = [np.ascontiguousarray(piece.reshape(-1, *piece.shape[2:]).numpy()) for piece in pieces]
        filled: Tensor = torch.from_numpy(each(flat[0], flat[1])).reshape(pieces[0].shape)
        return np.where(images.observed, images.measured, stitch(filled, layout).numpy())

    return Filler(frames, lambda images: each(images.measured, images.observed))


def averaged(fillers: Sequence[Filler]) -> Filler:
    """Fill with the mean of what several fillers give: a deep ensemble (Lakshminarayanan et al. 2017)."""

    def mean(fills: Sequence[Callable[[Images], Floats]], images: Images) -> Floats:
        total = np.zeros(images.measured.shape, np.float64)
        for each in fills:
            total += each(images)
        return (total / len(fills)).astype(np.float32)

    return Filler(
        lambda images: mean([filler.frames for filler in fillers], images),
        lambda images: mean([filler.windows for filler in fillers], images),
    )


def _noise_free(images: Images) -> Floats:
    assert images.clean is not None, "asked for where it is known"
    return images.clean


FLOOR = Method(NOISE_FLOOR, "limit", (Filler(_noise_free, _noise_free),))
