"""The course of a search: how long its trials are, where they are compared, and how long all of it takes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from records.networks import TITLES
from records.tables import REDUCTION, Config, Ladder
from scattering.errors import InputError
from search.machines.resources import Resources
from search.settings import Budget, Settings, Study
from search.tuning.halving import SuccessiveHalving
from search.tuning.sampler import draw
from search.tuning.studies import defaults_of, paper_points, space_of
from trainables import devices
from trainables.batches import Part
from trainables.job import Job
from trainables.memory import TooLargeError, footprint
from trainables.models import build
from trainables.pace import Pace, pace
from trainables.tasks import apply
from trainables.trial import memory_limit, prepare, window_sets

if TYPE_CHECKING:
    from ray import ObjectRef

PLANNED = 0.8
"""Share of the time of a search that its trials are planned to take: some are larger than the mean."""

FEWEST = 16
"""Windows to the first rung, at least: after fewer, trials have learnt nothing that could be compared."""

SOONEST = 2
"""Epochs to the first rung that are enough, where trials are long. Among good configurations the error after one
epoch says little of the last (rank correlation 0.1, after two 0.3; benchmarks/results/search_efficiency.md)."""

DRAWS = 200
"""Simulated searches."""

CONFIGS = 16
"""Configurations drawn from a space."""

UNKNOWN = 1.0
"""Seconds of a window, a guess, where not even one window fits the memory."""


class Planned(NamedTuple):
    """A configuration that a search is expected to train."""

    study: str
    network: str
    config: Config
    epochs: float
    """Of all trainings that are as large as this one together; of proposals, as if none were stopped early."""
    proposed: bool
    """The defaults, in the place of proposals; else a point of the paper."""


class Measured(NamedTuple):
    """The pace of a planned configuration where trials will run, as many at once as there will be."""

    planned: Planned
    pace: Pace
    too_large: str
    """Why it does not fit the memory; empty where it does."""

    def seconds(self, course: Ladder, validation: int) -> float:
        """Return the seconds of a training window, with its share of validating so many windows at each report."""
        return self.pace.training + self.pace.validation * validation / course.interval


def planned(settings: Settings) -> list[Planned]:
    """Return the paper's points that a run trains to their end, and the defaults in the place of all proposals."""
    rows = []
    for study in settings.studies:
        network, task = study.network, settings.task_of(study)
        if task != "residual":
            points = paper_points(settings, network)
            rows += [Planned(study.name, network, dict(point.config), float(point.epochs), False) for point in points]
        if settings.proposes:
            config = defaults_of(settings, study)
            rows.append(Planned(study.name, network, config, settings.trials * float(settings.epochs or 0), True))
    return rows


def measure(settings: Settings, data: ObjectRef[tuple[Part, Part]], resources: Resources) -> list[Measured]:
    """Measure the pace of each planned configuration where trials will run.

    Raises InputError where none of them fits the memory.
    """
    import ray

    probe = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=0)(_probe)
    rows = []
    for row in planned(settings):
        job = settings.job(0, row.network, row.config, (1, 1), resources, settings.folder / "probe")
        # As many at once as trials will be: they share the memory's bandwidth, and cores that are two threads of one.
        found: list[tuple[Pace, str]] = ray.get([probe.remote(job, data) for _ in range(resources.parallel)])
        rows.append(Measured(row, *max(found)))
    reasons = [f"{TITLES[row.planned.network]}: {row.too_large}" for row in rows if row.too_large]
    if len(reasons) == len(rows):
        raise InputError(
            f"a trial must fit the memory, got {'; '.join(reasons)}: take a smaller --size or fewer --parallel"
        )
    return rows


def ladders(
    settings: Settings, windows: tuple[int, int], rows: Sequence[Measured], resources: Resources, budget: Budget
) -> list[Ladder]:
    """Return the ladder of each study, for so many (training, validation) windows.

    Trials are as long as the settings say or, where the time is limited, as long as all of them can be in it: on a
    slow machine they are shorter, not fewer.
    """
    found = []
    epoch, validation = windows
    for study in settings.studies:
        if not settings.proposes:
            found.append(Ladder(study.name, study.network, epoch, epoch, epoch, 0))
            continue
        assert settings.epochs is not None
        length = settings.epochs * epoch
        seconds = _device_seconds(budget, resources)
        if seconds is not None:
            default = next(row for row in rows if row.planned.study == study.name and row.planned.proposed)
            cost = default.pace.training * relative_cost(settings, study, default.planned.config)
            one = PLANNED * seconds / len(settings.studies) / settings.trials
            length = min(length, _affordable(one, cost, default.pace.validation * validation, settings.trials))
        found.append(ladder(study, epoch, length))
    return found


def ladder(study: Study, epoch: int, length: int) -> Ladder:
    """Return the ladder of trials of about so many windows, with two rungs at least where they are long enough."""
    named = study.name, study.network
    parts = REDUCTION**2
    while length > parts * REDUCTION * SOONEST * epoch:
        parts *= REDUCTION
    while parts > 1 and length < parts * FEWEST:
        parts //= REDUCTION
    if parts == 1:
        return Ladder(*named, epoch, max(length, 1), max(min(epoch, length), 1), 0)
    first = length // parts
    return Ladder(*named, epoch, first * parts, min(first, epoch), first)


def _affordable(seconds: float, window: float, validation: float, trials: int) -> int:
    """Return how long trials can be, in windows, that get so many seconds each on average.

    `window` and `validation` are the seconds of a training window and of a validation.
    """
    parts = REDUCTION**2
    share = expected_share(Ladder("", "", 1, parts * FEWEST, FEWEST, FEWEST), trials)
    return int(max(seconds / share - parts * validation, 0) / window)


def expected_share(course: Ladder, trials: int) -> float:
    """Return the share of its length that a trial is trained on average, where chance decides at each rung."""
    if not course.first_rung:
        return 1.0
    draws = random.Random(0)
    trained = 0
    for _ in range(DRAWS):
        halving = SuccessiveHalving(course.length, course.first_rung)
        for trial in range(trials):
            for windows in (*course.rungs, course.length):
                if halving.record(trial, windows, draws.random()):
                    break
            trained += windows
    return trained / (DRAWS * trials * course.length)


def hours(
    settings: Settings, found: Sequence[Ladder], rows: Sequence[Measured], resources: Resources, validation: int
) -> float:
    """Return the hours that a search takes at the pace of its planned configurations.

    `validation` is the number of validation windows.
    """
    seconds = 0.0
    courses = {course.study: course for course in found}
    for row in rows:
        course = courses[row.planned.study]
        windows = row.planned.epochs * course.epoch
        if row.planned.proposed:
            windows *= expected_share(course, settings.trials)
        seconds += windows * row.seconds(course, validation)
    return seconds / resources.parallel / 3600


def retraining_hours(
    settings: Settings, found: Sequence[Ladder], rows: Sequence[Measured], at_once: int, validation: int
) -> float:
    """Return the hours that all winners take at full length, so many at once, if they are as large as the defaults.

    `validation` is the number of validation windows. Of the paper's points alone, winners are as the mean of them.
    """
    seconds = 0.0
    for course in found:
        own = [row for row in rows if row.planned.study == course.study]
        like = [row for row in own if row.planned.proposed] or own
        for row in like:
            epochs = settings.retrain_epochs if row.planned.proposed else row.planned.epochs
            seconds += epochs * course.epoch * row.seconds(course, validation) / len(like)
    return seconds * settings.top * settings.seeds / at_once / 3600


def relative_cost(settings: Settings, study: Study, default: Config) -> float:
    """Return the mean operations of what a search may propose, in those of the default configuration."""
    space = space_of(settings, study, settings.preset)
    costs = [_operations(settings, study.network, default | config) for config in draw(space, CONFIGS)]
    return sum(costs) / len(costs) / _operations(settings, study.network, default)


def _operations(settings: Settings, network: str, config: Config) -> int:
    """Return the multiplications of a network on one square of 64 pixels."""
    model, task = build(network, config, 0, settings.implementation)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        apply(model, torch.zeros(1, task.in_channels, 64, 64), torch.ones(1, 1, 64, 64, dtype=torch.bool))
    return int(counter.get_total_flops())


def _device_seconds(budget: Budget, resources: Resources) -> float | None:
    """Return the seconds that all trials have together; None: no limit."""
    limits = []
    if budget.seconds is not None:
        limits.append(budget.seconds * resources.parallel)
    if budget.gpu_seconds is not None:
        limits.append(budget.gpu_seconds / resources.gpus)
    return min(limits, default=None)


def _probe(job: Job, data: tuple[Part, Part]) -> tuple[Pace, str]:
    """Return, on a node, the pace of a configuration, and why it does not fit the memory."""
    device = devices.device(gpu=bool(job.gpus))
    network, task = prepare(job, device)
    train, few = window_sets(job, task, (data[0], data[1].first()), device)
    batch_size, seconds = int(job.config["batch_size"]), UNKNOWN
    try:
        needs = footprint(network, task, train)
        seconds = needs.seconds
        micro_batch = needs.micro_batch(batch_size, memory_limit(job, device))
    except TooLargeError as error:
        return Pace(seconds, seconds), str(error)
    return pace(network, task, train, few, batch_size, micro_batch), ""
