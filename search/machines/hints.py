"""The hints of a run's windows, made once, on all cores, for all its trainings."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from scattering.dataset import Dataset
from search.following.display import status
from search.machines.resources import smallest_store
from search.machines.tasks import on_ray
from search.settings import Settings
from trainables import hints
from trainables.batches import Part, WindowSet

FRAMES = 8
"""Frames of a task: some seconds of work."""

SHARE = 0.8
"""Share of a node's memory for shared objects that frames and hints may take."""


def with_hints(settings: Settings, train: Dataset, validation: Dataset) -> tuple[Part, Part]:
    """Return the frames with their hints; without, where no trial wants them or the memory is short."""
    parts = [WindowSet(data, torch.device("cpu")) for data in (train, validation)]
    needed = sum(data.nbytes for data in (train, validation)) + sum(map(hints.size, parts))
    if settings.task == "blind" or not settings.proposes or needed > SHARE * smallest_store():
        return Part(train), Part(validation)
    with status("interpolating across the gaps, once for all trainings"):
        done = [Part(data, hints.join(list(on_ray(_tabulate, _pieces(data))))) for data in (train, validation)]
    return done[0], done[1]


def _pieces(data: Dataset) -> Iterator[Dataset]:
    for first in range(0, len(data), FRAMES):
        yield data.select(range(first, min(first + FRAMES, len(data))))


def _tabulate(data: Dataset) -> hints.Hints:
    return hints.tabulate(WindowSet(data, torch.device("cpu")))
