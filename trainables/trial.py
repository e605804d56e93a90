"""The Ray adapter: a job in, one report an epoch out, and a checkpoint to go on from.

A job is a dict: trial, network, implementation, config, epochs, schedule, seed, threads, checkpoint (path).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from ray import tune
from torch import nn

from scattering.dataset import Dataset
from trainables import checkpoints
from trainables.batches import WindowSet
from trainables.models import build, count_parameters
from trainables.tasks import Task
from trainables.training import DivergenceError, Progress, fit


def train_trial(job: dict[str, Any], data: tuple[Dataset, Dataset]) -> None:
    """Train one trial of a search on (train, validation) frames.

    Its job has `known_epochs` too, those that an earlier session has already recorded. Reports carry `trial`,
    `parameters` and the metrics of `fit`; a trial that diverges reports `failure` as its last word, one that cannot
    write its checkpoint `storage`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, task = prepare(job, device)
    constants = {"trial": job["trial"], "parameters": count_parameters(network)}
    checkpoint = Path(job["checkpoint"])
    state = checkpoints.load(checkpoint)
    history: list[dict[str, float]] = [] if state is None else state["history"]
    # Epochs that were saved but not recorded before the session ended.
    for metrics in history[job["known_epochs"] :]:
        tune.report({**constants, **metrics})
    epochs = train(job, network, task, data, device, state)
    try:
        for metrics, reached in epochs:
            history.append(metrics)
            checkpoints.save(checkpoint, {**reached, "history": history})
            tune.report({**constants, **metrics})
    except DivergenceError as error:
        tune.report({**constants, "failure": str(error)})
    except OSError as error:
        # Not the configuration's fault: the driver ends the search, and this trial goes on when there is room.
        tune.report({**constants, "storage": (error.errno, error.strerror, str(checkpoint))})


def prepare(job: dict[str, Any], device: torch.device) -> tuple[nn.Module, Task]:
    """Make the network of a job on a device, and its task."""
    torch.set_num_threads(job["threads"])
    if device.type == "cuda":
        # Products in TF32, as cuDNN's convolutions are.
        torch.set_float32_matmul_precision("high")
    network, task = build(job["network"], job["config"], job["seed"], job["implementation"])
    return network.to(device), task


def train(
    job: dict[str, Any],
    network: nn.Module,
    task: Task,
    data: tuple[Dataset, Dataset],
    device: torch.device,
    state: dict[str, Any] | None,
    **limits: Any,
) -> Iterator[Progress]:
    """Train the network of a job as `fit` does; `limits` are its time and its workers."""
    windows, validation = (WindowSet(part, device) for part in data)
    return fit(
        network,
        task,
        windows,
        validation,
        epochs=job["epochs"],
        batch_size=job["config"]["batch_size"],
        learning_rate=job["config"]["learning_rate"],
        schedule=job["schedule"],
        seed=job["seed"],
        state=state,
        **limits,
    )
