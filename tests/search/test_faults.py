"""What goes wrong in a search: every trial is accounted for, whatever dies, hangs, diverges or does not fit."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from records.files import read_lines
from scattering.dataset import Dataset, RawFrame
from scattering.detectors import Detector
from scattering.split import split
from search.machines.resources import Resources
from search.settings import Budget, Settings, resolve
from search.tuning import proposals
from search.tuning.halving import SuccessiveHalving
from search.tuning.ledger import Ledger
from search.tuning.sampler import Proposal
from search.tuning.tuner import search
from tests.courses import of_epochs
from tests.search.conftest import assert_optuna_agrees
from trainables.batches import Part, count_windows
from trainables.job import Job

pytestmark = pytest.mark.slow


@pytest.fixture
def frames(
    prepare: Callable[..., Dataset], raw_frames: Callable[..., list[RawFrame]], tiny_detector: Detector
) -> Dataset:
    return prepare(raw_frames(24, (140, 150), tiny_detector))


@pytest.fixture
def sides(frames: Dataset) -> tuple[Dataset, Dataset]:
    """Frames to train and to validate on."""
    train, validation, _ = split(frames.groups, 0)
    return frames.select(train), frames.select(validation)


@pytest.fixture
def parts(sides: tuple[Dataset, Dataset], ray_session: None) -> ray.ObjectRef[tuple[Part, Part]]:
    return ray.put((Part(sides[0]), Part(sides[1])))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.chdir(tmp_path)
    made = resolve("tunet", "x", "quick", {"detector": "tiny", "trials": 6, "epochs": 3, "task": "residual"})
    yield new(made)


def new(settings: Settings) -> Settings:
    """Make the folder of a run, which every machine must see."""
    settings.folder.mkdir(parents=True)
    (settings.folder / "run.json").touch()
    return settings


def process(log: Path, number: int, seconds: float = 120) -> int:
    """The id of the `number`-th process that took up a trial, as its log says."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = re.findall(r"process (\d+)", log.read_text()) if log.exists() else []
        if len(found) > number:
            return int(found[number])
        time.sleep(0.01)
    raise AssertionError(f"{log} names no process after {seconds} s")


def test_what_goes_wrong_in_a_trial_stays_there(
    run: Settings,
    sides: tuple[Dataset, Dataset],
    parts: ray.ObjectRef[tuple[Part, Part]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One diverges, one raises, one hangs twice, the process of one is killed; the others are as they would be."""
    one_core = Resources(cpus=1, gpus=0.0, memory=10**9, parallel=2)
    monkeypatch.setattr(proposals, "PATIENCE", 12.0)
    monkeypatch.setattr(SuccessiveHalving, "record", lambda *_: False)  # all to their end: comparable
    honest = Ledger.job

    def job(self: Ledger, proposal: Proposal, patience: float) -> Job:
        made = honest(self, proposal, patience)
        if proposal.trial == 1:
            return replace(made, config={**made.config, "learning_rate": 1e30})
        return replace(made, implementation="no such") if proposal.trial == 2 else made

    def signalled(trial: int, number: signal.Signals, times: int) -> None:
        for attempt in range(times):
            os.kill(process(run.folder / "trials" / f"{trial:04d}.log", attempt), number)

    monkeypatch.setattr(Ledger, "job", job)
    hands = [
        threading.Thread(target=signalled, args=(3, signal.SIGSTOP, 2)),
        threading.Thread(target=signalled, args=(4, signal.SIGKILL, 1)),
    ]
    for hand in hands:
        hand.start()
    trials = {trial.trial: trial for trial in search(run, parts, of_epochs(run, sides[0]), one_core)}
    for hand in hands:
        hand.join(timeout=10)
        assert not hand.is_alive()
    assert {number: trial.state for number, trial in trials.items()} == {
        0: "finished", 1: "failed", 2: "failed", 3: "failed", 4: "finished", 5: "finished",
    }  # fmt: skip
    assert "not finite" in trials[1].error
    assert "KeyError" in trials[2].error
    assert "reported nothing for" in trials[3].error
    assert_optuna_agrees(run.folder)
    assert not list(run.folder.glob("trials/*.pt"))

    # The same trials without any of it.
    undisturbed = new(replace(run, name="y"))
    monkeypatch.setattr(Ledger, "job", honest)
    calm = {trial.trial: trial for trial in search(undisturbed, parts, of_epochs(undisturbed, sides[0]), one_core)}
    for number in (0, 4):  # the defaults, and one of the start: proposed alike whatever became of the others
        assert trials[number].config == calm[number].config
        assert trials[number].val_gap_l1 == calm[number].val_gap_l1


def test_batches_go_in_parts_where_memory_is_short_and_what_does_not_fit_is_infeasible(
    run: Settings,
    sides: tuple[Dataset, Dataset],
    parts: ray.ObjectRef[tuple[Part, Part]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = replace(run, trials=4)
    plenty = {t.trial: t for t in search(run, parts, of_epochs(run, sides[0]), Resources(1, 0.0, 10**9, 2))}
    assert all(trial.micro_batch == trial.config["batch_size"] for trial in plenty.values())
    needs = {number: trial.memory or 0 for number, trial in plenty.items()}
    limit = sorted(needs.values())[2]
    short = new(replace(run, name="short"))
    trials = {t.trial: t for t in search(short, parts, of_epochs(short, sides[0]), Resources(1, 0.0, limit, 2))}
    split = [t for t in trials.values() if t.micro_batch is not None and t.micro_batch < int(t.config["batch_size"])]
    assert split
    for trial in trials.values():
        assert trial.state in ("finished", "stopped")
        assert (trial.memory or 0) <= limit
    # The first trial has the same configuration in both, and every report of both is the same; half
    # precision, on CPUs that have it, rounds the parts of a batch differently.
    values = [
        {e.windows: e.val_gap_l1 for e in read_lines(settings.folder / "progress.jsonl") if e.trial == 0}
        for settings in (run, short)
    ]
    assert values[1] == pytest.approx({windows: values[0][windows] for windows in values[1]}, rel=5e-3)

    tiny = new(replace(run, name="tiny"))
    trials = {t.trial: t for t in search(tiny, parts, of_epochs(tiny, sides[0]), Resources(1, 0.0, 200_000, 2))}
    assert {trial.state for trial in trials.values()} == {"infeasible"}
    assert "for a single window, a trial has 0.00 GB" in trials[0].error
    assert_optuna_agrees(tiny.folder)
    tried = [tuple(v for k, v in t.config.items() if k not in ("batch_size", "learning_rate"))
             for t in trials.values() if "as trial" not in t.error]  # fmt: skip
    assert len(tried) == len(set(tried))


def test_time_ends_trials_between_two_reports(
    sides: tuple[Dataset, Dataset], parts: ray.ObjectRef[tuple[Part, Part]], run: Settings
) -> None:
    """Reports of minutes here: without an end from outside the search would take as long."""
    train, validation = sides
    one_core = Resources(1, 0.0, 10**9, 2)
    many = train.select(list(range(len(train))) * 150)
    many = replace(many, names=[f"{number}" for number in range(len(many.names))])
    seldom = of_epochs(run, many)
    # Without any result a first report would be waited for.
    often = {name: replace(ladder, interval=count_windows(train)) for name, ladder in seldom.items()}
    search(replace(run, trials=1), parts, often, one_core, Budget(seconds=15.0))
    assert read_lines(run.folder / "progress.jsonl")
    began = time.monotonic()
    shared = ray.put((Part(many), Part(validation)))
    trials = search(run, shared, seldom, one_core, Budget(seconds=15.0))
    assert time.monotonic() - began < 40
    # On a busy machine the last one does not begin in time.
    states = {trial.trial: trial.state for trial in trials}
    assert states == dict.fromkeys(range(max(len(states), 2)), "interrupted")
    assert all(trial.val_gap_l1 is None for trial in trials if trial.trial)
