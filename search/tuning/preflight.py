"""Before a search: what it will take of the disk and the memory, and whether that is there."""

from __future__ import annotations

import shutil

from optuna.distributions import BaseDistribution, CategoricalDistribution

from records.tables import Config
from scattering.dataset import Dataset
from scattering.errors import InputError
from search.machines.resources import Resources, smallest_store
from search.settings import Settings
from search.tuning.course import planned
from search.tuning.studies import parameters
from spaces import LARGEST, SPACES

CHECKPOINT = 12
"""Bytes of a checkpoint for each parameter: itself and two moments of Adam, in float32."""

WEIGHTS = 4
"""Bytes of a model for each parameter."""

PAGE = 30_000_000
"""Bytes for tables, pictures and the page of a run, generously."""


def check_room(settings: Settings, data: tuple[Dataset, Dataset], resources: Resources) -> str:
    """Return in words how much of the disk and of the memory a run takes.

    Raises InputError where there is too little for the configurations that are planned.
    """
    usual = max(parameters(row.network, row.config, settings.implementation) for row in planned(settings))
    disk, most = (_disk(settings, resources, parameters) for parameters in (usual, _largest(settings, usual)))
    free = shutil.disk_usage(settings.folder).free
    if disk > free:
        raise InputError(
            f"{settings.folder.parent.resolve()} must have {_size(disk)} free, got {_size(free)}: make room"
        )
    shared = sum(part.nbytes for part in data)
    store = smallest_store()
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


def _largest(settings: Settings, usual: int) -> int:
    """Return the parameters of the largest network that the search may propose."""
    if not settings.proposes:
        return usual
    corners = {network: _upper_end(SPACES[network](settings.preset)) for network in settings.networks}
    most = max(parameters(network, corner, settings.implementation) for network, corner in corners.items())
    return max(usual, min(most, LARGEST))


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
