"""A GPU for tests on machines without one: the CPU computes, and it is kept track of where every tensor would lie.

PyTorch's own FakeTensorMode does the same for operators, but cannot go backward on a device that is not there.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_iter, tree_map

GPU = torch.device("cuda", 0)
CPU = torch.device("cpu")

aten = torch.ops.aten

WAITS = {
    aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.bincount, aten.equal, aten.is_nonzero,
    aten._unique2, aten.unique_dim, aten.unique_consecutive, aten.repeat_interleave,
}  # fmt: skip
"""Operators that need a value, or a size, from the GPU before the program can go on."""

INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._unsafe_index, aten._index_put_impl_}
"""Operators that wait where places are told by truth values."""


NAMING = (torch.device, torch.set_default_device, torch._C._nn._parse_to)
"""Functions that take the name of a device and make nothing there."""


class Gpu:
    """What happened on the simulated GPU."""

    def __init__(self) -> None:
        self.waits: list[str] = []
        """Operators for which the program waited."""
        self.operators: list[str] = []
        """All that ran there."""
        self._here: set[int] = set()
        self._pinned: set[int] = set()

    def holds(self, tensor: Tensor) -> bool:
        """Tell whether a tensor lies there."""
        return tensor.untyped_storage()._cdata in self._here

    def place(self, tensor: Tensor) -> None:
        """Let a tensor lie there from now on."""
        self._add(self._here, tensor)

    def pin(self, tensor: Tensor) -> None:
        """Let a tensor of the host lie in memory that the GPU reads by itself."""
        self._add(self._pinned, tensor)

    def is_pinned(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._pinned

    def _add(self, places: set[int], tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in places:
            places.add(storage._cdata)
            weakref.finalize(storage, places.discard, storage._cdata)


@contextmanager
def simulated(*, bfloat16: bool = False) -> Iterator[Gpu]:
    """Work with a GPU, "cuda:0", that is not there; as a new one, if it is to have units for bfloat16."""
    gpu, autocast = Gpu(), torch.autocast
    with (
        mock.patch.object(torch.cuda, "is_bf16_supported", lambda **_: bfloat16),
        mock.patch.object(torch, "autocast", lambda _, *args, **kwargs: autocast("cpu", *args, **kwargs)),
        _Operators(gpu),
        _Devices(gpu),
    ):
        yield gpu


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees that operators find all their tensors on one device, and that their results lie there."""

    def __init__(self, gpu: Gpu) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [tensor for tensor in tree_iter((args, kwargs)) if isinstance(tensor, Tensor)]
        there = [tensor for tensor in given if self.gpu.holds(tensor)]
        if func is aten.copy_.default and len(there) == 1:
            # The one operator between devices; what it writes into stays where it is.
            self.gpu.waits.append(str(func))
            return func(*args, **(kwargs or {}))
        if there:
            # A single number may come from the host.
            strangers = [tuple(tensor.shape) for tensor in given if tensor.dim() and not self.gpu.holds(tensor)]
            assert not strangers, f"{func}: tensors of two devices, on the host {strangers}"
            self.gpu.operators.append(str(func))
            if func.overloadpacket in WAITS or (func.overloadpacket in INDEXING and _has_truth_values(args[1])):
                self.gpu.waits.append(str(func))
        result = func(*args, **(kwargs or {}))
        if there:
            for tensor in tree_iter(result):
                if isinstance(tensor, Tensor):
                    self.gpu.place(tensor)
        return result


def _has_truth_values(places: Any) -> bool:
    return any(place is not None and place.dtype == torch.bool for place in places)


class _Devices(TorchFunctionMode):
    """Answers where tensors lie, and moves them."""

    def __init__(self, gpu: Gpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, gpu = kwargs or {}, self.gpu
        own = args[0] if args and isinstance(args[0], Tensor) else None
        match getattr(func, "__name__", ""), own:
            case "__get__", Tensor() if func == torch.Tensor.device.__get__:  # type: ignore[attr-defined]
                return GPU if gpu.holds(own) else CPU
            case "__get__", Tensor() if func == torch.Tensor.is_cuda.__get__:  # type: ignore[attr-defined]
                return gpu.holds(own)
            case "numpy" | "__array__", Tensor():
                assert not gpu.holds(own), "can't convert a tensor of the GPU to NumPy"
            case "cpu", Tensor():
                return self._moved(own, CPU, own, waits=True)
            case "pin_memory", Tensor():
                pinned = own.clone()
                gpu.pin(pinned)
                return pinned
        asked = [value for value in tree_iter((args, kwargs)) if _is_device(value)]
        if not asked or func in NAMING:
            return func(*args, **kwargs)
        wanted = torch.device(asked[0])
        here = tree_map(lambda value: CPU if _is_device(value) else value, (args, kwargs))
        result = func(*here[0], **here[1])
        if own is not None and getattr(func, "__name__", "") == "to":
            waits = not (kwargs.get("non_blocking") and gpu.is_pinned(own))
            return self._moved(own, wanted, result, waits=waits)
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor) and wanted.type == "cuda":
                gpu.place(tensor)
        return result

    def _moved(self, source: Tensor, wanted: torch.device, result: Tensor, *, waits: bool) -> Tensor:
        """Return a copy of `result` on another device than that of its source, or itself."""
        away = wanted.type == "cuda"
        if self.gpu.holds(source) == away:
            return result
        if waits:
            self.gpu.waits.append(f"copy to {wanted}")
        with _disable_current_modes():
            copy = result.clone()
        if away:
            self.gpu.place(copy)
        return copy


def _is_device(value: object) -> bool:
    return isinstance(value, torch.device) or (isinstance(value, str) and value.partition(":")[0] in ("cpu", "cuda"))
