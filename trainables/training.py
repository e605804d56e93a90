"""The training loop: no Ray, no files, no clock on the wall but for the seconds it reports."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from scattering.errors import one_line
from trainables.batches import Batch, Drawn, WindowSet
from trainables.losses import absolute_error
from trainables.memory import TooLargeError, out_of_memory, release
from trainables.metrics import correlation, mean_absolute_error
from trainables.models import Config
from trainables.precision import mixed_precision
from trainables.recording import Recorder, records
from trainables.tasks import Task, unwrap


class Progress(NamedTuple):
    """A training at one of its reports."""

    metrics: dict[str, float]
    """windows (seen so far), epoch (the same in passes over the training set), train_loss (since the report before),
    val_loss, val_gap_l1, val_gap_cc, learning_rate, seconds."""
    state: dict[str, Any]
    """What `fit` needs to go on from here; tensors shared with the live network."""
    micro_batch: int
    """Windows at once: the batch, unless memory is short."""


class DivergenceError(ArithmeticError):
    """The loss is no longer finite: nothing further can be learnt."""


SCHEDULES: dict[str, Callable[[float], float]] = {
    # The paper's: divided by ten after each third.
    "step": lambda progress: 10.0 ** -min(int(3 * progress), 2),
    # A short warm-up, then half a cosine to zero.
    "cosine": lambda progress: min(progress / 0.05, 1.0) * 0.5 * (1 + math.cos(math.pi * progress)),
}
"""Learning rate as a fraction of its maximum, against the share of the training done."""

UNLOCATED = 0.3
"""Share of the windows that are shown without their rings, so that a model serves frames of unknown geometry, too."""

CHECK = 50
"""Steps after which a loss is looked at: each look waits for the device."""


@dataclass(frozen=True)
class Course:
    """Settings of one training."""

    windows: int
    """Training windows to see, each as often as the training set is passed over."""
    interval: int
    """Windows from one report to the next."""
    batch_size: int
    """Windows over all workers."""
    learning_rate: float
    """At its maximum."""
    schedule: str
    """A key of `SCHEDULES`."""
    seed: int
    seconds: float | None = None
    """Time limit. The learning rate follows the time where that is further along than the windows."""

    @classmethod
    def of(
        cls, config: Config, *, windows: int, interval: int, schedule: str, seed: int, seconds: float | None = None
    ) -> Course:
        """Return the settings of training a configuration, which says the batch size and the learning rate."""
        batch_size, rate = int(config["batch_size"]), float(config["learning_rate"])
        return cls(windows, interval, batch_size, rate, schedule, seed, seconds)

    def steps(self, epoch: int) -> int:
        """Return the number of steps in an epoch of so many windows."""
        return max(epoch // self.batch_size, 1)


@dataclass(frozen=True)
class Worker:
    """One of the processes that share the batches of a training."""

    rank: int = 0
    count: int = 1


ALONE = Worker()


def fit(
    network: nn.Module,
    task: Task,
    train: WindowSet,
    validation: WindowSet,
    course: Course,
    *,
    state: dict[str, Any] | None = None,
    micro_batch: int | None = None,
    worker: Worker = ALONE,
) -> Iterator[Progress]:
    """Train with Adam and L1, yielding at each report; equal arguments give equal numbers, however often it reports.

    On devices of one kind, that is; on a GPU where cuDNN is told to (`trainables.trial.prepare`); and without a time
    limit, by which a slow machine lowers the learning rate sooner.

    `state` is that of an earlier report to go on from. Several workers average their gradients by
    DistributedDataParallel. Training ends with the windows of the course or with its time.

    Where the memory is short, a worker's share of a batch goes through the network `micro_batch` windows at a time;
    gradients add up to those of the batch (batch normalisation, which the paper's networks have not, sees the parts).
    A step that runs out of memory is done again with half as many.

    Raises DivergenceError when a loss is not finite, TooLargeError when not even one window fits.
    """
    training = Training.begin(network, task, train, course, worker=worker, micro_batch=micro_batch)
    spent = 0.0
    if state is not None:
        training.resume(state)
        spent = state["seconds"]
    while training.windows < course.windows and training.progress < 1:
        # The caller's work between two reports is not training time.
        training.started = time.perf_counter() - spent
        metrics = training.to_next_report()
        # DistributedDataParallel would wait in each batch for the other workers, which may need more batches.
        metrics |= _validate(unwrap(network), task, validation, training.micro_batch)
        if not all(math.isfinite(value) for value in metrics.values()):
            raise training.divergence()
        spent = training.elapsed()
        checkpoint = {
            "network": unwrap(network).state_dict(),
            "optimizer": training.optimizer.state_dict(),
            "step": training.step,
            "seconds": spent,
        }
        yield Progress(metrics | {"seconds": spent}, checkpoint, training.micro_batch)


@dataclass
class Training:
    """A training under way."""

    network: nn.Module
    task: Task
    train: WindowSet
    course: Course
    worker: Worker
    optimizer: torch.optim.Optimizer
    precision: AbstractContextManager[object]
    micro_batch: int
    recorder: Recorder | None = None
    """Where steps can be recorded."""
    step: int = 0
    """Steps done."""
    started: float = 0.0
    """On the clock of `time.perf_counter`."""
    progress: float = 0.0
    """Share of the course that is done."""

    @classmethod
    def begin(
        cls,
        network: nn.Module,
        task: Task,
        train: WindowSet,
        course: Course,
        *,
        worker: Worker = ALONE,
        micro_batch: int | None = None,
    ) -> Training:
        """Return a training before its first step."""
        # Other workers are waited for within a step, windows of the host outside it.
        recorded = records(train.device) and worker.count == 1 and train.storage == train.device
        # What is recorded reads the learning rate where it lies.
        rate = torch.tensor(course.learning_rate, device=train.device) if recorded else course.learning_rate
        optimizer = torch.optim.Adam(network.parameters(), lr=rate, fused=True, capturable=recorded)
        share = -(-course.batch_size // worker.count)
        precision = mixed_precision(network, train.device)
        training = cls(network, task, train, course, worker, optimizer, precision, micro_batch or share)
        if recorded:
            training.recorder = Recorder()
        return training

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, of a training on whichever device."""
        unwrap(self.network).load_state_dict(state["network"])
        (group,) = self.optimizer.param_groups
        own = {key: value for key, value in group.items() if key != "params"}
        self.optimizer.load_state_dict(state["optimizer"])
        self.optimizer.param_groups[0].update(own)
        self.step = state["step"]

    def elapsed(self) -> float:
        """Return the seconds of training and validation so far."""
        return time.perf_counter() - self.started

    @property
    def windows(self) -> int:
        """Windows seen so far; those that an epoch leaves over, too few for a batch, count as seen."""
        return self.step * len(self.train) // self.course.steps(len(self.train))

    def divergence(self) -> DivergenceError:
        """Return the error of a loss that is not finite."""
        return DivergenceError(f"the loss is not finite after {self.windows} windows")

    def to_next_report(self) -> dict[str, float]:
        """Train until the next report is due, or the time is over."""
        total = torch.zeros((), device=self.train.device)
        self.network.train()
        due = min((self.windows // self.course.interval + 1) * self.course.interval, self.course.windows)
        steps = 0
        while self.windows < due and self.progress < 1:
            epoch, first = divmod(self.step, self.course.steps(len(self.train)))
            for step in self._steps(self._parts(epoch)[first:]):
                rate = self._advance()
                total += step()
                self.step, steps = self.step + 1, steps + 1
                if self.progress >= 1 or self.windows >= due:
                    break
                if steps % CHECK == 0 and not math.isfinite(self._shared(total).item()):
                    raise self.divergence()
        seen = self.windows
        if seen >= due:
            # A batch may lead beyond: trials are compared by what all of them have seen.
            end, interval = self.course.windows, self.course.interval
            seen = end if seen >= end else seen // interval * interval
        return {
            "windows": seen,
            "epoch": seen / len(self.train),
            "train_loss": self._shared(total).item() / steps,
            "learning_rate": rate,
        }

    def _steps(self, parts: list[Drawn]) -> Iterator[Callable[[], Tensor]]:
        """Yield the steps of an epoch, each of which returns the loss of its batch."""
        if self.recorder is not None:
            yield from (partial(self.recorder, self._step_on, part) for part in parts)
        else:
            yield from (partial(self._step, batch) for batch in self.train.batches(parts))

    def _shared(self, value: Tensor) -> Tensor:
        """Average a number over all workers, so that all take the same steps, and end together."""
        if self.worker.count == 1:
            return value
        shared = value.float() / self.worker.count
        torch.distributed.all_reduce(shared)
        return shared

    def _parts(self, epoch: int) -> list[Drawn]:
        """Draw this worker's windows and gap patterns of an epoch, batch by batch."""
        # From (seed, epoch) alone: a resumed run goes on as the uninterrupted one would.
        generator = torch.Generator().manual_seed(self.course.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.train), generator=generator).to(self.train.storage)
        patterns = self.train.random_patterns(len(self.train), generator)
        located = (torch.rand(len(self.train), generator=generator) >= UNLOCATED).to(self.train.storage)
        size, rank, count = self.course.batch_size, self.worker.rank, self.worker.count
        steps = range(self.course.steps(len(self.train)))
        mine = [slice(step * size + rank, (step + 1) * size, count) for step in steps]
        return [Drawn(order[part], patterns[part], located[part]) for part in mine]

    def _advance(self) -> float:
        """Set the learning rate for a step and return it; all workers agree on the time."""
        course = self.course
        self.progress = (self.step + 0.5) * len(self.train) / course.steps(len(self.train)) / course.windows
        self.progress = min(self.progress, 1.0)
        if course.seconds is not None:
            elapsed = self.elapsed()
            if self.worker.count > 1:
                elapsed = float(self._shared(torch.tensor(elapsed, device=self.train.device)))
            self.progress = min(max(self.progress, elapsed / course.seconds), 1.0)
        rate = course.learning_rate * SCHEDULES[course.schedule](self.progress)
        (group,) = self.optimizer.param_groups
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
        return rate

    def _step_on(self, drawn: Drawn) -> Tensor:
        return self._step(self.train.batch(*drawn))

    def _step(self, batch: Batch) -> Tensor:
        """Take one step, in smaller parts where the memory is short; returns the loss of the batch."""
        pixels = self._shared(self.task.scored(batch).sum().clamp(min=1))
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            try:
                loss = _accumulate(self.network, self.task, batch, pixels, self.micro_batch, self.precision)
                break
            except (RuntimeError, MemoryError) as problem:
                # Other workers would wait for the gradients of a step that is done again.
                if not out_of_memory(problem) or self.worker.count > 1:
                    raise
                if self.micro_batch == 1:
                    raise TooLargeError(f"no memory to train on a single window: {one_line(problem)}") from None
            # Out of the handler, whose traceback holds what the step had allocated.
            self.micro_batch = -(-self.micro_batch // 2)
            release(self.train.device)
        self.optimizer.step()
        return loss


def _accumulate(
    network: nn.Module,
    task: Task,
    batch: Batch,
    pixels: Tensor,
    micro_batch: int,
    precision: AbstractContextManager[object],
) -> Tensor:
    """Add up the gradients of a batch, `micro_batch` windows at a time; returns its mean L1 over valid pixels.

    `pixels` is the number of scored pixels that the loss is the mean over.
    """
    parts = list(zip(*(torch.split(tensor, micro_batch) for tensor in batch), strict=True))
    error = torch.zeros((), device=pixels.device)
    for number, tensors in enumerate(parts, 1):
        part = Batch(*tensors)
        # DistributedDataParallel exchanges gradients once a batch.
        alone = getattr(network, "no_sync", None) if number < len(parts) else None
        with alone() if alone else nullcontext():
            with precision:
                prediction = task.predict(network, part.measured, part.observed, part.hints, part.rings)
            scored, _ = absolute_error(prediction, part.truth, task.scored(part))
            (scored / pixels).backward()  # type: ignore[no-untyped-call]
        error += absolute_error(prediction.detach(), part.truth, part.valid)[0]
    return error / batch.valid.sum().clamp(min=1)


def _validate(network: nn.Module, task: Task, windows: WindowSet, at_once: int) -> dict[str, float]:
    """Validate on as many windows at once as in training: no gradients, but in float32 they may still not fit."""
    while True:
        try:
            return validate(network, task, windows, at_once)
        except (RuntimeError, MemoryError) as problem:
            if at_once == 1 or not out_of_memory(problem):
                raise
        at_once = -(-at_once // 2)
        release(windows.device)


def lowest(number: int, worker: Worker, device: torch.device) -> int:
    """Return the lowest of the numbers of all workers."""
    if worker.count == 1:
        return number
    shared = torch.tensor(number, device=device)
    torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MIN)
    return int(shared)


@torch.no_grad()
def validate(network: nn.Module, task: Task, windows: WindowSet, batch_size: int = 32) -> dict[str, float]:
    """Score a network on every window with its fixed gap: val_loss, val_gap_l1, val_gap_cc."""
    network.eval()
    patterns = windows.fixed_patterns()
    losses: list[Tensor] = []
    pixels: list[Tensor] = []
    filled: list[Tensor] = []
    truth: list[Tensor] = []
    everything = torch.arange(len(windows), device=windows.storage)
    for batch in windows.batches([Drawn(part, patterns[part]) for part in torch.split(everything, batch_size)]):
        prediction = task.predict(network, batch.measured, batch.observed, batch.hints, batch.rings)
        error, count = absolute_error(prediction, batch.truth, batch.valid)
        losses.append(error)
        pixels.append(count)
        filled.append(prediction[batch.held_out].clamp(min=0))
        truth.append(batch.truth[batch.held_out])
    predicted, true = (torch.cat(values).cpu().numpy().astype(np.float32) for values in (filled, truth))
    gap_l1, gap_cc = mean_absolute_error(predicted, true), correlation(predicted, true)
    return {
        "val_loss": (sum(losses) / sum(pixels)).item(),  # type: ignore[union-attr]
        "val_gap_l1": math.nan if gap_l1 is None else gap_l1,
        # A constant prediction has no correlation: it has learnt nothing of the pattern.
        "val_gap_cc": 0.0 if gap_cc is None else gap_cc,
    }
