"""A run from its data to its figures, stage after stage; a stage whose result is there is not done again."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scattering.dataset import Dataset, split
from scattering.detectors import detector
from scattering.errors import InputError
from scattering.sources import from_files, simulated
from scattering.windows import vertical_gaps, windows
from search.display import console, say
from search.provenance import machine, versions
from search.records import (
    MethodScore,
    RunInfo,
    Trial,
    drop_trial,
    model_path,
    read_json,
    read_lines,
    read_table,
    write_gallery,
    write_json,
    write_table,
)
from search.settings import NETWORKS, RUNS, SEARCH_SHARE, Settings, check_budgets, from_dict

if TYPE_CHECKING:
    from ray import ObjectRef

    from search.cluster import Resources


def begin(settings: Settings, command: str) -> tuple[Settings, Dataset]:
    """Prepare the data of a new run, check them, and only then make its folder.

    Raises InputError for data that cannot be used, a name that exists, a folder that cannot be written, or without
    the library whose networks are asked for.
    """
    folder = settings.folder
    if folder.exists():
        raise InputError(
            f"a run's name must be new, got {settings.name!r}: {folder} exists; "
            f"take another --name, add --resume to go on with it, or delete the folder"
        )
    check_installed(settings)
    data = load(settings)
    check_scored(data, settings.seed)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        write_json(temporary / "run.json", _describe(settings, data, command))
        temporary.replace(folder)
    except OSError as error:
        raise InputError(f"runs are kept in {RUNS.resolve()}, which cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return settings, data


def resume(name: str, network: str, more: dict[str, Any]) -> tuple[Settings, Dataset]:
    """Read back the settings of a run and its data, which must be the same; `more` of its efforts may be asked for.

    Raises InputError when there is no such run, its data have changed, or less is asked for.
    """
    try:
        info = read_json(RUNS / name / "run.json", RunInfo)
    except FileNotFoundError:
        known = ", ".join(sorted(path.parent.name for path in RUNS.glob("*/run.json"))) or "none yet"
        raise InputError(f"--resume needs the --name of a run, got {name!r}; runs: {known}") from None
    except (ValueError, TypeError) as error:
        raise InputError(f"{RUNS / name / 'run.json'} is damaged ({error}): start a new run") from None
    # Under the name that its folder has now.
    settings = replace(from_dict(info.settings), name=name)
    if settings.network != network:
        raise InputError(f"run {name!r} is a search of {settings.network}, got {network}: resume it as that")
    check_installed(settings)
    data = load(settings)
    if data.fingerprint() != info.data.get("fingerprint"):
        raise InputError(f"the data of run {name!r} have changed since it began: start a new run")
    return extended(settings, more), data


def extended(settings: Settings, more: dict[str, Any]) -> Settings:
    """Return the settings of a run with more trials or time.

    Raises InputError for fewer trials than before, or for trials where there are none to add.
    """
    trials = more.get("trials")
    if trials is not None and not settings.proposes:
        raise InputError(
            f"--points paper tries the paper's points and no others, got --trials {trials}: leave it out"
        )
    if trials is not None and trials < settings.trials:
        raise InputError(f"a run can only be extended: it has {settings.trials} trials, got --trials {trials}")
    check_budgets(more)
    return replace(settings, **more)


def check_installed(settings: Settings) -> None:
    """Raise InputError without the library whose networks are asked for."""
    if settings.implementation == "pymsdtorch":
        from trainables import pymsdtorch

        pymsdtorch.require()


def check_scored(data: Dataset, seed: int) -> None:
    """Say which gaps have no truth.

    Raises InputError where training, validation or test frames have no scored pixel at all.
    """
    columns = data.windows.vertical
    horizontal = np.array([frame[:, ~columns].any() for frame in data.valid & ~data.observed])
    vertical = len(data.windows.gapped) > 0
    for name, part in zip(("training", "validation", "test"), split(data.groups, seed), strict=True):
        if not vertical and not horizontal[part].any():
            raise InputError(
                f"the truth must be known in some gaps, got none in the {len(part)} {name} frames: frames need "
                "counts under the gaps of --detector, from a gapless detector or a second exposure"
            )
    if not horizontal.any():
        say("horizontal gaps: no truth in these frames, so they are neither trained on nor scored")


def load(settings: Settings) -> Dataset:
    """Read or simulate the data set of a run."""
    chosen = detector(settings.detector)
    if not chosen.gap.any():
        raise InputError(f"the detector must have gaps to fill, got {chosen.name}, which has none")
    layout = windows(chosen.gap_for((settings.size, settings.size)))
    if vertical_gaps(chosen.gap).any() and not layout.vertical.any():
        raise InputError(
            f"at the working size the gaps must be wider than half a pixel, got --size {settings.size}, "
            f"where the vertical gaps of {chosen.name} vanish: take a larger one"
        )
    if settings.data:
        with console.status("preparing frames"):
            return from_files(settings.data, chosen, settings.size)
    with console.status(f"simulating {settings.frames} frames of {chosen.name} (kept for later runs)"):
        return simulated(chosen, settings.size, settings.frames, settings.seed)


def run(settings: Settings, data: Dataset, asked: dict[str, Any], extends: bool = False) -> list[MethodScore]:
    """Search, retrain, evaluate; returns the leaderboard.

    `asked` is what each trial is to get: the arguments of `search.cluster.resources`. A run that `extends` searches
    on, though it was done. Raises InputError where a trial does not fit, or another session works on the run.
    """
    train, validation, test = (data.select(part) for part in split(data.groups, settings.seed))
    folder = settings.folder
    say(
        f"{settings.name}: {len(train)} train, {len(validation)} validation, {len(test)} test frames "
        f"({data.settings['title']}), gaps of {data.settings['detector']}"
    )
    with _alone(folder):
        if extends:
            _reopen(settings)
        winners = read_table(folder / "winners.csv", Trial)
        if not winners or not all(model_path(folder, winner.network).exists() for winner in winners):
            _train(settings, (train, validation), asked)
        if not (folder / "leaderboard.csv").exists():
            _evaluate(settings, test)
    return read_table(folder / "leaderboard.csv", MethodScore)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other sessions from a run for the length of a block; the lock goes with the process that holds it."""
    with (folder / "optuna.journal").open("ab") as journal:
        try:
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"one session at a time may work on a run, got {folder.name!r}, which another one works on: "
                "wait for it, or end it"
            ) from None
        yield


def _reopen(settings: Settings) -> None:
    """Let a run go on with its search, with more trials or time."""
    info = read_json(settings.folder / "run.json", RunInfo)
    for name in ("leaderboard.csv", "winners.csv"):
        (settings.folder / name).unlink(missing_ok=True)
    write_json(settings.folder / "run.json", replace(info, name=settings.name, settings=settings.as_dict()))


def _train(settings: Settings, data: tuple[Dataset, Dataset], asked: dict[str, Any]) -> None:
    """Search and retrain on (train, validation) frames; neither ever holds a test frame."""
    from search.cluster import cluster
    from search.storage import check_shared

    folder = settings.folder
    with ExitStack() as stack:
        with console.status("starting Ray"):
            stack.enter_context(cluster())
            check_shared(folder)
            import ray

            from search import preflight
            from search.cluster import resources
            from search.tuner import search
        share = resources(**asked)
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
        _retrain(settings, shared)
    for left in (folder / "models").glob("*.pt"):
        # Of a model that was written just before a session was killed.
        left.unlink()


def _time(settings: Settings, data: ObjectRef[tuple[Dataset, Dataset]], resources: Resources) -> str:
    """Say how long a run will take."""
    from search import preflight

    if settings.gpu_hours is not None:
        if not resources.gpus:
            raise InputError(f"--gpu-hours counts GPUs, got {settings.gpu_hours:g} without any: give --minutes")
        return f"time: at most {settings.gpu_hours:g} GPU-hours"
    if settings.minutes is not None:
        return f"time: at most {settings.minutes:g} minutes"
    with console.status("measuring a training step"):
        hours = preflight.estimate_time(settings, data, resources)
    took = f"{hours:.1f} hours" if hours >= 1 else f"{max(hours * 60, 1):.0f} minutes"
    return f"time: about {took} for the search at the speed of its first configuration; --minutes would limit it"


def _drop_models(folder: Path, winners: dict[str, Trial | None]) -> None:
    """Delete the retrained models of earlier winners of a run that was extended, and their records."""
    trained = {epoch.trial for epoch in read_lines(folder / "retraining.jsonl")}
    for network, winner in winners.items():
        if winner is None or winner.trial not in trained:
            model_path(folder, network).unlink(missing_ok=True)
    for trial in trained - {winner.trial for winner in winners.values() if winner is not None}:
        drop_trial(folder / "retraining.jsonl", trial)


def _retrain(settings: Settings, data: ObjectRef[tuple[Dataset, Dataset]]) -> None:
    """Retrain the winner of each network for an equal time; one that diverges gives way to the next best."""
    from search.retrain import retrain

    folder = settings.folder
    trials = read_table(folder / "trials.csv", Trial)
    winners: dict[str, Trial | None] = {trial.network: trial for trial in read_table(folder / "winners.csv", Trial)}
    left = settings.budget((1 - SEARCH_SHARE) / max(len(winners), 1))
    for network in list(winners):
        while (winner := winners[network]) is not None and not model_path(folder, network).exists():
            if retrain(settings, winner, data, left):
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
    """Return the trials of a network that have a result, best first: finished ones, then those cut short."""
    order = ("finished", "interrupted", "stopped")
    places = [
        (order.index(trial.state), trial.val_gap_l1, trial.trial, trial)
        for trial in trials
        if trial.network == network and trial.state in order and trial.val_gap_l1 is not None
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
    with console.status(f"measuring on {len(test)} test frames"):
        result = evaluate([*methods, *CLASSICAL], test)
    write_json(folder / "evaluation.json", result.test_set)
    write_table(folder / "scores.csv", result.frames)
    write_gallery(folder / "gallery.npz", result.gallery)
    # Last: its presence says that the evaluation is complete.
    write_table(folder / "leaderboard.csv", result.leaderboard)


def _describe(settings: Settings, data: Dataset, command: str) -> RunInfo:
    """Everything needed to repeat a run."""
    parts = split(data.groups, settings.seed)
    return RunInfo(
        name=settings.name,
        command=command,
        network=settings.network,
        preset=settings.preset,
        seed=settings.seed,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=settings.as_dict(),
        data={
            **{key: data.settings[key] for key in ("title", "simulated", "detector", "size", "full_scale")},
            "frames": len(data),
            "groups": len(set(data.groups)),
            **{
                f"{name}_frames": len(part) for name, part in zip(("train", "validation", "test"), parts, strict=True)
            },
            "fingerprint": data.fingerprint(),
        },
        versions=versions(),
        machine=machine(),
    )
