"""A run from its data to its figures, stage after stage; a stage whose result is there is not done again."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scattering.dataset import Dataset, split
from scattering.errors import InputError
from search.display import say, status
from search.preview import preview
from search.records import (
    MethodScore,
    Trial,
    drop_trial,
    model_path,
    read_lines,
    read_table,
    write_gallery,
    write_json,
    write_table,
)
from search.session import alone, reopen
from search.settings import NETWORKS, SEARCH_SHARE, Settings

if TYPE_CHECKING:
    from ray import ObjectRef

    from search.resources import Resources


def run(settings: Settings, data: Dataset, asked: dict[str, Any], extends: bool = False) -> list[MethodScore]:
    """Search, retrain, evaluate; returns the leaderboard.

    `asked` is what each trial is to get: the arguments of `search.resources.resources`. A run that `extends` searches
    on, though it was done. Raises InputError where a trial does not fit, or another session works on the run.
    """
    train, validation, test = (data.select(part) for part in split(data.groups, settings.seed))
    folder = settings.folder
    say(
        f"{settings.name}: {len(train)} train, {len(validation)} validation, {len(test)} test frames "
        f"({data.settings['title']}), gaps of {data.settings['detector']}"
    )
    with alone(folder):
        winners = read_table(folder / "winners.csv", Trial)
        trained = winners and all(model_path(folder, winner.network).exists() for winner in winners)
        if extends or not trained:
            with preview(folder):
                _train(settings, (train, validation), asked, extends)
        if not (folder / "leaderboard.csv").exists():
            _evaluate(settings, test)
    return read_table(folder / "leaderboard.csv", MethodScore)


def _train(settings: Settings, data: tuple[Dataset, Dataset], asked: dict[str, Any], extends: bool) -> None:
    """Search and retrain on (train, validation) frames; neither ever holds a test frame."""
    from search.cluster import cluster
    from search.storage import check_shared

    folder = settings.folder
    with ExitStack() as stack:
        with status("starting Ray"):
            stack.enter_context(cluster())
            check_shared(folder)
            import ray

            from search import preflight
            from search.resources import resources
            from search.tuner import search
        share = resources(**asked)
        if settings.gpu_hours is not None and not share.gpus:
            raise InputError(f"--gpu-hours counts GPUs, got {settings.gpu_hours:g} without any: give --minutes")
        if extends:
            # Not before: what cannot be leaves the run as it is.
            reopen(settings)
        # One copy for all trainings, which have no use for the noise-free intensity.
        train, validation = (replace(part, clean=None) for part in data)
        if not (folder / "winners.csv").exists():
            say(preflight.check_room(settings, (train, validation), share))
        shared = ray.put((train, validation))
        if not (folder / "winners.csv").exists():
            say(_time(settings, shared, share))
            trials = search(settings, shared, share, settings.budget(SEARCH_SHARE))
            winners = {network: best(trials, network) for network in settings.networks}
            if not any(winners.values()):
                raise InputError(_nothing(trials))
            for network, winner in winners.items():
                say(_summary(trials, network, winner))
            _drop_models(folder, winners)
            _write_winners(folder, winners)
            # Machines may have joined.
            check_shared(folder)
        _retrain(settings, shared, share)
    for left in (folder / "models").glob("*.pt"):
        # Of a model that was written just before a session was killed.
        left.unlink()


def _time(settings: Settings, data: ObjectRef[tuple[Dataset, Dataset]], resources: Resources) -> str:
    """Say how long a run will take."""
    from search import preflight

    if settings.gpu_hours is not None:
        return f"time: at most {settings.gpu_hours:g} GPU-hours"
    if settings.minutes is not None:
        return f"time: at most {settings.minutes:g} minutes"
    with status("measuring a training step"):
        hours = preflight.estimate_time(settings, data, resources)
    took = f"{hours:.1f} hours" if hours >= 1 else f"{max(hours * 60, 1):.0f} minutes"
    return f"time: about {took} for the search at the speed of its first configuration; --minutes would limit it"


def _drop_models(folder: Path, winners: dict[str, Trial | None]) -> None:
    """Delete what retraining has made of earlier winners of a run that was extended: models, checkpoints, records."""
    trained = {epoch.trial for epoch in read_lines(folder / "retraining.jsonl")}
    for network, winner in winners.items():
        if winner is None or winner.trial not in trained:
            model = model_path(folder, network)
            for left in (model, model.with_suffix(".pt")):
                left.unlink(missing_ok=True)
    for trial in trained - {winner.trial for winner in winners.values() if winner is not None}:
        drop_trial(folder / "retraining.jsonl", trial)


def _retrain(settings: Settings, data: ObjectRef[tuple[Dataset, Dataset]], share: Resources) -> None:
    """Retrain the winner of each network for an equal time; one that diverges gives way to the next best."""
    from search.retrain import retrain

    folder = settings.folder
    trials = read_table(folder / "trials.csv", Trial)
    winners: dict[str, Trial | None] = {trial.network: trial for trial in read_table(folder / "winners.csv", Trial)}
    left = settings.budget((1 - SEARCH_SHARE) / max(len(winners), 1))
    for network in list(winners):
        while (winner := winners[network]) is not None and not model_path(folder, network).exists():
            if retrain(settings, winner, data, share, left):
                break
            drop_trial(folder / "retraining.jsonl", winner.trial)
            ranks = ranked(trials, network)
            after = ranks[ranks.index(winner) + 1 :]
            winners[network] = after[0] if after else None
            what = "taking the next best" if after else f"no other {NETWORKS[network]} has a result"
            say(f"trial {winner.trial} could not be trained at full length; {what}")
            _write_winners(folder, winners)
    if not any(winners.values()):
        raise InputError("a winner must train to its end, none could be trained at full length: start a new run")


def _write_winners(folder: Path, winners: dict[str, Trial | None]) -> None:
    write_table(folder / "winners.csv", [winner for winner in winners.values() if winner is not None])


def best(trials: list[Trial], network: str) -> Trial | None:
    """Return the winner of a network; None without a result."""
    return next(iter(ranked(trials, network)), None)


def ranked(trials: list[Trial], network: str) -> list[Trial]:
    """Return the trials of a network that have a result, best first.

    Finished or cut short: what is better after fewer epochs is better. Were finished ones first, a search on many
    workers that is ended soon would take the first to finish, which is the cheapest (benchmarks/LOG.md).
    """
    places = [
        (trial.val_gap_l1, trial.trial, trial)
        for trial in trials
        if trial.network == network
        and trial.state in ("finished", "interrupted", "stopped")
        and trial.val_gap_l1 is not None
    ]
    return [trial for *_, trial in sorted(places)]


def _nothing(trials: list[Trial]) -> str:
    """Say why no trial has a result."""
    reasons = "; ".join(sorted({trial.error for trial in trials if trial.error}))
    if reasons:
        return f"a search needs a trial that comes to a result, got none ({reasons}): start a new run"
    return "a search needs a trial that comes to a result, none was done in time: give more --minutes"


def _summary(trials: list[Trial], network: str, winner: Trial | None) -> str:
    count = sum(trial.network == network for trial in trials)
    if winner is None:
        return f"{NETWORKS[network]}: none of {count} trials has a result"
    config = ", ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
                       for key, value in winner.config.items())  # fmt: skip
    score = f"{winner.val_gap_l1 * 1e3:.2f}e-3" if winner.val_gap_l1 is not None else "none"
    return f"{NETWORKS[network]}: best of {count} is trial {winner.trial}, validation gap L1 {score} ({config})"


def _evaluate(settings: Settings, test: Dataset) -> None:
    from search.evaluate import CLASSICAL, evaluate, network_method
    from trainables.models import load

    folder = settings.folder
    epochs = read_lines(folder / "retraining.jsonl")
    methods = []
    for winner in read_table(folder / "winners.csv", Trial):
        network, task = load(model_path(folder, winner.network))
        seconds = max((epoch.seconds for epoch in epochs if epoch.trial == winner.trial), default=0.0)
        methods.append(network_method(NETWORKS[winner.network], network, task, test, seconds))
    with status(f"measuring on {len(test)} test frames"):
        result = evaluate([*methods, *CLASSICAL], test)
    write_json(folder / "evaluation.json", result.test_set)
    write_table(folder / "scores.csv", result.frames)
    write_gallery(folder / "gallery.npz", result.gallery)
    # Last: its presence says that the evaluation is complete.
    write_table(folder / "leaderboard.csv", result.leaderboard)
