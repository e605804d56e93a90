"""The pace of a training: measured on steps like those that it will take, once everything is warm."""

from __future__ import annotations

import time
from typing import NamedTuple

from torch import nn

from trainables.batches import WindowSet
from trainables.tasks import Task
from trainables.training import Course, fit, validate

SECONDS = 1.0
"""Time of the steps that are measured together, at least."""

STEPS = 3
"""Steps that are measured, at least."""


class Pace(NamedTuple):
    """How fast a training goes."""

    training: float
    """Seconds of a training window."""
    validation: float
    """Seconds of a validating window."""


def pace(network: nn.Module, task: Task, train: WindowSet, few: WindowSet, batch_size: int, micro_batch: int) -> Pace:
    """Measure a training with batches of so many windows, and its validation on a few; the network stays as it is."""
    course = Course(2**62, batch_size, batch_size, 0.0, "cosine", 0)
    training = fit(network, task, train, few, course, micro_batch=micro_batch)
    next(training)  # libraries set themselves up
    steps, began = 0, time.perf_counter()
    while steps < STEPS or time.perf_counter() - began < SECONDS:
        next(training)
        steps += 1
    step = (time.perf_counter() - began) / steps
    began = time.perf_counter()
    for _ in range(STEPS):
        validate(network, task, few, micro_batch)
    validation = (time.perf_counter() - began) / STEPS
    return Pace(max(step - validation, 0.0) / batch_size, validation / len(few))
