"""The studies of a run, each with its space and its first trials."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution

from records.tables import Config, Ladder, Trial
from search.settings import Settings, Study
from search.tuning.sampler import STARTUP_TRIALS, First, Refusal, Sampler, open_storage, open_study
from spaces import DEFAULTS, LARGEST, SPACES
from spaces.paper import POINTS, Point
from trainables.models import build, count_parameters


def open_studies(settings: Settings, ladders: dict[str, Ladder]) -> dict[str, Sampler]:
    """Open the studies of a run, new or begun earlier, by name, in one journal."""
    storage = open_storage(settings.files.journal)
    progress = settings.files.progress.read()
    studies = {}
    for place, study in enumerate(settings.studies):
        points = paper_points(settings, study.network) if settings.task_of(study) != "residual" else []
        # The paper's points lie in the spaces of large machines alone.
        space = space_of(settings, study, "paper" if points else settings.preset)
        defaults = defaults_of(settings, study)
        blind: Config = {"geometry": "no"} if "geometry" in space else {}
        ladder = ladders[study.name]
        proposed = first_trials(space, defaults) if settings.proposes else ()
        studies[study.name] = open_study(
            storage,
            study.name,
            space,
            [
                *(First({**point.config, **blind}, point.epochs * ladder.epoch, point.model) for point in points),
                *(First(config, ladder.length) for config in proposed),
            ],
            trials=len(points) + (settings.trials if settings.proposes else 0),
            windows=ladder.length,
            seed=settings.seed,
            progress=progress,
            place=place,
            studies=len(settings.studies),
            refuses=partial(refusal, study.network),
        )
    return studies


def refusal(network: str, config: Config) -> Refusal | None:
    """Tell of a configuration that its network is larger than any that may be proposed."""
    # Of our code; the library's networks are about as large, and it may not be installed here.
    count = parameters(network, config)
    if count <= LARGEST:
        return None
    reason = f"{count / 1e6:.0f} million parameters, at most {LARGEST / 1e6:.0f} million are tried"
    return Refusal(STATE * (LARGEST - count), reason)


STATE = 16
"""Bytes of a training for each parameter: itself, its gradient and two moments of Adam, in float32."""


def parameters(network: str, config: Config, implementation: str = "gapsearch") -> int:
    """Return the number of learnable parameters of a configuration."""
    with torch.device("meta"):
        return count_parameters(build(network, config, 0, implementation)[0])


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


def space_of(settings: Settings, study: Study, preset: str) -> dict[str, BaseDistribution]:
    """Return the space of a study."""
    space, chosen = SPACES[study.network](preset), _chosen(settings, study)
    known = {name: of for name, of in space.items() if name != "geometry" or chosen.get(name) != "no"}
    return known | {name: CategoricalDistribution((chosen[name],)) for name in chosen if name in known}


def defaults_of(settings: Settings, study: Study) -> Config:
    """Return the configuration that a study begins with."""
    defaults = DEFAULTS[study.network] | _chosen(settings, study)
    return {name: value for name, value in defaults.items() if (name, value) != ("geometry", "no")}


def _chosen(settings: Settings, study: Study) -> dict[str, str]:
    """Return what a study does not search because it is given; without rings a configuration says nothing of them."""
    task = settings.task_of(study)
    geometry = "no" if task == "blind" or not settings.proposes else settings.geometry
    return {name: value for name, value in (("task", task), ("geometry", geometry)) if value is not None}


def first_trials(space: dict[str, BaseDistribution], defaults: Config) -> Sequence[Config]:
    """Return what a search begins with: the defaults, and the defaults with the other task, or without geometry.

    Blind networks need far more epochs than residual ones, and rings nearly always help. One trial of each shows
    where they stand; random start-up trials beside them stay with the defaults, and TPE is free to return to it.
    """
    given = {name: value for name, value in defaults.items() if name in space}
    kinds = {name: value for name, value in given.items() if name in ("task", "geometry")}
    # With either of them other, rings are of no use; where they are asked for they are all that there is.
    blind: Config = {"geometry": _choices(space["geometry"])[-1]} if "geometry" in kinds else {}
    without = [
        {**given, **blind, name: other}
        for name, value in kinds.items()
        for other in _choices(space[name])
        if other != value
    ]
    configs = [given, kinds, *without]
    return configs + [kinds] * (STARTUP_TRIALS - len(configs))


def _choices(distribution: BaseDistribution) -> tuple[str, ...]:
    assert isinstance(distribution, CategoricalDistribution)
    return tuple(str(choice) for choice in distribution.choices)
