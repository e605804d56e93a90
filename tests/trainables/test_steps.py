"""What a training step asks of the device: it never waits for a value, and its operators are counted."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from scattering.dataset import Dataset, RawFrame
from spaces import DEFAULTS
from tests.trainables.test_rings import located
from trainables import hints, rings, training
from trainables.batches import Part, WindowSet
from trainables.models import build
from trainables.training import Course, Training

CPU = torch.device("cpu")

HERE = Path(training.__file__).parent

WAITS = ("_local_scalar_dense", "equal", "is_nonzero", "masked_select", "nonzero", "unique_dim", "_unique2")
"""Operators whose result, or its size, the host must know: on a GPU it waits for all that was asked before."""

BY_PLACE = ("index", "index_put", "index_put_", "_index_put_impl_")
"""Operators that are such where they are given a mask."""


class Operators(TorchDispatchMode):
    """Counts operators, and says of each wait where it is."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        self.count[name] += 1
        masked = name in BY_PLACE and any(index is not None and index.dtype == torch.bool for index in args[1])
        if name in WAITS or masked:
            stack = [frame for frame in traceback.extract_stack() if Path(frame.filename).parent == HERE]
            self.waits.append(f"{name} in {Path(stack[-1].filename).name}:{stack[-1].lineno}")
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def part(raw_frames: Callable[..., list[RawFrame]], tiny_detector: Any, prepare: Callable[..., Dataset]) -> Part:
    data = prepare([located(frame) for frame in raw_frames(3, (140, 150), tiny_detector)])
    return Part(data, hints.tabulate(WindowSet(data, CPU)), rings.tabulate(data))


MOST = {"tunet": 350, "msdnet": 1800, "autoencoder": 350, "pconv": 420}
"""Operators of a step of the default configuration. Of the smallest, TUNet's, 613 were spent on its input alone while
that was made anew in each step."""


@pytest.mark.parametrize("task", ["blind", "residual"])
@pytest.mark.parametrize("name", DEFAULTS)
def test_a_step_waits_for_no_value(name: str, task: str, part: Part) -> None:
    network, posed = build(name, DEFAULTS[name] | {"task": task, "geometry": "yes"}, 0)
    windows = WindowSet.of(part, CPU, rings=posed.rings)
    begun = Training.begin(network, posed, windows, Course(2**30, 4, 4, 1e-3, "cosine", 0), micro_batch=4)
    begun.to_next_report()  # Adam makes its moments in the first step
    with Operators() as operators:
        begun.to_next_report()
    # A report, which this step ends with, gives the mean of the losses before it.
    (report,) = operators.waits
    assert report.startswith("_local_scalar_dense in training.py")
    assert sum(operators.count.values()) <= MOST[name], operators.count.most_common(12)
