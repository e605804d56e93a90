"""Classical fills: linear interpolation (also what the residual task starts from) and biharmonic."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from scattering.arrays import Bools, Floats


def linear(values: Tensor, observed: Tensor) -> Tensor:
    """Fill unobserved pixels by linear interpolation along rows and columns; all (..., rows, columns).

    Where both directions reach observed pixels on both sides they are averaged with weights 1 / distance
    spanned squared, so the short way across a gap decides. A second pass fills what neither reached (the
    crossings of gaps), and only what is left then takes the nearest value of its row or column. Observed
    pixels keep their values bit for bit; a frame without any stays 0.
    """
    filled, known = values, observed
    for extrapolate in PASSES:
        filled, known = linear_pass(filled, known, extrapolate, _neighbours)
        if known.all():
            break
    return torch.where(observed, values, filled)


PASSES = (False, False, True, True)
"""Which passes of `linear` take the nearest value where there is none on the other side."""

Neighbours = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Known pixels -> index of the nearest one before (else -1) and after (else the size) along the last axis."""


def linear_pass(filled: Tensor, known: Tensor, extrapolate: bool, neighbours: Neighbours) -> tuple[Tensor, Tensor]:
    """Fill what the known pixels of each row and column reach; returns values and which of them are known now."""
    down, down_weight = _along_last(filled.transpose(-1, -2), known.transpose(-1, -2), extrapolate, neighbours)
    across, across_weight = _along_last(filled, known, extrapolate, neighbours)
    down, down_weight = down.transpose(-1, -2), down_weight.transpose(-1, -2)
    weight = down_weight + across_weight
    mean = (down * down_weight + across * across_weight) / weight.clamp(min=1e-30)
    return torch.where(known, filled, mean), known | (weight > 0)


def _along_last(values: Tensor, known: Tensor, extrapolate: bool, neighbours: Neighbours) -> tuple[Tensor, Tensor]:
    """Interpolate along the last axis, with weight 1 / span squared; 0 where nothing is known."""
    size = values.shape[-1]
    position = torch.arange(size, device=values.device)
    before, after = neighbours(known)
    has_before, has_after = before >= 0, after < size
    left = values.gather(-1, before.clamp(min=0))
    right = values.gather(-1, after.clamp(max=size - 1))
    span = (after - before).clamp(min=1)
    between = torch.lerp(left, right, ((position - before) / span).to(values.dtype))
    inside = has_before & has_after
    reached = inside | has_before | has_after if extrapolate else inside
    estimate = torch.where(inside, between, torch.where(has_before, left, right))
    return estimate, torch.where(reached, 1 / span.to(values.dtype) ** 2, 0.0)


def slanted(start: Tensor, observed: Tensor, slopes: Sequence[float]) -> Tensor:
    """Interpolate across gaps along slanted lines: rings and arcs seldom cross a gap at a right angle.

    `start` (N, 1, rows, columns) is a frame without holes, as `linear` gives. For each slope (pixels along
    the gap for one pixel across it) a channel of (N, slopes, rows, columns): interpolation along that line
    minus `start`, in gap pixels that have observed pixels on both sides; 0 elsewhere.
    """
    down = _slanted_rows(start.transpose(-1, -2), observed.transpose(-1, -2), slopes).transpose(-1, -2)
    return down + _slanted_rows(start, observed, slopes)


def _slanted_rows(start: Tensor, observed: Tensor, slopes: Sequence[float]) -> Tensor:
    """Interpolate between the observed pixels left and right in a row, moved up and down along the slope."""
    before, after = _neighbours(observed)
    count, rows, columns = start.shape[0], *start.shape[-2:]
    gap = (~observed & (before >= 0) & (after < columns)).nonzero(as_tuple=True)
    frame, _, row, column = gap
    left, right = before[gap], after[gap]
    to_left, to_right = column - left, right - column
    share = to_left / (right - left)
    values = start.reshape(count, -1)

    def sample(column: Tensor, rows_away: Tensor) -> Tensor:
        place = (row + rows_away).clamp(0, rows - 1)
        above = place.floor().clamp(max=rows - 2).long()
        below = values[frame, (above + 1) * columns + column]
        return torch.lerp(values[frame, above * columns + column], below, place - above)

    directions = start.new_zeros(count, len(slopes), rows, columns)
    for channel, slope in enumerate(slopes):
        between = torch.lerp(sample(left, -slope * to_left), sample(right, slope * to_right), share)
        directions[frame, channel, row, column] = between - start[gap]
    return directions


def _neighbours(known: Tensor) -> tuple[Tensor, Tensor]:
    """See `Neighbours`."""
    size = known.shape[-1]
    position = torch.arange(size, device=known.device).expand(known.shape)
    before = torch.where(known, position, -1).cummax(-1).values
    after = torch.where(known, position, size).flip(-1).cummin(-1).values.flip(-1)
    return before, after


def biharmonic(values: Floats, observed: Bools) -> Floats:
    """Fill the unobserved pixels of one image (rows, columns) with skimage's biharmonic inpainting."""
    from skimage.restoration import inpaint_biharmonic

    if not observed.any():
        return np.zeros_like(values)
    filled = inpaint_biharmonic(np.where(observed, values, 0), ~observed)
    return np.where(observed, values, filled).astype(np.float32)
