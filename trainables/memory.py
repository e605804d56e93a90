"""The cost of a training step, measured on one window and on two before a network trains on whole batches."""

from __future__ import annotations

import copy
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from trainables.batches import NO_GAP, Batch, WindowSet
from trainables.losses import absolute_error
from trainables.precision import mixed_precision
from trainables.tasks import Task


class TooLargeError(MemoryError):
    """Not even one window fits into the memory."""

    def __init__(self, reason: str, headroom: int = -1) -> None:
        super().__init__(reason)
        self.headroom = min(headroom, -1)
        """Bytes, below 0: the memory that is missing."""


class Footprint(NamedTuple):
    """Memory and time that the training of a network takes."""

    fixed: int
    """Bytes for weights, gradients and the optimizer's state."""
    window: int
    """Bytes more for each window of a micro-batch."""
    seconds: float
    """Time of a step on two windows, for each of them; on a GPU more at once take less."""

    def bytes(self, windows: int) -> int:
        """Return the peak of a step on so many windows at once."""
        return self.fixed + windows * self.window

    def micro_batch(self, batch_size: int, limit: int) -> int:
        """Return how many windows of a batch fit into `limit` bytes at once.

        Raises TooLargeError where it is none.
        """
        if self.bytes(1) > limit:
            raise TooLargeError(
                f"training takes {self.bytes(1) / 1e9:.2f} GB for a single window, "
                f"a trial has {limit / 1e9:.2f} GB: it cannot fit",
                limit - self.bytes(1),
            )
        return min(batch_size, (limit - self.fixed) // self.window) if self.window else batch_size


def footprint(network: nn.Module, task: Task, windows: WindowSet) -> Footprint:
    """Measure one training step on one window and on two; the network stays as it is.

    Raises TooLargeError where one runs out of memory.

    On a GPU this is what its allocator hands out, elsewhere the tensors alive: what an operator takes for
    itself while it runs is not seen there. All that the backward pass needs grows with the windows: two points do.
    """
    trial = copy.deepcopy(network).train()  # batch normalisation counts what it sees
    weights = sum(int(parameter.nbytes) for parameter in trial.parameters())

    def step(count: int) -> None:
        chosen = torch.arange(count, device=windows.storage) % len(windows)
        pattern = torch.full_like(chosen, 0 if windows.patterns else NO_GAP)
        batch = Batch(*(part.to(windows.device) for part in windows.batch(chosen, pattern)))
        with mixed_precision(trial, windows.device):
            prediction = task.predict(trial, batch.measured, batch.observed, batch.hints, batch.rings)
        error, pixels = absolute_error(prediction, batch.truth, task.scored(batch))
        (error / pixels).backward()  # type: ignore[no-untyped-call]
        # Else the next step would be measured beside these gradients.
        trial.zero_grad(set_to_none=True)

    one, two = (_measured(partial(step, count), windows.device) for count in (1, 2))
    if one is None:
        raise TooLargeError("no memory to train on a single window")
    if two is None:
        # All that one takes counts for each: more than they do take.
        two = 2 * one[0], 2 * one[1]
    window = max(two[0] - one[0], 0)
    # Adam keeps two moments; gradients are in the peak.
    return Footprint(3 * weights + one[0] - window, window, two[1] / 2)


def _measured(work: Callable[[], None], device: torch.device) -> tuple[int, float] | None:
    """Return the bytes and the seconds that work takes; None where there is too little memory for it."""
    try:
        work()  # libraries set themselves up, for windows of other number anew
        began = time.perf_counter()
        return peak(work, device), time.perf_counter() - began
    except (RuntimeError, MemoryError) as problem:
        if not out_of_memory(problem):
            raise
    release(device)
    return None


def release(device: torch.device) -> None:
    """Give back what a step that failed had reserved."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def peak(work: Callable[[], None], device: torch.device) -> int:
    """Return how many bytes more than before are allocated on the device while `work` runs."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    alive = _TensorsAlive()
    with alive:
        work()
    return alive.peak


class _TensorsAlive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that are made while it is on, until they are freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for tensor in tree_iter((args, kwargs)):
            if isinstance(tensor, Tensor):
                self._see(tensor, made=False)
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor):
                self._see(tensor, made=True)
        return result

    def _see(self, tensor: Tensor, made: bool) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.known:
            return
        self.known.add(key)
        size = storage.nbytes() if made else 0
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


NO_MEMORY = (
    "can't allocate memory",  # torch on a CPU
    "could not create a primitive",  # oneDNN
    "out of memory",  # CUDA's runtime and driver, NCCL
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    # In the last megabytes the libraries cannot even begin, and no algorithm of cuDNN finds room to work in.
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_NOT_INITIALIZED",
    "unable to find an engine to execute this computation",
    "Unable to find a valid cuDNN algorithm",
    "no valid convolution algorithms available in CuDNN",
)
"""Words of libraries that have no error class for a lack of memory."""


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that there is no memory left."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)
    )
