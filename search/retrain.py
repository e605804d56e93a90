"""Winners, trained again at full length, side by side."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import ray
import torch
from torch import nn

from records.files import append_line, read_retraining
from records.tables import RetrainInterim, Trial
from search.following.display import RetrainDisplay
from search.machines.resources import Places, Resources
from search.machines.tasks import on_ray
from search.settings import Budget, Settings
from search.tuning.studies import full_length
from trainables import checkpoints, devices
from trainables.batches import Part, WindowSet
from trainables.job import Job
from trainables.memory import TooLargeError, footprint
from trainables.models import save
from trainables.tasks import Task, unwrap
from trainables.training import ALONE, DivergenceError, Worker, lowest
from trainables.trial import gpu_is_lost, memory_limit, prepare, train, window_sets

Data = ray.ObjectRef[tuple[Part, Part]]


class Training(NamedTuple):
    """A winner to train at full length."""

    job: Job
    progress: Path
    """Where its reports go."""
    model: Path
    data: Data


def retrain(
    settings: Settings, trainings: Sequence[tuple[Trial, int]], data: Data, places: Places, budget: Budget
) -> list[bool]:
    """Train winning configurations from scratch, each with its seed, side by side, and write the models.

    A model is that of the report with the lowest validation error. Tells of each whether it came to its end, as it
    does not if it diverges or is too large for the memory. The learning rate comes down within the budget, which is
    that of each. Goes on from checkpoints that an earlier session left.
    """
    progress = settings.files.retraining.path
    limits = [budget.seconds, None if budget.gpu_seconds is None else budget.gpu_seconds / places.workers]
    seconds = min((limit for limit in limits if limit is not None), default=None)
    epochs = {winner.trial: full_length(settings, winner) for winner, _ in trainings}
    given = [_training(settings, *training, data, places, seconds) for training in trainings]
    with RetrainDisplay(settings.name, progress, trainings, epochs, seconds):
        if places.workers > 1:
            from search.data_parallel import train_together

            train_together(given, places, settings.folder / "retrain")
        else:
            # Of a lost GPU, in whatever words, another process knows nothing; a file system may answer later.
            again = (torch.AcceleratorError, OSError, DivergenceError, TooLargeError)
            list(on_ray(train_alone, given, cpus=places.cpus, gpus=places.gpus, again=again))
    shutil.rmtree(settings.folder / "retrain", ignore_errors=True)
    models = [one.model for one in given]
    for model in models:
        model.with_suffix(".pt").unlink(missing_ok=True)
    return [model.exists() for model in models]


def _training(
    settings: Settings, winner: Trial, seed: int, data: Data, places: Places, seconds: float | None
) -> Training:
    model = settings.files.model(winner, seed)
    ladder = settings.ladders()[settings.study_of(winner.network, winner.config).name]
    course = full_length(settings, winner) * ladder.epoch, ladder.interval
    one = Resources.for_one(places.cpus, places.gpus)
    job = settings.job(winner.trial, winner.network, winner.config, course, one, model.with_suffix(".pt"))
    job = replace(job, seed=seed, seconds=seconds)
    return Training(job, settings.files.retraining.path.resolve(), model.resolve(), data)


def train_alone(given: Training) -> None:
    """Train in one process, and leave it as it was: the next task of Ray may be given to it."""
    threads = torch.get_num_threads()
    try:
        device = devices.device(gpu=bool(given.job.gpus))
        train_winner(given, device)
    finally:
        torch.set_num_threads(threads)


def train_winner(
    given: Training,
    device: torch.device,
    worker: Worker = ALONE,
    shared: Callable[[nn.Module], nn.Module] = lambda network: network,
) -> None:
    """Train as one of several workers; the first one keeps the records, the checkpoint and the model at its best.

    `shared` makes a network one of several whose gradients are averaged.
    """
    job = given.job
    network, task = prepare(job, device)
    windows = window_sets(job, task, ray.get(given.data), device)
    checkpoint = Path(job.checkpoint)
    known = [one for one in read_retraining(given.progress) if (one.trial, one.seed) == (job.trial, job.seed)]
    last = known[-1].windows if known else 0
    best = min((one.val_gap_l1 for one in known), default=math.inf)
    best_model = given.model.with_suffix(".best")
    try:
        micro_batch = _micro_batch(job, network, task, windows[0], worker)
        network = shared(network)
        state = checkpoints.load(checkpoint)
        training = train(job, network, task, windows, state, micro_batch=micro_batch, worker=worker)
        for metrics, reached, _ in training:
            if worker.rank:
                continue
            if metrics["windows"] > last:
                if metrics["val_gap_l1"] < best:
                    best = metrics["val_gap_l1"]
                    save(best_model, unwrap(network), job.network, job.config, job.implementation)
                mine = {"trial": job.trial, "seed": job.seed, "devices": worker.count}
                append_line(given.progress, RetrainInterim(**mine, **metrics))  # type: ignore[arg-type]
            checkpoints.save(checkpoint, reached)
    except (DivergenceError, TooLargeError):
        if gpu_is_lost():
            raise
        # On every worker at once: they agree on the loss and on the memory.
        return
    if worker.rank == 0:
        best_model.replace(given.model)


def _micro_batch(job: Job, network: nn.Module, task: Task, windows: WindowSet, worker: Worker) -> int:
    """Return how many windows at once every worker has memory for.

    Raises TooLargeError on all workers where one of them has none for any: the others would wait for it.
    """
    share = -(-int(job.config["batch_size"]) // worker.count)
    try:
        own = footprint(network, task, windows).micro_batch(share, memory_limit(job, windows.device))
    except TooLargeError:
        own = 0
    fits = lowest(own, worker, windows.device)
    if not fits:
        raise TooLargeError("no memory to train on a single window")
    return fits
