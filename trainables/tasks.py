"""Two ways to pose the task to the same network (DESIGN 8): blind and residual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.batches import Batch
from trainables.hints import CHANNELS
from trainables.hints import make as make_hints


@dataclass(frozen=True)
class Task:
    """The making of a network's input and the reading of its output; everything (N, C, H, W)."""

    in_channels: int
    predict: Callable[[nn.Module, Tensor, Tensor, Tensor | None], Tensor]
    """(network, measured, observed, hints) -> intensity everywhere; from observed pixels alone. Hints are those of
    `trainables.hints`, which are made where there are none."""
    scored: Callable[[Batch], Tensor]
    """Pixels whose error is the training loss."""


def predict_blind(network: nn.Module, measured: Tensor, observed: Tensor, hints: Tensor | None = None) -> Tensor:
    """Paint the whole window from the intensity with zeros in the gaps, as in the paper."""
    return apply(network, measured, observed)


SMALLEST_CONTRAST = 1e-3
"""Intensity; a thousandth of full scale is a fifth of what `linear` errs by on simulated frames."""


def predict_residual(network: nn.Module, measured: Tensor, observed: Tensor, hints: Tensor | None = None) -> Tensor:
    """Correct a linear interpolation of the gaps; observed pixels stay as measured.

    The network sees the interpolation's contrast against its surroundings, where the gaps are, and what
    interpolations along slanted lines would give instead, all in units of the local contrast (root mean square
    over 9 x 9 pixels). Its correction is in the same unit: a faint halo and a bright ring are one task.
    """
    if hints is None or not hints.shape[1]:
        hints = make_hints(measured, observed)
    return correct(network, measured, observed, hints[:, :1], hints[:, 1:])


def correct(network: nn.Module, measured: Tensor, observed: Tensor, start: Tensor, slants: Tensor) -> Tensor:
    """Do the network's part of `predict_residual`: from `start` and what lines of other slopes would give instead."""
    detail, contrast = texture(start)
    gap = (~observed).to(start.dtype)
    # 0.3 and 1 bring the logarithm of contrasts between 1e-3 and 0.1 near 0.
    level = 0.3 * contrast.log() + 1
    inputs = torch.cat((level, detail / contrast, gap, slants / contrast), dim=1)
    correction = apply(network, inputs, observed)
    return torch.where(observed, measured, start + contrast * correction)


def apply(network: nn.Module, inputs: Tensor, observed: Tensor) -> Tensor:
    """Pass inputs (N, C, H, W) through a network, and which pixels are observed where it wants to know."""
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    takes_observed = getattr(unwrap(network), "takes_observed", False)
    output: Tensor = network(inputs, observed) if takes_observed else network(inputs)
    return output


def unwrap(network: nn.Module) -> nn.Module:
    """Return the network inside DistributedDataParallel, or the network itself."""
    inner = getattr(network, "module", network)
    return inner if isinstance(inner, nn.Module) else network


def texture(start: Tensor) -> tuple[Tensor, Tensor]:
    """Return the detail of images without holes (N, 1, H, W), and its size about each pixel: the local contrast."""
    detail = start - _surroundings(start)
    return detail, _surroundings(detail.square()).sqrt() + SMALLEST_CONTRAST


def _surroundings(image: Tensor) -> Tensor:
    """Mean over 9 x 9 pixels, along columns and then along rows: 18 additions a pixel in the place of 81."""
    down = F.avg_pool2d(image, (9, 1), stride=1, padding=(4, 0), count_include_pad=False)
    return F.avg_pool2d(down, (1, 9), stride=1, padding=(0, 4), count_include_pad=False)


TASKS: dict[str, Task] = {
    "blind": Task(1, predict_blind, lambda batch: batch.valid),
    "residual": Task(2 + CHANNELS, predict_residual, lambda batch: batch.held_out),
}


def fill(task: Task, network: nn.Module, measured: Tensor, observed: Tensor) -> Tensor:
    """Fill the unobserved pixels; observed ones are put back untouched. Intensity stays at or above 0."""
    return torch.where(observed, measured, task.predict(network, measured, observed, None).clamp(min=0))
