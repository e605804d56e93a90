"""Windows: full-height pieces of a frame, cut side by side, half overlapping; which of them hold a vertical gap.

A window without a vertical gap has the truth everywhere, so it can train and score a network: it gets an
artificial vertical gap, at a place where a gap falls in one of the other windows (paper, section 2.1).
Everything here follows from the gaps of the detector at the working size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scattering.arrays import Bools
from scattering.errors import InputError

SMALLEST_STEP = 8
"""Columns; below this a window shows a network too little beside its gap."""

STEPS_ACROSS = (8, 16, 32, 64)
"""Steps from window to window across a frame, tried in this order: the paper's, then narrower windows."""

SMALLEST_SIDE = STEPS_ACROSS[0] * SMALLEST_STEP
"""Rows and columns of the smallest frame that can be cut."""


@dataclass(frozen=True)
class Windows:
    """The windows that frames of one detector are cut into. Columns in working-size pixels."""

    frame_shape: tuple[int, int]
    width: int
    step: int
    starts: tuple[int, ...]
    """First column of each window."""
    free: tuple[int, ...]
    """Windows without a vertical gap, by number."""
    gapped: tuple[int, ...]
    """Windows whose vertical gaps are the patterns of the artificial ones, by number."""
    vertical: Bools
    """(columns,), True in the vertical gaps."""

    @property
    def left_edges(self) -> tuple[int, ...]:
        """First gap column within each gapped window."""
        return tuple(int(self.pattern(number).argmax()) for number in self.gapped)

    def pattern(self, number: int) -> Bools:
        """Vertical gaps of one window: (width,), True in the gap."""
        start = self.starts[number]
        return self.vertical[start : start + self.width]


def vertical_gaps(gap: Bools) -> Bools:
    """Columns that lie in a vertical gap: (columns,), those without sensor in more than half of their rows."""
    return np.asarray(gap.mean(axis=0) > 0.5)


def windows(gap: Bools) -> Windows:
    """Derive the windows from a detector's gaps at the working size, (rows, columns).

    The step is an eighth of the frame's width and a window two steps wide, as in the paper, plus what the division
    leaves, so that the last one ends at the last column; the step is halved where no window of that width is free of
    vertical gaps.
    Raises InputError when the frame is too small, or no width leaves a free window.
    """
    rows, columns = gap.shape
    if min(rows, columns) < SMALLEST_SIDE:
        raise InputError(
            f"the working size (--size) must be at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels, "
            f"got {rows} x {columns}"
        )
    vertical = vertical_gaps(gap)
    for steps in STEPS_ACROSS:
        step = columns // steps
        if step < SMALLEST_STEP:
            break
        width = columns - (steps - 2) * step
        starts = tuple(range(0, columns - width + 1, step))
        holds = [bool(vertical[start : start + width].any()) for start in starts]
        if not all(holds):
            free = tuple(number for number, gapped in enumerate(holds) if not gapped)
            gapped = tuple(number for number, gapped in enumerate(holds) if gapped)
            return Windows((rows, columns), width, step, starts, free, gapped, vertical)
    raise InputError(
        f"no window of {width} columns or more is free of vertical gaps in {columns} columns; a larger working size "
        "(--size, up to native) makes room, or a detector with wider modules"
    )


def cut(frames: Tensor, layout: Windows) -> Tensor:
    """View frames (N, rows, columns) as their windows (N, windows, rows, width); nothing is copied."""
    return frames.unfold(2, layout.width, layout.step).movedim(2, 1)


def stitch(pieces: Tensor, layout: Windows) -> Tensor:
    """Put windows (N, windows, rows, width) together to frames (N, rows, columns), averaging overlaps (qlty)."""
    import qlty

    count, _, rows, width = pieces.shape
    quilt = qlty.NCYXQuilt(
        Y=rows, X=layout.frame_shape[1], window=(rows, width), step=(rows, layout.step), border=None
    )
    flat = pieces.reshape(-1, 1, rows, width).float().cpu()
    # qlty's numba path takes 12 s to compile in every process.
    frames, _ = quilt.stitch(flat, use_numba=False)
    return torch.as_tensor(frames).reshape(count, rows, -1)
