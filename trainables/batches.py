"""Windows of a data set on one device, ready to train on: gaps are laid as batches are drawn."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scattering.dataset import Dataset
from scattering.windows import cut
from trainables.devices import send
from trainables.hints import Hints, RingTable

NO_GAP = -1
"""Pattern number of a window that keeps all its columns."""


class Batch(NamedTuple):
    """Windows (B, 1, H, W): intensity in [0, 1] and what is known about each pixel."""

    measured: Tensor
    """What the network may see; 0 where not observed."""
    observed: Tensor
    truth: Tensor
    valid: Tensor
    hints: Tensor
    """(B, C, H, W), see `trainables.hints`; no channels where there is no table of them."""
    rings: Tensor
    """(B, RING_CHANNELS, H, W), see `trainables.rings`, NaN where nothing is known; no channels likewise."""

    @property
    def held_out(self) -> Tensor:
        """Pixels where errors are scored: the truth is known and the network has not seen it."""
        return self.valid & ~self.observed


class Drawn(NamedTuple):
    """The windows of a batch."""

    windows: Tensor
    """Numbers (B,)."""
    patterns: Tensor
    """Of the artificial gap in each (B,), NO_GAP for none."""
    located: Tensor | None = None
    """Where the rings may be shown (B,); None: everywhere."""


def count_windows(data: Dataset) -> int:
    """Return the number of windows of a data set that are trained on."""
    return len(data) * len(data.windows.free)


class Part(NamedTuple):
    """A part of a data set, ready to train or to validate on."""

    data: Dataset
    hints: Hints | None = None
    """None: they are made step by step."""
    rings: RingTable | None = None
    """None: they are not known."""

    @property
    def nbytes(self) -> int:
        """Bytes of what a training needs of it."""
        data = self.data
        arrays = [data.measured, data.observed, data.truth, data.valid, data.strips, data.strips_observed]
        return sum(array.nbytes for array in (*arrays, *(self.hints or ()), *(self.rings or ())))

    def first(self) -> Part:
        """Return its first frame alone."""
        hints = self.hints and self.hints.first(len(self.hints.pixels) // len(self.data))
        rings = self.rings and self.rings.first(len(self.rings.pixels) // len(self.data))
        return Part(self.data.select([0]), hints, rings)


class WindowSet:
    """The windows without a real vertical gap, of every frame of a data set: N frames x F windows.

    They lie on the device once where they take no more than `room` bytes of it, else in the host's memory.
    """

    def __init__(
        self,
        data: Dataset,
        device: torch.device,
        hints: Hints | None = None,
        rings: RingTable | None = None,
        *,
        room: float = math.inf,
    ) -> None:
        self.layout = data.windows
        self.names = data.names
        self.patterns = len(self.layout.gapped)
        self.device = device
        fits = Part(data, hints, rings).nbytes <= room
        self.storage = storage = device if fits else torch.device("cpu")
        self.measured = self._windows(_tensor(data.measured, storage))
        self.observed = self._windows(_tensor(data.observed, storage))
        self.truth = self._windows(_tensor(data.truth, storage))
        self.valid = self._windows(_tensor(data.valid, storage))
        self.strips = _tensor(data.strips, storage)
        self.strips_observed = _tensor(data.strips_observed, storage)
        starts = torch.tensor(data.strip_starts, device=storage).reshape(-1, 1)
        self.strip_columns = starts + torch.arange(data.strips.shape[-1], device=storage)
        self.free = torch.tensor(self.layout.free, device=storage)
        self.hints, self.rings = (
            None if table is None else tuple(_tensor(array, storage) for array in table) for table in (hints, rings)
        )

    @classmethod
    def of(cls, part: Part, device: torch.device, *, rings: bool = True, room: float = math.inf) -> WindowSet:
        """Return the windows of a part, without `rings` for a network that does not look at them."""
        return cls(part.data, device, part.hints, part.rings if rings else None, room=room)

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.names) * len(self.layout.free)

    def batch(self, chosen: Tensor, pattern: Tensor, located: Tensor | None = None) -> Batch:
        """Cut windows (numbers (B,)) and lay in each the artificial gap of a pattern ((B,), NO_GAP for none).

        Rings are shown where they are `located` (B,), by default in all.
        """
        frame, free = chosen // len(self.free), chosen % len(self.free)
        window = self.free[free]
        measured, observed = self.measured[frame, window], self.observed[frame, window]  # (B, H, W)
        if self.patterns:
            laid = (pattern != NO_GAP)[:, None, None]
            strip = pattern.clamp(min=0)
            columns = self.strip_columns[strip][:, None].expand(-1, measured.shape[1], -1)  # (B, H, S)
            inside = torch.where(laid, self.strips[frame, strip, free], measured.gather(2, columns))
            measured = measured.scatter(2, columns, inside)
            seen = torch.where(laid, self.strips_observed[frame, strip, free], observed.gather(2, columns))
            observed = observed.scatter(2, columns, seen)
        truth, valid = self.truth[frame, window], self.valid[frame, window]
        row = chosen * (self.patterns + 1) + pattern + 1
        hints, rings = self._hints(row, measured), self._rings(row, measured, located)
        return Batch(measured[:, None], observed[:, None], truth[:, None], valid[:, None], hints, rings)

    def _hints(self, row: Tensor, measured: Tensor) -> Tensor:
        """Lay the hints of windows (B, H, W), whose rows of the table are given, in their places: (B, C, H, W)."""
        count, *shape = measured.shape
        if self.hints is None:
            return measured.new_zeros(count, 0, *shape)
        pixels, start, slants = (table[row] for table in self.hints)
        pixels = pixels.long()
        directions = slants.shape[1]
        hints = measured.new_zeros(count, 1 + directions, measured[0].numel())
        hints[:, 0] = measured.flatten(1).scatter(1, pixels, start)
        hints[:, 1:].scatter_(2, pixels[:, None].expand(-1, directions, -1), slants.to(measured.dtype))
        return hints.reshape(count, -1, *shape)

    def _rings(self, row: Tensor, measured: Tensor, located: Tensor | None) -> Tensor:
        """Lay what rings say likewise, (B, RING_CHANNELS, H, W)."""
        count, *shape = measured.shape
        if self.rings is None:
            return measured.new_zeros(count, 0, *shape)
        pixels, values = (table[row] for table in self.rings)
        rings = measured.new_full((count, values.shape[1], measured[0].numel()), math.nan)
        rings.scatter_(2, pixels.long()[:, None].expand_as(values), values.to(measured.dtype))
        if located is not None:
            rings.masked_fill_(~located[:, None, None], math.nan)
        return rings.reshape(count, -1, *shape)

    def batches(self, parts: Sequence[Drawn]) -> Iterator[Batch]:
        """Cut the windows and patterns of each part and give them on the device, from the host one part ahead."""
        if self.storage == self.device:
            yield from (self.batch(*part) for part in parts)
            return
        with ThreadPoolExecutor(1) as worker:
            sent = deque(worker.submit(self._sent, part) for part in parts[:1])
            for part in parts[1:]:
                sent.append(worker.submit(self._sent, part))
                yield sent.popleft().result()
            yield from (last.result() for last in sent)

    def _sent(self, drawn: Drawn) -> Batch:
        return Batch(*(send(part, self.device) for part in self.batch(*drawn)))

    def random_patterns(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw gap patterns (count,), each as likely as no gap (paper, equation 1)."""
        return torch.randint(NO_GAP, self.patterns, (count,), generator=generator).to(self.storage)

    def fixed_patterns(self) -> Tensor:
        """One gap pattern a window (N * F,), from the frame's name: every trial is ranked on the same pixels."""
        if not self.patterns:
            return torch.full((len(self),), NO_GAP, device=self.storage)
        digests = (
            hashlib.sha256(f"{name} {free}".encode()).digest() for name in self.names for free in self.layout.free
        )
        return torch.tensor([digest[0] % self.patterns for digest in digests], device=self.storage)

    def _windows(self, frames: Tensor) -> Tensor:
        """View (N, H, W) as (N, windows, H, width)."""
        return cut(frames, self.layout)


def _tensor(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    """Share the array's memory where the device allows it; nothing here writes into these tensors."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array).to(device)
