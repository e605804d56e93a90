"""Winners, trained again at full length with Ray Train, side by side."""

from __future__ import annotations

import math
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
import torch
from ray import train as ray_train
from ray.train.backend import Backend
from ray.train.torch import TorchConfig, TorchTrainer, prepare_model
from ray.train.v2.api.exceptions import WorkerGroupError
from torch import nn

from records.files import append_line, read_retraining
from records.tables import RetrainInterim, Trial
from search.following.display import RetrainDisplay
from search.machines.resources import Places, Resources
from search.settings import Budget, Settings
from search.tuning.ledger import RETRIES
from search.tuning.studies import full_length
from trainables import checkpoints
from trainables.batches import Part, WindowSet
from trainables.job import Job
from trainables.memory import TooLargeError, footprint
from trainables.models import save
from trainables.tasks import Task, unwrap
from trainables.training import DivergenceError, Worker, lowest
from trainables.trial import gpu_is_lost, memory_limit, prepare, train, window_sets


def retrain(
    settings: Settings,
    trainings: Sequence[tuple[Trial, int]],
    data: ray.ObjectRef[tuple[Part, Part]],
    places: Places,
    budget: Budget,
) -> list[bool]:
    """Train winning configurations from scratch, each with its seed, side by side, and write the models.

    A model is that of the report with the lowest validation error. Tells of each whether it came to its end, as it
    does not if it diverges or is too large for the memory. The learning rate comes down within the budget, which is
    that of each. Goes on from checkpoints that an earlier session left.
    """
    folder, progress = settings.folder, settings.files.retraining.path
    limits = [budget.seconds, None if budget.gpu_seconds is None else budget.gpu_seconds / places.workers]
    seconds = min((limit for limit in limits if limit is not None), default=None)
    epochs = {winner.trial: full_length(settings, winner) for winner, _ in trainings}
    with RetrainDisplay(settings.name, progress, trainings, epochs, seconds):
        outcomes = [_start(_trainer(settings, *training, data, places, seconds)) for training in trainings]
        for outcome in outcomes:
            outcome.result()
    shutil.rmtree(folder / "retrain", ignore_errors=True)
    models = [settings.files.model(*training) for training in trainings]
    for model in models:
        model.with_suffix(".pt").unlink(missing_ok=True)
    return [model.exists() for model in models]


def _trainer(
    settings: Settings,
    winner: Trial,
    seed: int,
    data: ray.ObjectRef[tuple[Part, Part]],
    places: Places,
    seconds: float | None,
) -> TorchTrainer:
    """Return Ray's trainer of a winner: its workers get the job, and the paths of what they write."""
    model = settings.files.model(winner, seed)
    ladder = settings.ladders()[settings.study_of(winner.network, winner.config).name]
    course = full_length(settings, winner) * ladder.epoch, ladder.interval
    one = Resources.for_one(places.cpus, places.gpus)
    job = settings.job(winner.trial, winner.network, winner.config, course, one, model.with_suffix(".pt"))
    # No worker without a window of the batch.
    workers = min(places.workers, int(winner.config["batch_size"]))
    return TorchTrainer(
        train_winner,
        train_loop_config={
            "job": replace(job, seed=seed, seconds=seconds),
            "progress": settings.files.retraining.path.resolve(),
            "model": model.resolve(),
            "data": data,
        },
        torch_config=TorchConfig() if workers > 1 else Alone(),
        scaling_config=ray_train.ScalingConfig(
            num_workers=workers,
            use_gpu=places.gpus > 0,
            resources_per_worker={"CPU": places.cpus, **({"GPU": places.gpus} if places.gpus else {})},
        ),
        run_config=ray_train.RunConfig(
            name=model.stem,
            storage_path=str((settings.folder / "retrain").resolve()),
            failure_config=ray_train.FailureConfig(max_failures=RETRIES),
        ),
    )


class Alone(TorchConfig):
    """One worker has nobody to meet: the meeting point would be a port of all interfaces that asks for no token."""

    @property
    def backend_cls(self) -> type[Backend]:
        """Return the backend that sets up nothing."""
        return Backend


def _start(trainer: TorchTrainer) -> Future[object]:
    """Run a training in a thread: on the main one Ray Train would answer Ctrl-C itself, by exiting."""
    outcome: Future[object] = Future()

    def work() -> None:
        try:
            outcome.set_result(trainer.fit())
        except WorkerGroupError as error:
            outcome.set_exception(_storage_error(error) or error)
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return outcome


def _storage_error(error: WorkerGroupError) -> OSError | None:
    """Return why a worker could not write, where that ended the training: a full disk is no fault of the program."""
    for failure in error.worker_failures.values():
        # Ray wraps what a worker raised (ray/train/v2/_internal/exceptions.py).
        cause = getattr(failure, "_base_exc", failure)
        if isinstance(cause, OSError):
            return cause
    return None


def train_winner(given: dict[str, Any]) -> None:
    """Train on every worker; the first one keeps the records, the checkpoint and the model at its best."""
    job: Job = given["job"]
    context = ray_train.get_context()
    worker = Worker(context.get_world_rank(), context.get_world_size())
    # Ray Train's answer is a GPU where the machine has one, though none was asked for.
    device = ray_train.torch.get_device() if job.gpus else torch.device("cpu")
    network, task = prepare(job, device)
    windows = window_sets(job, task, ray.get(given["data"]), device)
    checkpoint, progress = Path(job.checkpoint), given["progress"]
    known = [one for one in read_retraining(progress) if (one.trial, one.seed) == (job.trial, job.seed)]
    last = known[-1].windows if known else 0
    best = min((one.val_gap_l1 for one in known), default=math.inf)
    best_model = given["model"].with_suffix(".best")
    try:
        micro_batch = _micro_batch(job, network, task, windows[0], worker)
        network = prepare_model(network, move_to_device=device)
        state = checkpoints.load(checkpoint)
        training = train(job, network, task, windows, state, micro_batch=micro_batch, worker=worker)
        for metrics, reached, _ in training:
            if worker.rank == 0 and metrics["windows"] > last:
                if metrics["val_gap_l1"] < best:
                    best = metrics["val_gap_l1"]
                    save(best_model, unwrap(network), job.network, job.config, job.implementation)
                mine = {"trial": job.trial, "seed": job.seed, "devices": worker.count}
                append_line(progress, RetrainInterim(**mine, **metrics))  # type: ignore[arg-type]
            if worker.rank == 0:
                checkpoints.save(checkpoint, reached)
            ray_train.report(metrics)
    except (DivergenceError, TooLargeError):
        if gpu_is_lost():
            raise
        # On every worker at once: they agree on the loss and on the memory.
        return
    if worker.rank == 0:
        best_model.replace(given["model"])


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
