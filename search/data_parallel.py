"""Trainings that share their batches among several GPUs, with Ray Train."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from ray import train as ray_train
from ray.train.torch import TorchTrainer, get_device, prepare_model
from ray.train.v2.api.exceptions import WorkerGroupError

from search.machines.resources import Places
from search.machines.tasks import RETRIES
from search.retrain import Training, train_winner
from trainables.training import Worker


def train_together(trainings: Sequence[Training], places: Places, scratch: Path) -> None:
    """Train side by side, each on several workers; Ray Train keeps its own files in `scratch`."""
    outcomes = [_start(_trainer(training, places, scratch)) for training in trainings]
    for outcome in outcomes:
        outcome.result()


def _trainer(training: Training, places: Places, scratch: Path) -> TorchTrainer:
    # No worker without a window of the batch.
    workers = min(places.workers, int(training.job.config["batch_size"]))
    return TorchTrainer(
        _train,
        train_loop_config={"training": training},
        scaling_config=ray_train.ScalingConfig(
            num_workers=workers,
            use_gpu=places.gpus > 0,
            resources_per_worker={"CPU": places.cpus, **({"GPU": places.gpus} if places.gpus else {})},
        ),
        run_config=ray_train.RunConfig(
            name=training.model.stem,
            storage_path=str(scratch.resolve()),
            failure_config=ray_train.FailureConfig(max_failures=RETRIES),
        ),
    )


def _train(given: dict[str, Training]) -> None:
    """Train on every worker."""
    context, device = ray_train.get_context(), get_device()
    worker = Worker(context.get_world_rank(), context.get_world_size())
    train_winner(given["training"], device, worker, partial(prepare_model, move_to_device=device))


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
