"""The hints of a run's windows, made once, on all cores, for all its trainings."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from scattering.dataset import Dataset
from scattering.errors import InputError
from search.following.display import status
from search.machines.resources import smallest_store
from search.machines.tasks import on_ray
from search.settings import Settings
from trainables import hints, rings
from trainables.batches import Part, WindowSet
from trainables.hints import RingTable

FRAMES = 2
"""Frames of a task: few, so that all cores have work to the end."""

SHARE = 0.8
"""Share of a node's memory for shared objects that frames and hints may take."""


def with_hints(settings: Settings, train: Dataset, validation: Dataset) -> tuple[Part, Part]:
    """Return the frames with their hints, and what rings say; without, where no trial wants them.

    Hints are left out, too, where the memory is short: trials make them step by step.

    Raises InputError where it is too short for what rings say.
    """
    both = train, validation
    if settings.task == "blind" or not settings.proposes:
        return Part(train), Part(validation)
    left = SHARE * smallest_store() - sum(data.nbytes for data in both)
    tabled: list[RingTable | None] = [None, None]
    if settings.geometry != "no":
        needed = sum(map(rings.size, both))
        if needed > left:
            raise InputError(
                f"what rings say of {sum(map(len, both))} frames takes {needed / 1e9:.1f} GB of shared memory, got "
                f"{max(left, 0) / 1e9:.1f} GB: take fewer frames, a smaller --size, or --geometry no"
            )
        with status("following the rings across the gaps, once for all trainings"):
            tabled = [hints.join(list(on_ray(rings.tabulate, _pieces(data)))) for data in both]
        left -= needed
    if sum(hints.size(WindowSet(data, torch.device("cpu"))) for data in both) > left:
        return Part(train, None, tabled[0]), Part(validation, None, tabled[1])
    with status("interpolating across the gaps, once for all trainings"):
        made = [hints.join(list(on_ray(_tabulate, _pieces(data)))) for data in both]
    return Part(train, made[0], tabled[0]), Part(validation, made[1], tabled[1])


def _pieces(data: Dataset) -> Iterator[Dataset]:
    for first in range(0, len(data), FRAMES):
        yield data.select(range(first, min(first + FRAMES, len(data))))


def _tabulate(data: Dataset) -> hints.Hints:
    return hints.tabulate(WindowSet(data, torch.device("cpu")))
