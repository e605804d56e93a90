"""The filler of whole frames: the one that the leaderboard measures, that users run, and that ONNX files hold."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scattering.windows import Windows
from trainables.tasks import Task, fill

AT_ONCE = 2**20
"""Pixels that go through a network at once: 16 windows of 512 x 128. More need gigabytes and are no faster."""

Span = tuple[int, int]
"""First column of a window, and the column past its last one."""


class WindowFiller(nn.Module):
    """One network with its task: fills windows (N, 1, H, W) of intensity in the pixels that are not `observed`.

    What is known of the rings is (N, RING_CHANNELS, H, W), see `trainables.rings`.
    """

    def __init__(self, network: nn.Module, task: Task) -> None:
        super().__init__()
        self.network, self.task = network, task

    def forward(self, measured: Tensor, observed: Tensor, rings: Tensor | None = None) -> Tensor:
        """Return the windows filled, (N, 1, H, W)."""
        count = max(1, AT_ONCE // (measured.shape[-2] * measured.shape[-1]))
        given = (measured, observed) if rings is None else (measured, observed, rings)
        parts = zip(*(torch.split(tensor, count) for tensor in given), strict=True)
        return torch.cat([fill(self.task, self.network, *part) for part in parts])


class FrameFiller(nn.Module):
    """Several window fillers that fill frames together: window by window, averaged where windows overlap.

    Takes intensity, and True where it was measured, (N, 1, H, W), and what is known of the rings. Gives the members'
    mean with what was measured put back, and their standard deviation, 0 of one; (N, 1, H, W). In a frame without
    measured pixels both may be NaN.
    """

    times: Tensor
    """(W,), windows that each column is in."""

    def __init__(self, members: Sequence[nn.Module], windows: Sequence[Span]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.windows = list(windows)
        times = torch.zeros(max(stop for _, stop in self.windows))
        for start, stop in self.windows:
            times[start:stop] += 1
        self.register_buffer("times", times)

    def forward(self, measured: Tensor, observed: Tensor, rings: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Fill frames; see the class."""
        measured = torch.where(observed, measured, 0.0)
        given = (measured, observed) if rings is None else (measured, observed, rings)
        pieces = [self._cut(tensor) for tensor in given]  # (windows * N, channels, H, width)
        fills = torch.stack([self._stitched(member(*pieces)) for member in self.members])
        mean = fills.mean(0)
        apart = ((fills - mean).square().sum(0) / max(len(fills) - 1, 1)).sqrt()
        return torch.where(observed, measured, mean), torch.where(observed, 0.0, apart)

    def _cut(self, frames: Tensor) -> Tensor:
        return torch.cat([frames[..., start:stop] for start, stop in self.windows])

    def _stitched(self, pieces: Tensor) -> Tensor:
        columns, windows = len(self.times), pieces.reshape(len(self.windows), -1, *pieces.shape[1:])
        padded = [
            F.pad(piece, (start, columns - stop)) for (start, stop), piece in zip(self.windows, windows, strict=True)
        ]
        return sum(padded[1:], padded[0]) / self.times


def spans(layout: Windows, columns: int) -> list[Span]:
    """Return the windows of a frame of any width: as in the layout, the last one flush with the frame's end."""
    width = min(layout.width, columns)
    last = columns - width
    return [(start, start + width) for start in (*range(0, last, layout.step), last)]
