"""The studies of a run, each with its space and its first trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from records.tables import Config, Ladder, Trial
from search.settings import Settings
from search.tuning.sampler import STARTUP_TRIALS, First, Sampler, open_storage, open_study
from spaces import DEFAULTS, SPACES
from spaces.paper import POINTS, Point


def open_studies(settings: Settings, ladders: dict[str, Ladder]) -> dict[str, Sampler]:
    """Open the studies of a run, new or begun earlier, by name, in one journal."""
    storage = open_storage(settings.files.journal)
    progress = settings.files.progress.read()
    studies = {}
    for place, study in enumerate(settings.studies):
        network, task = study.network, settings.task_of(study)
        points = paper_points(settings, network) if task != "residual" else []
        # The paper's points lie in the spaces of large machines alone.
        space, defaults = SPACES[network]("paper" if points else settings.preset), DEFAULTS[network]
        if task is not None:
            space, defaults = fixed(space, task=task), {**defaults, "task": task}
        ladder = ladders[study.name]
        proposed = first_trials(space, defaults) if settings.proposes else ()
        studies[study.name] = open_study(
            storage,
            study.name,
            space,
            [
                *(First(point.config, point.epochs * ladder.epoch, point.model) for point in points),
                *(First(config, ladder.length) for config in proposed),
            ],
            trials=len(points) + (settings.trials if settings.proposes else 0),
            windows=ladder.length,
            seed=settings.seed,
            progress=progress,
            place=place,
            studies=len(settings.studies),
        )
    return studies


def paper_points(settings: Settings, network: str) -> list[Point]:
    """Return the paper's points that a run is to try of a network, for its own epochs unless a run has others."""
    if "paper" not in settings.points:
        return []
    points = enumerate(POINTS.get(network, ()))
    return [Point(point.config, settings.epochs or point.epochs, number) for number, point in points]


def full_length(settings: Settings, winner: Trial) -> int:
    """Return the epochs that a winner is retrained for at most: those of its point, where these are tried alone."""
    if settings.proposes:
        return settings.retrain_epochs
    assert winner.point is not None
    return paper_points(settings, winner.network)[winner.point].epochs


def first_trials(space: dict[str, BaseDistribution], defaults: Config) -> Sequence[Config]:
    """Return what a search begins with: the defaults, and the defaults with the other task.

    Blind networks need far more epochs than residual ones. One of them shows where they stand, and the random
    start-up trials beside it stay with the default task; TPE is free to return to the other.
    """
    given = {name: value for name, value in defaults.items() if name in space}
    tasks = space["task"]
    assert isinstance(tasks, CategoricalDistribution)
    others = [task for task in tasks.choices if task != given["task"]]
    same: Config = {"task": given["task"]}
    configs = [given, same, *({**given, "task": str(task)} for task in others)]
    return configs + [same] * (STARTUP_TRIALS - len(configs))


def fixed(space: dict[str, BaseDistribution], **values: Any) -> dict[str, BaseDistribution]:
    """Return the space with some parameters fixed to one value."""
    return {**space, **{name: CategoricalDistribution((value,)) for name, value in values.items()}}
