"""Windows of a data set on one device, ready to train on: gaps are laid as batches are drawn."""

from __future__ import annotations

import hashlib
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

NO_GAP = -1
"""Pattern number of a window that keeps all its columns."""


class Batch(NamedTuple):
    """Windows (B, 1, H, W): intensity in [0, 1] and what is known about each pixel."""

    measured: Tensor
    """What the network may see; 0 where not observed."""
    observed: Tensor
    truth: Tensor
    valid: Tensor

    @property
    def held_out(self) -> Tensor:
        """Pixels where errors are scored: the truth is known and the network has not seen it."""
        return self.valid & ~self.observed


BUDGET = 0.5
"""Share of a GPU's free memory that one data set may take; the rest is for training."""


def count_windows(data: Dataset) -> int:
    """Return the number of windows of a data set that are trained on."""
    return len(data) * len(data.windows.free)


class WindowSet:
    """The windows without a real vertical gap, of every frame of a data set: N frames x F windows.

    They lie on the device once where they fit, else in the host's memory.
    """

    def __init__(self, data: Dataset, device: torch.device) -> None:
        self.layout = data.windows
        self.names = data.names
        self.patterns = len(self.layout.gapped)
        self.device = device
        self.storage = storage = device if _fits(data, device) else torch.device("cpu")
        self.measured = self._windows(_tensor(data.measured, storage))
        self.observed = self._windows(_tensor(data.observed, storage))
        self.truth = self._windows(_tensor(data.truth, storage))
        self.valid = self._windows(_tensor(data.valid, storage))
        self.strips = _tensor(data.strips, storage)
        self.strips_observed = _tensor(data.strips_observed, storage)
        starts = torch.tensor(data.strip_starts, device=storage).reshape(-1, 1)
        self.strip_columns = starts + torch.arange(data.strips.shape[-1], device=storage)
        self.free = torch.tensor(self.layout.free, device=storage)

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.names) * len(self.layout.free)

    def batch(self, chosen: Tensor, pattern: Tensor) -> Batch:
        """Cut windows (numbers (B,)) and lay in each the artificial gap of a pattern ((B,), NO_GAP for none)."""
        frame, free = chosen // len(self.free), chosen % len(self.free)
        window = self.free[free]
        measured, observed = self.measured[frame, window], self.observed[frame, window]  # (B, H, W)
        if self.patterns:
            laid = (pattern != NO_GAP)[:, None, None]
            pattern = pattern.clamp(min=0)
            columns = self.strip_columns[pattern][:, None].expand(-1, measured.shape[1], -1)  # (B, H, S)
            strip = torch.where(laid, self.strips[frame, pattern, free], measured.gather(2, columns))
            measured = measured.scatter(2, columns, strip)
            seen = torch.where(laid, self.strips_observed[frame, pattern, free], observed.gather(2, columns))
            observed = observed.scatter(2, columns, seen)
        truth, valid = self.truth[frame, window], self.valid[frame, window]
        return Batch(measured[:, None], observed[:, None], truth[:, None], valid[:, None])

    def batches(self, parts: Sequence[tuple[Tensor, Tensor]]) -> Iterator[Batch]:
        """Cut the windows and patterns of each part and give them on the device, from the host one part ahead."""
        if self.storage == self.device:
            yield from (self.batch(*part) for part in parts)
            return
        with ThreadPoolExecutor(1) as worker:
            sent = deque(worker.submit(self._sent, *part) for part in parts[:1])
            for part in parts[1:]:
                sent.append(worker.submit(self._sent, *part))
                yield sent.popleft().result()
            yield from (last.result() for last in sent)

    def _sent(self, chosen: Tensor, pattern: Tensor) -> Batch:
        # From pinned memory the copy does not hold up the thread.
        pin = self.device.type == "cuda"
        parts = (part.pin_memory() if pin else part for part in self.batch(chosen, pattern))
        return Batch(*(part.to(self.device, non_blocking=True) for part in parts))

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


def _fits(data: Dataset, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    arrays = (data.measured, data.observed, data.truth, data.valid, data.strips, data.strips_observed)
    # What an earlier trial of this process has given back still counts as taken there.
    free = (
        torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    )
    return sum(array.nbytes for array in arrays) <= BUDGET * free


def _tensor(array: npt.NDArray[np.generic], device: torch.device) -> Tensor:
    """Share the array's memory where the device allows it; nothing here writes into these tensors."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array).to(device)
