"""The training loop: no Ray, no files, no clock on the wall but for the seconds it reports."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from scattering.errors import one_line
from trainables.batches import Batch, WindowSet
from trainables.losses import absolute_error
from trainables.memory import TooLargeError, out_of_memory
from trainables.metrics import correlation, mean_absolute_error
from trainables.precision import mixed_precision
from trainables.tasks import Task, unwrap


class Progress(NamedTuple):
    """One epoch done."""

    metrics: dict[str, float]
    """epoch, train_loss, val_loss, val_gap_l1, val_gap_cc, learning_rate, seconds."""
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

CHECK = 50
"""Steps after which a loss is looked at: each look waits for the device."""


def fit(
    network: nn.Module,
    task: Task,
    train: WindowSet,
    validation: WindowSet,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    schedule: str,
    seed: int,
    seconds: float | None = None,
    state: dict[str, Any] | None = None,
    micro_batch: int | None = None,
    rank: int = 0,
    workers: int = 1,
) -> Iterator[Progress]:
    """Train with Adam and L1, yielding after each epoch; equal arguments give equal numbers.

    `batch_size` counts windows over all `workers`, of which this is number `rank` (their gradients are
    averaged by DistributedDataParallel). `state` is that of an earlier epoch to go on from. With a limit of
    `seconds` the learning rate follows the time where that is further along than the epochs, and training
    ends with it.

    Where the memory is short, a worker's share of a batch goes through the network `micro_batch` windows at a time;
    gradients add up to those of the batch (batch normalisation, which the paper's networks have not, sees the parts).
    A step that runs out of memory is done again with half as many.

    Raises DivergenceError when a loss is not finite, TooLargeError when not even one window fits.
    """
    share = -(-batch_size // workers)
    micro_batch = micro_batch or share
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
    done, spent = 0, 0.0
    if state is not None:
        unwrap(network).load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        done, spent = state["epoch"], state["seconds"]
    steps = max(len(train) // batch_size, 1)
    precision = mixed_precision(network, train.device)
    started = time.perf_counter() - spent
    for epoch in range(done, epochs):
        # Drawn anew from (seed, epoch): a resumed run goes on as the uninterrupted one would.
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(train), generator=generator).to(train.storage)
        patterns = train.random_patterns(len(train), generator)
        total = torch.zeros((), device=train.device)
        network.train()
        mine = [slice(step * batch_size + rank, (step + 1) * batch_size, workers) for step in range(steps)]
        for step, batch in enumerate(train.batches([(order[part], patterns[part]) for part in mine])):
            pixels = task.scored(batch).sum().clamp(min=1)
            elapsed = time.perf_counter() - started
            if workers > 1:
                pixels = average(pixels, workers)
                if seconds is not None:
                    elapsed = float(average(pixels.new_tensor(elapsed), workers))
            progress = (epoch + (step + 0.5) / steps) / epochs
            if seconds is not None:
                progress = min(max(progress, elapsed / seconds), 1.0)
            rate = learning_rate * SCHEDULES[schedule](progress)
            for group in optimizer.param_groups:
                group["lr"] = rate
            while True:
                optimizer.zero_grad(set_to_none=True)
                try:
                    total += _accumulate(network, task, batch, pixels, micro_batch, precision)
                    break
                except (RuntimeError, MemoryError) as problem:
                    # Other workers would wait for the gradients of a step that is done again.
                    if not out_of_memory(problem) or workers > 1:
                        raise
                    if micro_batch == 1:
                        raise TooLargeError(f"no memory to train on a single window: {one_line(problem)}") from None
                # Out of the handler, whose traceback holds what the step had allocated.
                micro_batch = -(-micro_batch // 2)
                _release(train.device)
            optimizer.step()
            if progress >= 1:
                break
            if step % CHECK == CHECK - 1 and not math.isfinite(total.item()):
                raise DivergenceError(f"the loss is not finite in epoch {epoch + 1}")
        metrics = {"epoch": epoch + 1, "train_loss": total.item() / (step + 1), "learning_rate": rate}
        metrics |= _validate(network, task, validation, micro_batch)
        if not all(math.isfinite(value) for value in metrics.values()):
            raise DivergenceError(f"the loss is not finite in epoch {epoch + 1}")
        spent = time.perf_counter() - started
        checkpoint = {
            "network": unwrap(network).state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": epoch + 1,
            "seconds": spent,
        }
        yield Progress(metrics | {"seconds": spent}, checkpoint, micro_batch)
        if progress >= 1:
            return
        # What the caller did between two epochs is not training time.
        started = time.perf_counter() - spent


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
                prediction = task.predict(network, part.measured, part.observed)
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
        _release(windows.device)


def _release(device: torch.device) -> None:
    """Give back what a step that failed had reserved."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def average(value: Tensor, workers: int) -> Tensor:
    """Average a number over all workers, so that all take the same steps."""
    shared = value.float() / workers
    torch.distributed.all_reduce(shared)
    return shared


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
    for batch in windows.batches([(part, patterns[part]) for part in torch.split(everything, batch_size)]):
        prediction = task.predict(network, batch.measured, batch.observed)
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
