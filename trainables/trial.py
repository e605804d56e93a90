"""The Ray adapter: a job in, one report an epoch out, and a checkpoint to go on from.

A job is a dict: trial, network, implementation, config, epochs, schedule, seed, threads, gpus, memory (bytes for one
training; None: the GPU's), checkpoint and log (paths), patience (seconds without a report, at least, before a trial
counts as hung).
"""

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

from scattering.dataset import Dataset
from scattering.errors import one_line
from trainables import checkpoints
from trainables.batches import WindowSet
from trainables.memory import Footprint, TooLargeError, footprint, out_of_memory
from trainables.models import build, count_parameters
from trainables.tasks import Task
from trainables.training import DivergenceError, Progress, fit

SLOWNESS = 10
"""Times what an epoch should take: a trial silent for longer counts as hung."""


def train_trial(job: dict[str, Any], data: tuple[Dataset, Dataset]) -> None:
    """Train one trial of a search on (train, validation) frames.

    Its job has `known_epochs` too, those that an earlier session has already recorded. Every report carries `trial`;
    the first one says what training will take (`parameters`, `micro_batch`, `memory` and `headroom` in bytes,
    `patience` in seconds), later ones have the metrics of `fit` beside. Instead the last one may be `failure` (why it
    cannot go on), `infeasible` (too large for the memory) or `storage` (its checkpoint cannot be written). None of
    these is raised: what would fail again is not to be tried again. A process that dies is.
    """
    # Seconds that Tune gives this trial to leave before the next one has its process; a trial that finds it taken is
    # dropped without a word (tune_controller.py: _on_trial_reset), and 2 s are short on a busy machine.
    os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", "60")
    run = Path(job["checkpoint"]).parents[1]
    if not (run / "run.json").exists():
        # A machine that joined late: it would train on a disk of its own.
        words = f"{platform.node()} does not share the folder of the runs (clusters/README.md)"
        tune.report({"trial": job["trial"], "storage": (errno.EACCES, words, str(run))})
        return
    with trial_log(Path(job["log"])) as log:
        for report in _reports(job, data, log):
            tune.report({"trial": job["trial"], **report})


def _reports(job: dict[str, Any], data: tuple[Dataset, Dataset], log: logging.Logger) -> Iterator[dict[str, Any]]:
    headroom = -1
    try:
        log.info("%s %s: process %d", job["network"], job["config"], os.getpid())
        faulthandler.dump_traceback_later(job["patience"], file=_file(log))
        device = device_of(job)
        network, task = prepare(job, device)
        train_set, validation = (WindowSet(part, device) for part in data)
        cost = footprint(network, task, train_set)
        limit = memory_limit(job, device)
        headroom = limit - cost.bytes(1)
        batch_size = job["config"]["batch_size"]
        micro_batch = cost.micro_batch(batch_size, limit)
        patience = max(job["patience"], SLOWNESS * cost.seconds * len(train_set))
        facts = {"parameters": count_parameters(network), "headroom": headroom, "patience": patience}
        log.info("on %s of %s, %s", device, platform.node(), _sizes(cost, micro_batch, batch_size, limit))
        checkpoint = Path(job["checkpoint"])
        state = checkpoints.load(checkpoint)
        history: list[dict[str, float]] = [] if state is None else state["history"]
        yield {**facts, "micro_batch": micro_batch, "memory": cost.bytes(micro_batch)}
        # Epochs that were saved but not recorded before the session ended.
        for metrics in history[job["known_epochs"] :]:
            yield {**facts, "micro_batch": micro_batch, "memory": cost.bytes(micro_batch), **metrics}
        faulthandler.dump_traceback_later(patience, file=_file(log))
        epochs = train(job, network, task, (train_set, validation), state, micro_batch=micro_batch)
        for metrics, reached, windows in epochs:
            history.append(metrics)
            try:
                checkpoints.save(checkpoint, {**reached, "history": history})
            except OSError as error:
                # Not the configuration's fault: the driver ends the search; this trial goes on once there is room.
                yield {"storage": (error.errno, error.strerror, str(checkpoint))}
                return
            log.info("epoch %d: %s", metrics["epoch"], _values(metrics))
            yield {**facts, "micro_batch": windows, "memory": cost.bytes(windows), **metrics}
            faulthandler.dump_traceback_later(patience, file=_file(log))
        log.info("ended")
    except (DivergenceError, TooLargeError) as error:
        log.error("%s", error)
        key = "infeasible" if isinstance(error, TooLargeError) else "failure"
        yield {key: one_line(error), "headroom": min(headroom, -1)}
    except Exception as error:
        log.exception("failed")
        if out_of_memory(error):
            yield {"infeasible": f"out of memory: {one_line(error)}", "headroom": min(headroom, -1)}
        else:
            yield {"failure": f"{type(error).__name__}: {one_line(error)}"}


def device_of(job: dict[str, Any]) -> torch.device:
    """Where a job trains: Ray hides no GPU from one that asked for none."""
    return torch.device("cuda" if job["gpus"] and torch.cuda.is_available() else "cpu")


def prepare(job: dict[str, Any], device: torch.device) -> tuple[nn.Module, Task]:
    """Make the network of a job on a device, and its task."""
    torch.set_num_threads(job["threads"])
    if device.type == "cuda":
        # Products in TF32, as cuDNN's convolutions are.
        torch.set_float32_matmul_precision("high")
    network, task = build(job["network"], job["config"], job["seed"], job["implementation"])
    return network.to(device), task


def memory_limit(job: dict[str, Any], device: torch.device) -> int:
    """Return the bytes that a training may take beside what is allocated already, its windows say."""
    given: int | None = job["memory"]
    if device.type != "cuda":
        assert given is not None
        return given
    share = min(job["gpus"], 1.0) * SHARE
    # Trials that share a GPU cannot take each other's memory.
    torch.cuda.set_per_process_memory_fraction(share, device)
    limit = int(share * torch.cuda.mem_get_info(device)[1]) - torch.cuda.memory_allocated(device)
    return limit if given is None else min(given, limit)


SHARE = 0.95
"""Of a GPU's memory that its trials may allocate; libraries keep the rest."""


def train(
    job: dict[str, Any],
    network: nn.Module,
    task: Task,
    windows: tuple[WindowSet, WindowSet],
    state: dict[str, Any] | None,
    **limits: Any,
) -> Iterator[Progress]:
    """Train the network of a job as `fit` does; `limits` are its time, its memory and its workers."""
    return fit(
        network,
        task,
        *windows,
        epochs=job["epochs"],
        batch_size=job["config"]["batch_size"],
        learning_rate=job["config"]["learning_rate"],
        schedule=job["schedule"],
        seed=job["seed"],
        state=state,
        **limits,
    )


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
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if name != "epoch")
