"""The pace of a training: measured on steps like those that it will take, once everything is warm."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from trainables.batches import WindowSet
from trainables.recording import WARM_UP
from trainables.tasks import Task
from trainables.training import Course, Training, validate

SECONDS = 1.0
"""Time that is measured, at least."""

STEPS = 3
"""Steps that are measured, at least."""


class Pace(NamedTuple):
    """The speed of a training."""

    training: float
    """Seconds of a training window."""
    validation: float
    """Seconds of a validating window."""


def pace(network: nn.Module, task: Task, train: WindowSet, few: WindowSet, batch_size: int, micro_batch: int) -> Pace:
    """Measure a training with batches of so many windows, and its validation on a few; the network stays as it is."""
    course = Course(2**62, batch_size, batch_size, 0.0, "cosine", 0)
    training = Training.begin(network, task, train, course, micro_batch=micro_batch)
    step = _seconds(training.to_next_report, 1 if training.recorder is None else WARM_UP + 1)
    return Pace(step / batch_size, _seconds(lambda: validate(network, task, few, micro_batch), 1) / len(few))


def _seconds(work: Callable[[], object], before: int) -> float:
    """Return the seconds of one of several times, once some went before; it waits for what comes from the device."""
    for _ in range(before):
        work()  # libraries set themselves up
    times, began = 0, time.perf_counter()
    while times < STEPS or time.perf_counter() - began < SECONDS:
        work()
        times += 1
    return (time.perf_counter() - began) / times
