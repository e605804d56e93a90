"""The device that a network works on, and the way there."""

from __future__ import annotations

import torch
from torch import Tensor


def device(*, gpu: bool = True) -> torch.device:
    """Return this process's current GPU, by its index, if there is one and it is wanted; else the CPU."""
    return with_index(torch.device("cuda" if gpu and torch.cuda.is_available() else "cpu"))


def with_index(chosen: torch.device) -> torch.device:
    """Name a GPU by its index: some of CUDA's functions refuse a device without one."""
    without = chosen == torch.device("cuda")
    return torch.device("cuda", torch.cuda.current_device()) if without else chosen


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the host to a device, without waiting until the device has done what it was given before."""
    # Only from pinned memory does the copy not hold up the thread.
    pinned = tensor.pin_memory() if device.type == "cuda" else tensor
    return pinned.to(device, non_blocking=True)
