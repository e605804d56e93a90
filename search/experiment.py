"""A run from its data to its figures, stage after stage; a stage whose result is there is not done again."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inpainting import MODEL
from records.networks import TITLES
from records.tables import MethodScore, Trial, drop_trial, model_path, read_retraining, read_table, write_table
from scattering.dataset import Dataset
from scattering.errors import InputError
from scattering.split import PARTS
from search.following.display import say, status
from search.following.preview import preview
from search.session import alone, reopen
from search.settings import SEARCH_SHARE, Settings
from search.winners import choose, summary

if TYPE_CHECKING:
    from ray import ObjectRef

    from search.machines.resources import Resources


def run(
    settings: Settings, data: Dataset, asked: dict[str, Any], more: frozenset[str] = frozenset()
) -> list[MethodScore]:
    """Search, retrain, evaluate; returns the leaderboard.

    `asked` is what each trial is to get: the arguments of `search.machines.resources.resources`. A run that gets
    `more` of something goes on, though it was done. Raises InputError where a trial does not fit, or another session
    works on the run.
    """
    train, validation, test = (data.part(name) for name in PARTS)
    folder = settings.folder
    say(
        f"{settings.name}: {len(train)} train, {len(validation)} validation, {len(test)} test frames "
        f"({data.settings['title']}), gaps of {data.settings['detector']}"
    )
    with alone(folder):
        winners = read_table(folder / "winners.csv", Trial)
        trained = winners and not _untrained(settings, winners)
        if more or not trained:
            with preview(folder):
                _train(settings, (train, validation), asked, more)
        if not (folder / "leaderboard.csv").exists():
            from search.evaluation.evaluate import evaluate

            evaluate(settings, validation, test)
        # A stage of its own: a session may end between the two.
        if not (folder / MODEL).exists():
            from search.release import write_model

            write_model(settings, train)
    return read_table(folder / "leaderboard.csv", MethodScore)


def _train(settings: Settings, data: tuple[Dataset, Dataset], asked: dict[str, Any], more: frozenset[str]) -> None:
    """Search and retrain on (train, validation) frames; neither ever holds a test frame."""
    from search.machines.cluster import cluster
    from search.machines.storage import check_shared

    folder = settings.folder
    with ExitStack() as stack:
        with status("starting Ray"):
            stack.enter_context(cluster())
            check_shared(folder)
            import ray

            from search.machines.resources import resources
            from search.tuning import preflight
            from search.tuning.importance import importances
            from search.tuning.tuner import search
        share = resources(**asked)
        if settings.gpu_hours is not None and not share.gpus:
            raise InputError(f"--gpu-hours counts GPUs, got {settings.gpu_hours:g} without any: give --minutes")
        if more:
            # Not before: what cannot be leaves the run as it is. Time alone is for all of it.
            reopen(settings, search="trials" in more or not more & {"top", "seeds"})
        # One copy for all trainings, which have no use for the noise-free intensity.
        train, validation = (replace(part, clean=None) for part in data)
        if not (folder / "winners.csv").exists():
            say(preflight.check_room(settings, (train, validation), share))
        shared = ray.put((train, validation))
        if not (folder / "winners.csv").exists():
            say(_time(settings, shared, share))
            trials = search(settings, shared, share, settings.budget(SEARCH_SHARE))
            winners = choose(settings, trials, read_table(folder / "given_up.csv", Trial))
            if not winners:
                raise InputError(_nothing(trials))
            for study in settings.studies:
                say(summary(trials, study))
            write_table(folder / "importances.csv", importances(settings))
            _drop_models(settings, winners)
            write_table(folder / "winners.csv", winners)
            # Machines may have joined.
            check_shared(folder)
        _retrain(settings, shared, share)
    for left in (folder / "models").glob("*.pt"):
        # Of a model that was written just before a session was killed.
        left.unlink()


def _time(settings: Settings, data: ObjectRef[tuple[Dataset, Dataset]], resources: Resources) -> str:
    """Say how long a run will take."""
    from search.tuning import preflight

    if settings.gpu_hours is not None:
        return f"time: at most {settings.gpu_hours:g} GPU-hours"
    if settings.minutes is not None:
        return f"time: at most {settings.minutes:g} minutes"
    with status("measuring a training step"):
        hours = preflight.estimate_time(settings, data, resources)
    took = f"{hours:.1f} hours" if hours >= 1 else f"{max(hours * 60, 1):.0f} minutes"
    return f"time: about {took} for the search at the speed of its first configuration; --minutes would limit it"


def _untrained(settings: Settings, winners: list[Trial]) -> list[tuple[Trial, int]]:
    """The winners, each with each of its seeds, that have no model yet."""
    return [
        (winner, seed)
        for winner in winners
        for seed in settings.retrain_seeds
        if not model_path(settings.folder, winner, seed).exists()
    ]


def _drop_models(settings: Settings, winners: list[Trial]) -> None:
    """Delete what retraining has made of earlier winners of a run that was extended: models, checkpoints, records."""
    folder, kept = settings.folder, {winner.trial for winner in winners}
    trained = {epoch.trial for epoch in read_retraining(folder / "retraining.jsonl")}
    for trial in read_table(folder / "trials.csv", Trial):
        if trial.trial in trained - kept:
            _drop(settings, trial)


def _drop(settings: Settings, trial: Trial) -> None:
    for seed in settings.retrain_seeds:
        model = model_path(settings.folder, trial, seed)
        for left in (model, model.with_suffix(".pt")):
            left.unlink(missing_ok=True)
    drop_trial(settings.folder / "retraining.jsonl", trial.trial)


def _retrain(settings: Settings, data: ObjectRef[tuple[Dataset, Dataset]], share: Resources) -> None:
    """Retrain every winner with each seed for an equal time; a trial that diverges gives way to the next best."""
    from search.retrain import retrain

    folder = settings.folder
    trials, given_up = (read_table(folder / name, Trial) for name in ("trials.csv", "given_up.csv"))
    winners = read_table(folder / "winners.csv", Trial)
    while left := _untrained(settings, winners):
        winner, seed = left[0]
        budget = settings.budget((1 - SEARCH_SHARE) / (len(winners) * settings.seeds))
        if retrain(settings, winner, seed, data, share, budget):
            continue
        given_up.append(winner)
        write_table(folder / "given_up.csv", given_up)
        _drop(settings, winner)
        known, winners = winners, choose(settings, trials, given_up)
        after = "taking the next best" if len(winners) == len(known) else "and there is no other to take its place"
        say(f"{TITLES[winner.network]} trial {winner.trial} could not be trained at full length; {after}")
        write_table(folder / "winners.csv", winners)
    if not winners:
        raise InputError("a winner must train to its end, none could be trained at full length: start a new run")


def _nothing(trials: list[Trial]) -> str:
    """Say why no trial has a result."""
    reasons = "; ".join(sorted({trial.error for trial in trials if trial.error}))
    if reasons:
        return f"a search needs a trial that comes to a result, got none ({reasons}): start a new run"
    return "a search needs a trial that comes to a result, none was done in time: give more --minutes"
