"""The Ray Tune adapter: trains a job, sends a message at each report, and keeps a checkpoint to go on from."""

from __future__ import annotations

import errno
import faulthandler
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ray import tune
from torch import nn

from scattering.errors import one_line
from trainables import checkpoints, devices
from trainables.batches import Part, WindowSet
from trainables.job import Job
from trainables.memory import Footprint, TooLargeError, footprint, out_of_memory
from trainables.messages import Cost, Failed, Infeasible, Message, Reported, Started, StorageLost, to_report
from trainables.models import build, count_parameters
from trainables.tasks import Task
from trainables.training import ALONE, Course, DivergenceError, Progress, Worker, fit

SLOWNESS = 10
"""Times what the windows between two reports should take: a trial silent for longer counts as hung."""


def train_trial(job: dict[str, Any], data: tuple[Part, Part]) -> None:
    """Train one trial of a search on (train, validation) frames; `job` has the fields of `Job`.

    Every report is a message. What would fail again is said in one and not raised. An error of the accelerator or of
    the storage is raised: it ends the process, and the trial goes on in another one, perhaps on another machine.
    """
    # Seconds that Tune gives this trial to leave before the next one has its process; a trial that finds it taken is
    # dropped without a word (tune_controller.py: _on_trial_reset), and 2 s are short on a busy machine.
    os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", "60")
    given = Job(**job)
    run = Path(given.checkpoint).parents[1]
    if not (run / "run.json").exists():
        # A machine that joined late: it would train on a disk of its own.
        words = f"{platform.node()} does not share the folder of the runs (clusters/README.md)"
        tune.report(to_report(StorageLost(given.trial, errno.EACCES, words, str(run))))
        return
    with trial_log(Path(given.log)) as log:
        for message in messages(given, data, log):
            tune.report(to_report(message))


def messages(job: Job, data: tuple[Part, Part], log: logging.Logger) -> Iterator[Message]:
    """Train a job, from its checkpoint if there is one, and yield all that the driver must know.

    Raises an error that is the process's own, as a new one may go on: see `ends_process`.
    """
    try:
        yield from _train_and_save(job, data, log)
        log.info("ended")
    except Exception as error:
        log.error("%s", error, exc_info=not isinstance(error, (TooLargeError, DivergenceError)))
        if ends_process(error):
            raise
        yield _last_words(job, error)


def _last_words(job: Job, error: Exception) -> Message:
    """Return the message of a trial that would fail again."""
    if isinstance(error, TooLargeError):
        return Infeasible(job.trial, one_line(error), error.headroom)
    if isinstance(error, DivergenceError):
        return Failed(job.trial, one_line(error))
    if out_of_memory(error):
        return Infeasible(job.trial, f"out of memory: {one_line(error)}", -1)
    return Failed(job.trial, f"{type(error).__name__}: {one_line(error)}")


def _train_and_save(job: Job, data: tuple[Part, Part], log: logging.Logger) -> Iterator[Message]:
    log.info("%s %s: process %d", job.network, job.config, os.getpid())
    faulthandler.dump_traceback_later(job.patience, file=_file(log))
    device = devices.device(gpu=bool(job.gpus))
    network, task = prepare(job, device)
    windows = window_sets(job, task, data, device)
    needs, limit = footprint(network, task, windows[0]), memory_limit(job, device)
    batch_size = int(job.config["batch_size"])
    micro_batch = needs.micro_batch(batch_size, limit)
    patience = max(job.patience, SLOWNESS * needs.seconds * min(job.interval, job.windows))
    log.info("on %s of %s, %s", device, platform.node(), _sizes(needs, micro_batch, batch_size, limit))

    def cost(micro_batch: int) -> Cost:
        return Cost(count_parameters(network), micro_batch, needs.bytes(micro_batch), limit - needs.bytes(1))

    yield Started(job.trial, cost(micro_batch), patience)
    checkpoint = Path(job.checkpoint)
    state = checkpoints.load(checkpoint)
    history: list[dict[str, float]] = [] if state is None else state["history"]
    # Reports that were saved but not recorded before the session ended.
    for metrics in history:
        if metrics["windows"] > job.known_windows:
            yield Reported(job.trial, cost(micro_batch), metrics)
    faulthandler.dump_traceback_later(patience, file=_file(log))
    for metrics, reached, at_once in train(job, network, task, windows, state, micro_batch=micro_batch):
        history.append(metrics)
        try:
            checkpoints.save(checkpoint, {**reached, "history": history})
        except OSError as error:
            # The search ends; this trial goes on once there is room.
            yield StorageLost(job.trial, error.errno or errno.EIO, error.strerror or str(error), str(checkpoint))
            return
        log.info("%d windows: %s", metrics["windows"], _values(metrics))
        yield Reported(job.trial, cost(at_once), metrics)
        faulthandler.dump_traceback_later(patience, file=_file(log))


def ends_process(error: Exception) -> bool:
    """Tell whether an error is of the accelerator or of the storage.

    A file system may answer another machine, or later.
    """
    if isinstance(error, torch.AcceleratorError):
        return not out_of_memory(error) or gpu_is_lost()
    return isinstance(error, OSError) or gpu_is_lost()


def gpu_is_lost() -> bool:
    """Tell whether this process can use its GPU no more: after an error inside a kernel nothing works there.

    What raises then may be an error of any library, or look like a lack of memory.
    """
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def prepare(job: Job, device: torch.device) -> tuple[nn.Module, Task]:
    """Make the network of a job on a device, and its task."""
    torch.set_num_threads(job.threads)
    if device.type == "cuda":
        # Libraries work on the current one, whichever tensors they are given.
        torch.cuda.set_device(device)
        # Products in TF32, as cuDNN's convolutions are.
        torch.set_float32_matmul_precision("high")
        # Its fastest ways to gradients add up in an order that changes from run to run.
        torch.backends.cudnn.deterministic = True
    network, task = build(job.network, job.config, job.seed, job.implementation)
    return network.to(device), task


def window_sets(job: Job, task: Task, data: tuple[Part, Part], device: torch.device) -> tuple[WindowSet, WindowSet]:
    """Lay (train, validation) windows on the device of a job, or in the host's memory where they would crowd it."""
    train, validation = (
        WindowSet.of(part, device, rings=task.rings, room=FOR_WINDOWS * memory_limit(job, device)) for part in data
    )
    return train, validation


def memory_limit(job: Job, device: torch.device) -> int:
    """Return the bytes that a training may take beside those that are allocated already, for its windows."""
    if device.type != "cuda":
        assert job.memory is not None
        return job.memory
    total = torch.cuda.mem_get_info(device)[1]
    share = max(min(job.gpus, 1.0) * SHARE - CONTEXT / total, 0.0)
    # Trials that share a GPU cannot take each other's memory.
    torch.cuda.set_per_process_memory_fraction(share, device)
    limit = int(share * total) - torch.cuda.memory_allocated(device)
    return limit if job.memory is None else min(job.memory, limit)


SHARE = 0.95
"""Share of a GPU's memory that is for its trials; the rest is for other programs."""

CONTEXT = 600_000_000
"""Bytes that CUDA takes of it for each process, and for the code of libraries, before anything is allocated."""

FOR_WINDOWS = 0.5
"""Share of a training's memory that one data set may take on a GPU."""


def train(
    job: Job,
    network: nn.Module,
    task: Task,
    windows: tuple[WindowSet, WindowSet],
    state: dict[str, Any] | None,
    *,
    micro_batch: int,
    worker: Worker = ALONE,
) -> Iterator[Progress]:
    """Train the network of a job on (train, validation) windows, as `fit` does."""
    course = Course.of(
        job.config,
        windows=job.windows,
        interval=job.interval,
        schedule=job.schedule,
        seed=job.seed,
        seconds=job.seconds,
    )
    return fit(network, task, *windows, course, state=state, micro_batch=micro_batch, worker=worker)


@contextmanager
def trial_log(path: Path) -> Iterator[logging.Logger]:
    """Append to a trial's log file, for people; a stack may be dumped there until it is closed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    log = logging.Logger(path.stem)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    try:
        yield log
    finally:
        faulthandler.cancel_dump_traceback_later()
        handler.close()


def _file(log: logging.Logger) -> Any:
    """Return the open file of a log: where a hung trial's stack goes."""
    return log.handlers[0].stream  # type: ignore[attr-defined]


def _sizes(cost: Footprint, micro_batch: int, batch_size: int, limit: int) -> str:
    split = "" if micro_batch == batch_size else f" in parts of {micro_batch}"
    return f"batches of {batch_size}{split}: {cost.bytes(micro_batch) / 1e9:.2f} GB of {limit / 1e9:.2f} GB"


def _values(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name != "windows")
