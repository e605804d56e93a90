"""Everything that fills gaps and is measured: classical methods, networks, their ensemble, the noise-free pattern."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from inpainting.filler import FrameFiller, WindowFiller, spans
from scattering.arrays import Bools, Floats
from scattering.calibration import Calibration
from scattering.filling.interpolation import biharmonic, linear
from scattering.filling.polar import inpaint
from scattering.filling.rings import along
from scattering.filling.symmetry import friedel
from trainables import devices
from trainables.images import Images
from trainables.models import load
from trainables.tasks import Task

BIHARMONIC = "biharmonic"
NOISE_FLOOR = "noise floor"


class Filler(NamedTuple):
    """Fills gaps; of images only `measured` and `observed`, and how their frames lie, may be looked at."""

    frames: Callable[[Images], Floats]
    """Fill whole frames, (K, H, W)."""
    windows: Callable[[Images], Floats]
    """Fill windows, likewise."""
    rings: bool = False
    """Whether it looks at `Images.rings`, which are made once for all fillers."""


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

    @property
    def trained(self) -> bool:
        """Tell whether it is made of networks."""
        return self.kind in ("network", "ensemble")


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
    """Make a method of a function that needs the whole frame and where the beam hits it: windows are cut out.

    A frame of unknown geometry is filled by `linear`.
    """

    def each(images: Images) -> Floats:
        filled = images.measured.copy()
        calibrations = images.data.calibrations
        for frame in images.whole():
            calibration = calibrations[frame.frame]
            if calibration is None:
                whole = linear(torch.from_numpy(frame.measured), torch.from_numpy(frame.observed)).numpy()
            else:
                whole = fill_frame(frame.measured, frame.observed, calibration)
            for number, part in images.parts(frame, whole):
                filled[number] = part
        return filled

    return Method(name, "classical", (Filler(each, each),))


def _along_rings(images: Images) -> Floats:
    measured, observed = (torch.from_numpy(array) for array in (images.measured, images.observed))
    return along(images.rings[:, 0], measured, observed).numpy()


RINGS = Method("along rings", "classical", (Filler(_along_rings, _along_rings, rings=True),))
PYFAI = around_beam("pyFAI, default bins", inpaint)
FRIEDEL = around_beam("Friedel symmetry", friedel)


def network_filler(members: Sequence[tuple[nn.Module, Task]]) -> Filler:
    """Fill with trained networks; with the mean of several, a deep ensemble (Lakshminarayanan et al. 2017).

    Frames are filled by the code that fills users' frames.
    """
    device = devices.device()
    fillers = [WindowFiller(network, task).to(device).eval() for network, task in members]

    def tensors(images: Images) -> Iterator[list[Tensor]]:
        known = images.rings if any(filler.task.rings for filler in fillers) else None
        for number, pair in enumerate(zip(images.measured, images.observed, strict=True)):
            one = [torch.from_numpy(array)[None, None] for array in pair]
            one += [] if known is None else [known[number][None]]
            yield [tensor.to(device) for tensor in one]

    @torch.no_grad()
    def frames(images: Images) -> Floats:
        if not len(images):
            return images.measured
        layout = images.data.windows
        filler = FrameFiller(fillers, spans(layout, layout.frame_shape[1])).to(device)
        return torch.cat([filler(*frame)[0][:, 0].cpu() for frame in tensors(images)]).numpy()

    @torch.no_grad()
    def windows(images: Images) -> Floats:
        if not len(images):
            return images.measured
        given = [torch.cat(parts) for parts in zip(*tensors(images), strict=True)]
        fills = torch.stack([filler(*given) for filler in fillers])
        return fills.mean(0)[:, 0].cpu().numpy()

    return Filler(frames, windows, any(task.rings for _, task in members))


def stored_filler(paths: Sequence[Path], *, rings: bool) -> Filler:
    """Fill with networks that are read from their files where gaps are filled; tell whether any looks at rings."""
    # A worker of Ray has a working directory of its own.
    files = tuple(path.resolve() for path in paths)
    return Filler(lambda images: _read(files).frames(images), lambda images: _read(files).windows(images), rings)


TOGETHER = 8
"""Fillers that take turns at the same frames."""


@lru_cache(maxsize=TOGETHER)
def _read(files: tuple[Path, ...]) -> Filler:
    """Keep the last ones: a process fills a few frames a task, one task after another."""
    return network_filler([load(file) for file in files])


def _noise_free(images: Images) -> Floats:
    assert images.clean is not None, "asked for where it is known"
    return images.clean


FLOOR = Method(NOISE_FLOOR, "limit", (Filler(_noise_free, _noise_free),))
