"""A winner, trained again at full length with Ray Train: one worker a GPU, or one with all cores."""

from __future__ import annotations

import math
import shutil
import threading
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

from records.files import append_line, read_retraining
from records.tables import RetrainInterim, Trial
from search.following.display import RetrainDisplay
from search.machines.resources import Resources, node_size, total_gpus
from search.settings import Budget, Settings
from search.tuning.ledger import RETRIES
from search.tuning.studies import full_length
from trainables import checkpoints
from trainables.batches import Part, WindowSet
from trainables.job import Job
from trainables.memory import TooLargeError, footprint
from trainables.models import save
from trainables.tasks import unwrap
from trainables.training import DivergenceError, Worker
from trainables.trial import memory_limit, prepare, train


def retrain(
    settings: Settings,
    winner: Trial,
    seed: int,
    data: ray.ObjectRef[tuple[Part, Part]],
    share: Resources,
    budget: Budget,
) -> bool:
    """Train a winning configuration from scratch with a seed on (train, validation) frames and write the model.

    The model is that of the report with the lowest validation error. Returns False if the training diverges, or is
    too large for the memory. The learning rate comes down within the budget. Goes on from a checkpoint that an
    earlier session left.
    """
    workers, resources = _workers(int(winner.config["batch_size"]), share)
    limits = [budget.seconds, None if budget.gpu_seconds is None else budget.gpu_seconds / workers]
    seconds = min((limit for limit in limits if limit is not None), default=None)
    folder, model = settings.folder, settings.files.model(winner, seed)
    checkpoint, progress = model.with_suffix(".pt"), settings.files.retraining.path
    epochs = full_length(settings, winner)
    ladder = settings.ladders()[settings.study_of(winner.network, winner.config).name]
    course = epochs * ladder.epoch, ladder.interval
    cpus, gpus = int(resources.get("CPU", 1)), resources.get("GPU", 0.0)
    job = settings.job(winner.trial, winner.network, winner.config, course, Resources.for_one(cpus, gpus), checkpoint)
    job = replace(job, seed=seed, seconds=seconds)
    trainer = TorchTrainer(
        train_winner,
        train_loop_config={
            "job": job,
            "progress": progress.resolve(),
            "model": model.resolve(),
            "data": data,
        },
        torch_config=TorchConfig() if workers > 1 else Alone(),
        scaling_config=ray_train.ScalingConfig(
            num_workers=workers, use_gpu="GPU" in resources, resources_per_worker=resources
        ),
        run_config=ray_train.RunConfig(
            name="retrain",
            storage_path=str(folder.resolve()),
            failure_config=ray_train.FailureConfig(max_failures=RETRIES),
        ),
    )
    with RetrainDisplay(settings.name, progress, winner, seed, epochs, seconds):
        _fit(trainer)
    shutil.rmtree(folder / "retrain", ignore_errors=True)
    checkpoint.unlink(missing_ok=True)
    return model.exists()


class Alone(TorchConfig):
    """One worker has nobody to meet: the meeting point would be a port of all interfaces that asks for no token."""

    @property
    def backend_cls(self) -> type[Backend]:
        """Return the backend that sets up nothing."""
        return Backend


def _fit(trainer: TorchTrainer) -> None:
    """Run the training in a thread: on the main one Ray Train would answer Ctrl-C itself, by exiting."""
    outcome: Future[object] = Future()

    def work() -> None:
        try:
            outcome.set_result(trainer.fit())
        except WorkerGroupError as error:
            outcome.set_exception(_storage_error(error) or error)
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    outcome.result()


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
    train_set, validation = (WindowSet.of(part, device) for part in ray.get(given["data"]))
    checkpoint, progress = Path(job.checkpoint), given["progress"]
    known = [one for one in read_retraining(progress) if (one.trial, one.seed) == (job.trial, job.seed)]
    last = known[-1].windows if known else 0
    best = min((one.val_gap_l1 for one in known), default=math.inf)
    best_model = given["model"].with_suffix(".best")
    try:
        share = -(-int(job.config["batch_size"]) // worker.count)
        micro_batch = footprint(network, task, train_set).micro_batch(share, memory_limit(job, device))
        network = prepare_model(network, move_to_device=device)
        state = checkpoints.load(checkpoint)
        training = train(job, network, task, (train_set, validation), state, micro_batch=micro_batch, worker=worker)
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
        # On every worker at once: all validate the same weights, and are as large.
        return
    if worker.rank == 0:
        best_model.replace(given["model"])


def _workers(batch_size: int, share: Resources) -> tuple[int, dict[str, float]]:
    """Number of training workers, none without a window of the batch, and what each gets.

    Trials on GPUs are retrained on GPUs, though none may be there before a cluster brings one.
    """
    cpus, gpus = node_size()
    if gpus and share.gpus:
        return min(total_gpus(), batch_size), {"GPU": 1, "CPU": max(1, cpus // gpus - 1)}
    if share.gpus:
        return min(share.parallel, batch_size), {"GPU": 1, "CPU": share.cpus}
    # One process with all the cores of a node beats several that exchange gradients.
    return 1, {"CPU": max(1, cpus)}
