"""Before a search: what it will take of the disk, the memory and the time, and whether that is there."""

from __future__ import annotations

import shutil
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch

from records.networks import TITLES
from scattering.dataset import Dataset
from scattering.errors import InputError
from search.machines.resources import Resources, nodes
from search.settings import Settings
from search.tuning.halving import SuccessiveHalving
from spaces import DEFAULTS
from trainables.batches import WindowSet
from trainables.memory import Footprint, TooLargeError, footprint
from trainables.models import build, count_parameters
from trainables.trial import device_of, memory_limit, prepare

if TYPE_CHECKING:
    from ray import ObjectRef

CHECKPOINT = 12
"""Bytes of a checkpoint for each parameter: itself and two moments of Adam, in float32."""

PAGE = 30_000_000
"""Bytes for tables, pictures and the page of a run, generously."""


def check_room(settings: Settings, data: tuple[Dataset, Dataset], resources: Resources) -> str:
    """Return what a run takes of the disk and of the memory.

    Raises InputError where there is too little for networks of the default size.
    """
    disk = PAGE + (resources.parallel + _models(settings)) * CHECKPOINT * _largest_default(settings)
    free = shutil.disk_usage(settings.folder).free
    if disk > free:
        raise InputError(
            f"{settings.folder.parent.resolve()} must have {_size(disk)} free, got {_size(free)}: make room"
        )
    shared = sum(array.nbytes for part in data for array in vars(part).values() if hasattr(array, "nbytes"))
    store = min((node.store for node in nodes()), default=0)
    if shared > store:
        raise InputError(
            f"the prepared frames must fit the shared memory of each node, {_size(store)}, got {_size(shared)}: "
            "take fewer frames or a smaller --size"
        )
    each = f"{_size(resources.memory)} of memory each" if resources.memory is not None else "the GPU's memory"
    if resources.memory is None and resources.gpus < 1:
        each = f"{resources.gpus:g} of a GPU's memory each"
    return (
        f"{resources.parallel} at a time, {each}, frames {_size(shared)}; "
        f"disk: about {_size(disk)} of {_size(free)} free"
    )


def estimate_time(settings: Settings, data: ObjectRef[tuple[Dataset, Dataset]], resources: Resources) -> float:
    """Measure one training step of each network's defaults where trials will run; returns hours for the search.

    Raises InputError where the defaults of no network fit the memory.
    """
    import ray

    probe = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=0)(_probe)
    seconds, reasons = 0.0, []
    for study in settings.studies:
        network, config = study.network, dict(DEFAULTS[study.network])
        if (task := settings.task_of(study)) is not None:
            config["task"] = task
        job = settings.job(0, network, config, settings.epochs or 1, resources, settings.folder / "probe")
        cost, windows, reason = ray.get(probe.remote(job, data))
        reasons += [f"{TITLES[network]}: {reason}"] if reason else []
        seconds += settings.trials * expected_epochs(settings) * cost.seconds * windows
    if len(reasons) == len(settings.studies):
        raise InputError(
            f"a trial must fit the memory, got {'; '.join(reasons)}: take a smaller --size or fewer --parallel"
        )
    return seconds / resources.parallel / 3600


def expected_epochs(settings: Settings) -> float:
    """Epochs that a trial lives on average when a rung lets one of `reduction` pass."""
    if not settings.proposes or settings.epochs is None:
        return float(settings.epochs or settings.retrain_epochs)
    halving = SuccessiveHalving(settings.epochs)
    places = [0, *halving.rungs, settings.epochs]
    steps = enumerate(pairwise(places))
    return float(sum((after - before) / halving.reduction**passed for passed, (before, after) in steps))


def _probe(job: dict[str, Any], data: tuple[Dataset, Dataset]) -> tuple[Footprint, int, str]:
    """Runs on a node: what a step takes there, windows of the training set, and why it does not fit."""
    device = device_of(job)
    network, task = prepare(job, device)
    windows = WindowSet(data[0], device)
    cost = footprint(network, task, windows)
    try:
        cost.micro_batch(1, memory_limit(job, device))
    except TooLargeError as error:
        return cost, len(windows), str(error)
    return cost, len(windows), ""


def _largest_default(settings: Settings) -> int:
    """Parameters of the largest of the networks' defaults."""
    counts = []
    for network in settings.networks:
        with torch.device("meta"):
            counts.append(count_parameters(build(network, DEFAULTS[network], 0, settings.implementation)[0]))
    return max(counts)


def _models(settings: Settings) -> int:
    """How many models a run retrains and keeps."""
    return settings.seeds * settings.top * len(settings.studies)


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{max(count / 1e6, 0.1):.1f} MB"
