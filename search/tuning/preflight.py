"""Before a search: what it will take of the disk, the memory and the time, and whether that is there."""

from __future__ import annotations

import shutil
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution

from records.networks import TITLES
from records.tables import Config
from scattering.dataset import Dataset
from scattering.errors import InputError
from search.machines.resources import Resources, nodes
from search.settings import Settings
from search.tuning.halving import SuccessiveHalving
from search.tuning.studies import paper_points
from spaces import DEFAULTS, SPACES
from trainables import devices
from trainables.batches import WindowSet
from trainables.job import Job
from trainables.memory import Footprint, TooLargeError, footprint
from trainables.models import build, count_parameters
from trainables.trial import memory_limit, prepare

if TYPE_CHECKING:
    from ray import ObjectRef

CHECKPOINT = 12
"""Bytes of a checkpoint for each parameter: itself and two moments of Adam, in float32."""

WEIGHTS = 4
"""Bytes of a model for each parameter."""

PAGE = 30_000_000
"""Bytes for tables, pictures and the page of a run, generously."""


class Planned(NamedTuple):
    """A configuration that a search is expected to train."""

    network: str
    config: Config
    epochs: float
    """Of all trainings that are as large as this one together."""


def planned(settings: Settings) -> list[Planned]:
    """Return the paper's points that a run trains to their end, and the defaults in the place of all proposals."""
    rows = []
    for study in settings.studies:
        network, task = study.network, settings.task_of(study)
        if task != "residual":
            points = paper_points(settings, network)
            rows += [Planned(network, dict(point.config), float(point.epochs)) for point in points]
        if settings.proposes:
            config = DEFAULTS[network] | ({} if task is None else {"task": task})
            rows.append(Planned(network, config, settings.trials * expected_epochs(settings)))
    return rows


def check_room(settings: Settings, data: tuple[Dataset, Dataset], resources: Resources) -> str:
    """Return in words how much of the disk and of the memory a run takes.

    Raises InputError where there is too little for the configurations that are planned.
    """
    usual = max(_parameters(settings, row.network, row.config) for row in planned(settings))
    disk, most = (_disk(settings, resources, parameters) for parameters in (usual, _largest(settings, usual)))
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
        f"disk: about {_size(disk)}, at most {_size(most)} (large networks), of {_size(free)} free"
    )


def estimate_time(settings: Settings, data: ObjectRef[tuple[Dataset, Dataset]], resources: Resources) -> float:
    """Measure a training step of each planned configuration where trials will run; returns hours for the search.

    Raises InputError where none of them fits the memory.
    """
    import ray

    probe = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=0)(_probe)
    seconds, reasons, rows = 0.0, [], planned(settings)
    for row in rows:
        job = settings.job(0, row.network, row.config, 1, resources, settings.folder / "probe")
        cost, windows, reason = ray.get(probe.remote(job, data))
        reasons += [f"{TITLES[row.network]}: {reason}"] if reason else []
        seconds += row.epochs * cost.seconds * windows
    if len(reasons) == len(rows):
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


def _probe(job: Job, data: tuple[Dataset, Dataset]) -> tuple[Footprint, int, str]:
    """Return, on a node, the cost of a step, the windows of the training set, and why a step does not fit."""
    device = devices.device(gpu=bool(job.gpus))
    network, task = prepare(job, device)
    windows = WindowSet(data[0], device)
    cost = footprint(network, task, windows)
    try:
        cost.micro_batch(1, memory_limit(job, device))
    except TooLargeError as error:
        return cost, len(windows), str(error)
    return cost, len(windows), ""


def _parameters(settings: Settings, network: str, config: Config) -> int:
    with torch.device("meta"):
        return count_parameters(build(network, config, 0, settings.implementation)[0])


def _largest(settings: Settings, usual: int) -> int:
    """Return the parameters of the largest network that the search may propose."""
    if not settings.proposes:
        return usual
    corners = {network: _upper_end(SPACES[network](settings.preset)) for network in settings.networks}
    return max(usual, *(_parameters(settings, network, corner) for network, corner in corners.items()))


def _upper_end(space: dict[str, BaseDistribution]) -> Config:
    """Return the configuration with the largest value of each number."""
    return {
        name: distribution.choices[0] if isinstance(distribution, CategoricalDistribution) else distribution.high  # type: ignore[attr-defined, misc]
        for name, distribution in space.items()
    }


def _disk(settings: Settings, resources: Resources, parameters: int) -> int:
    """Return the bytes of a run: checkpoints of the trainings at work, and the models that are kept."""
    kept = settings.seeds * settings.top * len(settings.studies)
    return PAGE + (resources.parallel * CHECKPOINT + kept * WEIGHTS) * parameters


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{max(count / 1e6, 0.1):.1f} MB"
