"""Two ways to pose the task to the same network (DESIGN 8): blind and residual."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scattering.filling.texture import texture
from trainables.batches import Batch
from trainables.hints import CHANNELS, RING_CHANNELS
from trainables.hints import make as make_hints


@dataclass(frozen=True)
class Task:
    """The making of a network's input and the reading of its output; everything (N, C, H, W)."""

    in_channels: int
    predict: Callable[[nn.Module, Tensor, Tensor, Tensor | None, Tensor | None], Tensor]
    """(network, measured, observed, hints, rings) -> intensity everywhere; from observed pixels alone. Hints are
    those of `trainables.hints`, made where there are none; rings those of `trainables.rings`, where known."""
    scored: Callable[[Batch], Tensor]
    """Pixels whose error is the training loss."""
    rings: bool = False
    """Whether it looks at rings."""


def predict_blind(
    network: nn.Module, measured: Tensor, observed: Tensor, hints: Tensor | None = None, rings: Tensor | None = None
) -> Tensor:
    """Paint the whole window from the intensity with zeros in the gaps, as in the paper."""
    return apply(network, measured, observed)


def predict_residual(
    network: nn.Module, measured: Tensor, observed: Tensor, hints: Tensor | None = None, rings: Tensor | None = None
) -> Tensor:
    """Correct a linear interpolation of the gaps; observed pixels stay as measured.

    The network sees the interpolation's contrast against its surroundings, where the gaps are, and what
    interpolations along slanted lines would give instead, all in units of the local contrast (root mean square
    over 9 x 9 pixels). Its correction is in the same unit: a faint halo and a bright ring are one task.
    """
    start, slants = _starts(measured, observed, hints)
    return correct(network, measured, observed, start, slants)


def predict_with_rings(
    network: nn.Module, measured: Tensor, observed: Tensor, hints: Tensor | None = None, rings: Tensor | None = None
) -> Tensor:
    """Do as `predict_residual`; the network also sees what the rings of the whole frame would give instead.

    And in measured pixels beside a gap what they would have given there, so that it learns where to trust them.
    """
    start, slants = _starts(measured, observed, hints)
    if rings is None or not rings.shape[1]:
        return correct(network, measured, observed, start, slants, absent=RING_INPUTS)
    return correct_with_rings(network, measured, observed, start, slants, rings)


def _starts(measured: Tensor, observed: Tensor, hints: Tensor | None) -> tuple[Tensor, Tensor]:
    if hints is None or not hints.shape[1]:
        hints = make_hints(measured, observed)
    return hints[:, :1], hints[:, 1:]


RING_INPUTS = RING_CHANNELS + 1
"""Inputs of a network that looks at rings, more than of another one; all 0 where nothing is known of them."""


def correct(
    network: nn.Module, measured: Tensor, observed: Tensor, start: Tensor, slants: Tensor, absent: int = 0
) -> Tensor:
    """Do the network's part of `predict_residual`: from `start` and what lines of other slopes would give instead.

    Of a network that looks at rings, `absent` inputs are missing.
    """
    detail, contrast = texture(start)
    inputs = [detail / contrast, slants / contrast, start.new_zeros(len(start), absent, *start.shape[-2:])]
    return _corrected(network, measured, observed, start, contrast, inputs)


def correct_with_rings(
    network: nn.Module, measured: Tensor, observed: Tensor, start: Tensor, slants: Tensor, rings: Tensor
) -> Tensor:
    """Do the network's part of `predict_with_rings`, which starts from rings as far as they are to be trusted."""
    fill, near, ring, spread, error = torch.split(rings, 1, dim=1)
    known = fill.isfinite()
    begin = torch.where(known & ~observed, fill, start)
    detail, contrast = texture(begin)
    levels = ((torch.cat((near, ring, start), dim=1) - begin) / contrast).clamp(-FARTHEST, FARTHEST)
    scatter = 0.5 * ((torch.cat((spread, error), dim=1) + FAINTEST) / contrast).log()
    more = torch.cat((levels, scatter), dim=1).nan_to_num()
    return _corrected(
        network,
        measured,
        observed,
        begin,
        contrast,
        [detail / contrast, slants / contrast, more, known.to(start.dtype)],
    )


FARTHEST = 20.0
"""Local contrasts by which another fill may differ from the start, to the network's eye."""

FAINTEST = 1e-4
"""Intensity added to the scatter about a ring, whose logarithm the network sees."""


def _corrected(
    network: nn.Module, measured: Tensor, observed: Tensor, start: Tensor, contrast: Tensor, inputs: list[Tensor]
) -> Tensor:
    gap = (~observed).to(start.dtype)
    # 0.3 and 1 bring the logarithm of contrasts between 1e-3 and 0.1 near 0.
    level = 0.3 * contrast.log() + 1
    correction = apply(network, torch.cat((level, gap, *inputs), dim=1), observed)
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


TASKS: dict[str, Task] = {
    "blind": Task(1, predict_blind, lambda batch: batch.valid),
    "residual": Task(2 + CHANNELS, predict_residual, lambda batch: batch.held_out),
}

WITH_RINGS = Task(2 + CHANNELS + RING_INPUTS, predict_with_rings, lambda batch: batch.held_out, rings=True)
"""The residual task of a network that looks at rings."""


def of(config: Mapping[str, int | float | str]) -> Task:
    """Return the task of a configuration; without `geometry` in it the network does not look at rings."""
    residual = config["task"] == "residual"
    return WITH_RINGS if residual and config.get("geometry") == "yes" else TASKS[str(config["task"])]


def fill(task: Task, network: nn.Module, measured: Tensor, observed: Tensor, rings: Tensor | None = None) -> Tensor:
    """Fill the unobserved pixels; observed ones are put back untouched. Intensity stays at or above 0."""
    return torch.where(observed, measured, task.predict(network, measured, observed, None, rings).clamp(min=0))
