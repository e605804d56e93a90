"""A run from its data to its figures, stage after stage; a stage whose result is there is not done again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from records.folder import Stage
from records.networks import TITLES
from records.tables import MethodScore, Trial
from scattering.dataset import Dataset
from scattering.errors import InputError
from scattering.split import PARTS
from search.following.display import say, status
from search.following.preview import preview
from search.session import alone, reopen
from search.settings import SEARCH_LIMIT, SEARCH_SHARE, UNLIMITED, Asked, Budget, Settings
from search.winners import choose, summary

if TYPE_CHECKING:
    from ray import ObjectRef

    from search.machines.resources import Resources
    from trainables.batches import Part


def run(settings: Settings, data: Dataset, asked: Asked, more: frozenset[str] = frozenset()) -> list[MethodScore]:
    """Search, retrain, evaluate; returns the leaderboard.

    `asked` is the share of the machine that each trial is to get. A run that gets
    `more` of something goes on, though it was done. Raises InputError where a trial does not fit, or another session
    works on the run.
    """
    train, validation, test = (data.part(name) for name in PARTS)
    files = settings.files
    say(
        f"{settings.name}: {len(train)} train, {len(validation)} validation, {len(test)} test frames "
        f"({data.settings['title']}), gaps of {data.settings['detector']}"
    )
    with alone(files), ExitStack() as stack:
        if more or files.stage(settings.retrain_seeds) is not Stage.DONE:
            from search.machines.cluster import cluster
            from search.machines.storage import check_shared

            with status("starting Ray"):
                stack.enter_context(cluster())
                check_shared(settings.folder)
        if more or files.stage(settings.retrain_seeds) in (Stage.SEARCHING, Stage.RETRAINING):
            with preview(settings.folder):
                _train(settings, (train, validation), asked, more)
        if files.stage(settings.retrain_seeds) is Stage.MEASURING:
            _measure(settings, validation, test, asked)
        # A stage of its own: a session may end between the two.
        if not files.model_file.exists():
            from search.release import write_model

            write_model(settings, train)
    return files.leaderboard.read()


def _train(settings: Settings, data: tuple[Dataset, Dataset], asked: Asked, more: frozenset[str]) -> None:
    """Search and retrain on (train, validation) frames; neither ever holds a test frame."""
    import ray

    from search.machines.hints import with_hints
    from search.machines.resources import places, resources
    from search.retrain import retrain
    from search.tuning import preflight
    from trainables.batches import count_windows

    files = settings.files
    share = resources(**vars(asked))
    if settings.gpu_hours is not None and not share.gpus:
        raise InputError(f"--gpu-hours counts GPUs, got {settings.gpu_hours:g} without any: give --minutes")
    if more:
        # Not before: what cannot be leaves the run as it is. Time alone is for all of it.
        reopen(settings, search="trials" in more or not more & {"top", "seeds"})
    # One copy for all trainings, which have no use for the noise-free intensity.
    train, validation = (replace(part, clean=None) for part in data)
    if not files.winners.exists():
        say(preflight.check_room(settings, (train, validation), share))
    shared = ray.put(with_hints(settings, train, validation))
    budget = settings.budget(1 - SEARCH_SHARE)
    if not files.winners.exists():
        budget = _search(settings, (count_windows(train), count_windows(validation)), shared, share)
    side_by_side = places(len(files.winners.read()) * settings.seeds, share)
    retrain_winners(
        settings,
        lambda trainings, each: retrain(settings, trainings, shared, side_by_side, each),
        budget,
        side_by_side.at_once,
    )
    for rest in (*files.models.glob("*.pt"), *files.models.glob("*.best")):
        # Of a model that was written just before a session was killed.
        rest.unlink()


def _search(
    settings: Settings,
    windows: tuple[int, int],
    data: ObjectRef[tuple[Part, Part]],
    share: Resources,
) -> Budget:
    """Search and write the winners; returns what is left for their retraining.

    `windows` are those of the (training, validation) frames.
    """
    from search.machines.storage import check_shared
    from search.tuning.importance import importances
    from search.tuning.tuner import search

    files, left = settings.files, settings.budget(1 - SEARCH_SHARE)
    say(_plan(settings, windows, data, share))
    began = time.monotonic()
    limit = replace(settings.budget(SEARCH_SHARE), seconds=settings.budget(SEARCH_LIMIT).seconds)
    trials = search(settings, data, settings.ladders(), share, limit)
    if settings.minutes is not None:
        # A search that was over early leaves its time to the retraining.
        seconds = settings.minutes * 60 - (time.monotonic() - began)
        left = replace(left, seconds=max(seconds, settings.minutes * 60 * (1 - SEARCH_LIMIT)))
    winners = choose(settings, trials, files.given_up.read())
    if not winners:
        raise InputError(_nothing(trials))
    for study in settings.studies:
        say(summary(trials, study))
    files.importances.write(importances(settings))
    _drop_models(settings, winners)
    files.winners.write(winners)
    # Machines may have joined.
    check_shared(settings.folder)
    return left


def _measure(settings: Settings, validation: Dataset, test: Dataset, asked: Asked) -> None:
    """Measure on all cores, and networks on all GPUs."""
    from search.evaluation.evaluate import Workers, evaluate
    from search.machines.resources import total_gpus
    from search.machines.tasks import on_ray

    gpus = 1.0 if total_gpus() and asked.gpus != 0 else 0.0
    evaluate(settings, validation, test, Workers(on_ray, partial(on_ray, gpus=gpus)))


def _plan(
    settings: Settings,
    windows: tuple[int, int],
    data: ObjectRef[tuple[Part, Part]],
    resources: Resources,
) -> str:
    """Fix the course of the trials, unless an earlier session did, and say how long search and retraining will take.

    `windows` are those of the (training, validation) frames.
    """
    from search.machines.resources import places
    from search.tuning import course

    files, budget = settings.files, settings.budget(SEARCH_SHARE)
    measured: list[course.Measured] = []
    if not files.ladders.exists() or budget == UNLIMITED:
        with status("measuring a training step"):
            measured = course.measure(settings, data, resources)
    if not files.ladders.exists():
        files.ladders.write(course.ladders(settings, windows, measured, resources, budget))
    found = files.ladders.read()
    if settings.gpu_hours is not None:
        limit = f"at most {settings.gpu_hours:g} GPU-hours"
    elif settings.minutes is not None:
        limit = f"at most {settings.minutes:g} minutes"
    else:
        models = len(settings.studies) * settings.top * settings.seeds
        searching = course.hours(settings, found, measured, resources, windows[1])
        retraining = course.retraining_hours(settings, found, measured, places(models, resources).at_once, windows[1])
        limit = (
            f"about {_duration(searching)} for the search and {_duration(retraining)} for retraining "
            f"{models} model{'s' * (models > 1)}, at the speed of the first configuration; --minutes would limit it"
        )
    lengths = sorted({round(one.length / one.epoch, 1) for one in found})
    epochs = " to ".join(f"{length:g}" for length in lengths[:: max(len(lengths) - 1, 1)])
    return f"time: {limit}" + (f"; trials of up to {epochs} epochs" if settings.proposes else "")


def _duration(hours: float) -> str:
    minutes = max(round(hours * 60), 1)
    return f"{hours:.1f} hours" if hours >= 1 else f"{minutes} minute{'s' * (minutes > 1)}"


def _drop_models(settings: Settings, winners: list[Trial]) -> None:
    """Delete what retraining has made of earlier winners of a run that was extended: models, checkpoints, records."""
    kept = {winner.trial for winner in winners}
    trained = {epoch.trial for epoch in settings.files.retraining.read()}
    for trial in settings.files.trials.read():
        if trial.trial in trained - kept:
            _drop(settings, trial)


def _drop(settings: Settings, trial: Trial) -> None:
    for seed in settings.retrain_seeds:
        model = settings.files.model(trial, seed)
        for left in (model, model.with_suffix(".pt"), model.with_suffix(".best")):
            left.unlink(missing_ok=True)
    settings.files.retraining.drop(trial.trial)


Retrain = Callable[[Sequence[tuple[Trial, int]], Budget], list[bool]]
"""Trains winners, each with its seed, side by side and within a budget each; tells whether they came to their end."""


def retrain_winners(settings: Settings, retrain: Retrain, budget: Budget, at_once: int = 1) -> None:
    """Retrain every winner with each seed for an equal time, several at once.

    One that diverges, or is too large, gives way to the next best.

    Raises InputError where none of them comes to its end.
    """
    files = settings.files
    trials, given_up, winners = files.trials.read(), files.given_up.read(), files.winners.read()
    while left := files.untrained(settings.retrain_seeds):
        trainings = left[:at_once]
        models = len(winners) * settings.seeds
        each = Budget(budget.share(1 / math.ceil(models / at_once)).seconds, budget.share(1 / models).gpu_seconds)
        done = retrain(trainings, each)
        lost = {winner.trial: winner for (winner, _), ends in zip(trainings, done, strict=True) if not ends}
        for winner in lost.values():
            given_up.append(winner)
            files.given_up.write(given_up)
            _drop(settings, winner)
            known, winners = winners, choose(settings, trials, given_up)
            after = (
                "taking the next best" if len(winners) == len(known) else "and there is no other to take its place"
            )
            say(f"{TITLES[winner.network]} trial {winner.trial} could not be trained at full length; {after}")
            files.winners.write(winners)
    if not winners:
        raise InputError("a winner must train to its end, none could be trained at full length: start a new run")


def _nothing(trials: list[Trial]) -> str:
    """Say why no trial has a result."""
    reasons = "; ".join(sorted({trial.error for trial in trials if trial.error}))
    if reasons:
        return f"a search needs a trial that comes to a result, got none ({reasons}): start a new run"
    return "a search needs a trial that comes to a result, none was done in time: give more --minutes"
