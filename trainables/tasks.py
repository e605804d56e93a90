"""Two ways to pose the task to the same network (DESIGN 8): blind and residual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scattering.interpolation import linear, slanted
from trainables.batches import Batch


@dataclass(frozen=True)
class Task:
    """How a network's input is made and its output is read; everything (N, C, H, W)."""

    in_channels: int
    predict: Callable[[nn.Module, Tensor, Tensor], Tensor]
    """(network, measured, observed) -> intensity everywhere; from observed pixels alone."""
    scored: Callable[[Batch], Tensor]
    """Pixels whose error is the training loss."""


def predict_blind(network: nn.Module, measured: Tensor, observed: Tensor) -> Tensor:
    """Paint the whole window from the intensity with zeros in the gaps, as in the paper."""
    output: Tensor = network(measured.contiguous(memory_format=torch.channels_last))
    return output


SLOPES = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
"""Directions in which the residual task looks across a gap: the best of them errs by a third of `linear`."""


def predict_residual(network: nn.Module, measured: Tensor, observed: Tensor) -> Tensor:
    """Correct a linear interpolation of the gaps; observed pixels stay as measured.

    The network sees that interpolation, its local contrast, where the gaps are, and what interpolations
    along slanted lines would give instead. The factors bring contrasts near 1.
    """
    start = linear(measured, observed)
    background = F.avg_pool2d(start, 9, stride=1, padding=4, count_include_pad=False)
    contrast = (start - background) * 20
    gap = (~observed).to(start.dtype)
    inputs = torch.cat((start, contrast, gap, slanted(start, observed, SLOPES) * 20), dim=1)
    correction: Tensor = network(inputs.contiguous(memory_format=torch.channels_last))
    return torch.where(observed, measured, start + 0.02 * correction)


TASKS: dict[str, Task] = {
    "blind": Task(1, predict_blind, lambda batch: batch.valid),
    "residual": Task(3 + len(SLOPES), predict_residual, lambda batch: batch.held_out),
}


def fill(task: Task, network: nn.Module, measured: Tensor, observed: Tensor) -> Tensor:
    """Fill the unobserved pixels; observed ones are put back untouched. Intensity stays at or above 0."""
    return torch.where(observed, measured, task.predict(network, measured, observed).clamp(min=0))
