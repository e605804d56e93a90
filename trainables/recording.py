"""A training step recorded as a CUDA graph: its kernels run one after another, without waiting for the host.

A step of a small network is some hundreds of kernels of a few microseconds each, which Python asks for more slowly.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from trainables.batches import Drawn

WARM_UP = 3
"""Steps before one is recorded: libraries set themselves up, and the optimizer makes its state."""

log = logging.getLogger(__name__)


def records(device: torch.device) -> bool:
    """Tell whether steps can be recorded on a device, where tensors lie already."""
    return device.type == "cuda" and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]


class Recorder:
    """Takes steps on windows that lie on the GPU, all of one number: the first ones as they are, the others replayed.

    A step that cannot be recorded, as one that waits for a value, is taken as it is each time.
    """

    def __init__(self) -> None:
        self.taken = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.drawn: Drawn | None = None
        self.loss: Tensor | None = None

    def __call__(self, step: Callable[[Drawn], Tensor], drawn: Drawn) -> Tensor:
        """Take the step, each time the same one, on the windows drawn; the next call overwrites its loss."""
        if self.taken == WARM_UP:
            self._record(step, drawn)
        self.taken += 1
        if self.graph is None:
            return _as_it_is(step, drawn)
        assert self.drawn is not None
        assert self.loss is not None
        for mine, given in zip(self.drawn, drawn, strict=True):
            if given is not None:
                mine.copy_(given)  # type: ignore[union-attr]
        self.graph.replay()
        return self.loss

    def _record(self, step: Callable[[Drawn], Tensor], drawn: Drawn) -> None:
        self.drawn = Drawn(*(None if tensor is None else tensor.clone() for tensor in drawn))  # type: ignore[arg-type]
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.loss = step(self.drawn)
            self.graph = graph
        except (RuntimeError, MemoryError) as error:
            log.warning("a step cannot be recorded: %s", error)
            torch.cuda.synchronize()
            torch.cuda.empty_cache()


def _as_it_is(step: Callable[[Drawn], Tensor], drawn: Drawn) -> Tensor:
    """Take a step on a stream of its own, as it would be recorded: gradients remember theirs."""
    own = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    own.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(own):
        loss = step(drawn)
    torch.cuda.current_stream().wait_stream(own)
    return loss
