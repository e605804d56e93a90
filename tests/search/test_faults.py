"""What goes wrong in a search: every trial is accounted for, whatever dies, hangs, diverges or does not fit."""

from __future__ import annotations

import math
import os
import random
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import ray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from records.files import read_lines, read_retraining, read_table
from records.tables import MethodScore, Trial
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
from tests.search.conftest import Command, FinishedRun
from trainables.job import Job

pytestmark = pytest.mark.slow

STATES = {
    "finished": "COMPLETE",
    "stopped": "PRUNED",
    "interrupted": "PRUNED",
    "infeasible": "PRUNED",
    "failed": "FAIL",
}


def assert_optuna_agrees(folder: Path, network: str = "tunet") -> None:
    """The journal, the records of epochs and the table tell one story; nothing runs for ever."""
    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.journal")))
    study = optuna.load_study(study_name=network, storage=storage)
    epochs = read_lines(folder / "progress.jsonl")
    table = {trial.trial: trial for trial in read_table(folder / "trials.csv", Trial)}
    proposed = [trial for trial in study.trials if trial.state.name != "WAITING"]
    assert sorted(table) == [trial.number for trial in proposed]
    for trial in proposed:
        row = table[trial.number]
        assert trial.state.name == (STATES[row.state] if row.epochs or row.state == "infeasible" else "FAIL")
        assert trial.params == row.config
        values = {epoch.epoch: epoch.val_gap_l1 for epoch in epochs if epoch.trial == trial.number}
        assert trial.intermediate_values == values
        assert list(values) == list(range(1, row.epochs + 1))


@pytest.fixture
def frames(
    prepare: Callable[..., Dataset], raw_frames: Callable[..., list[RawFrame]], tiny_detector: Detector
) -> Dataset:
    return prepare(raw_frames(24, (140, 150), tiny_detector))


@pytest.fixture
def parts(frames: Dataset, ray_session: None) -> ray.ObjectRef[tuple[Dataset, Dataset]]:
    train, validation, _ = split(frames.groups, 0)
    return ray.put((frames.select(train), frames.select(validation)))


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
    run: Settings, parts: ray.ObjectRef[tuple[Dataset, Dataset]], monkeypatch: pytest.MonkeyPatch
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
    trials = {trial.trial: trial for trial in search(run, parts, one_core)}
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
    calm = {trial.trial: trial for trial in search(undisturbed, parts, one_core)}
    for number in (0, 4):  # the defaults, and one of the start: proposed alike whatever became of the others
        assert trials[number].config == calm[number].config
        assert trials[number].val_gap_l1 == calm[number].val_gap_l1


def test_batches_go_in_parts_where_memory_is_short_and_what_does_not_fit_is_infeasible(
    run: Settings, parts: ray.ObjectRef[tuple[Dataset, Dataset]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plenty = {t.trial: t for t in search(run, parts, Resources(1, 0.0, 10**9, 2))}
    assert all(trial.micro_batch == trial.config["batch_size"] for trial in plenty.values())
    needs = {number: trial.memory or 0 for number, trial in plenty.items()}
    limit = sorted(needs.values())[2]
    short = new(replace(run, name="short"))
    trials = {t.trial: t for t in search(short, parts, Resources(1, 0.0, limit, 2))}
    split = [t for t in trials.values() if t.micro_batch is not None and t.micro_batch < int(t.config["batch_size"])]
    assert split
    for trial in trials.values():
        assert trial.state in ("finished", "stopped")
        assert (trial.memory or 0) <= limit
    # The first trial has the same configuration in both, and every epoch that both have seen is the same.
    values = [
        {e.epoch: e.val_gap_l1 for e in read_lines(settings.folder / "progress.jsonl") if e.trial == 0}
        for settings in (run, short)
    ]
    assert values[1] == pytest.approx({epoch: values[0][epoch] for epoch in values[1]}, rel=1e-5)

    tiny = new(replace(run, name="tiny"))
    trials = {t.trial: t for t in search(tiny, parts, Resources(1, 0.0, 200_000, 2))}
    assert {trial.state for trial in trials.values()} == {"infeasible"}
    assert "for a single window, a trial has 0.00 GB" in trials[0].error
    assert_optuna_agrees(tiny.folder)
    tried = [tuple(v for k, v in t.config.items() if k not in ("batch_size", "learning_rate"))
             for t in trials.values() if "as trial" not in t.error]  # fmt: skip
    assert len(tried) == len(set(tried))


def test_time_ends_trials_in_the_middle_of_an_epoch(frames: Dataset, ray_session: None, run: Settings) -> None:
    """Epochs of minutes here: without an end from outside the search would take as long."""
    train, validation, _ = split(frames.groups, 0)
    one_core = Resources(1, 0.0, 10**9, 2)
    # Without any result a first epoch would be waited for.
    search(replace(run, trials=1), ray.put((frames.select(train), frames.select(validation))), one_core)
    many = frames.select(list(train) * 150)
    many = replace(many, names=[f"{number}" for number in range(len(many.names))])
    began = time.monotonic()
    trials = search(run, ray.put((many, frames.select(validation))), one_core, Budget(seconds=15.0))
    assert time.monotonic() - began < 40
    assert {trial.trial: trial.state for trial in trials} == {0: "finished", 1: "interrupted", 2: "interrupted"}
    assert all(trial.val_gap_l1 is None for trial in trials if trial.trial)
    assert_optuna_agrees(run.folder)


SMALL = ("tunet", "--size", "128", "--frames", "12", "--name", "x")
SEARCH = (*SMALL, "--trials", "5", "--epochs", "3", "--parallel", "1")

KILLS = 2
"""Each session takes ten seconds to start; the moments are drawn anew in each run of the tests."""


def outcome(folder: Path) -> list[Any]:
    """What must not depend on who was killed when: trials, epochs, rungs; not the time."""
    trials = [(t.trial, t.state, t.epochs, t.val_gap_l1, t.config) for t in read_table(folder / "trials.csv", Trial)]
    epochs = [(e.trial, e.epoch, e.train_loss, e.val_gap_l1) for e in read_lines(folder / "progress.jsonl")]
    halving = SuccessiveHalving(3)
    for trial, epoch, _, value in epochs:
        halving.record(trial, epoch, value)
    return [sorted(trials, key=lambda trial: trial[0]), epochs, halving.rungs, halving.stopped]


def test_a_search_killed_again_and_again_is_the_search_that_was_not(command: Command, tmp_path: Path) -> None:
    """Kill -9 of the driver at random moments; each resumed session goes on where the last one was."""
    calm = Command(tmp_path / "calm", command.folder / "cache")
    calm.environment["XDG_CACHE_HOME"] = command.environment["XDG_CACHE_HOME"]
    calm.folder.mkdir()
    folder = calm.folder / "runs" / "x"
    undisturbed = calm.start(*SEARCH)
    while not (folder / "winners.csv").exists():
        assert undisturbed.poll() is None, calm.log.read_text()
        time.sleep(0.1)
    undisturbed.send_signal(signal.SIGINT)
    undisturbed.wait(timeout=60)
    expected = outcome(folder)
    total = len(expected[1])

    seed = random.SystemRandom().randrange(10**6)
    moments = random.Random(seed)
    print("seed of the moments:", seed)
    disturbed = command.folder / "runs" / "x"
    progress = disturbed / "progress.jsonl"
    kills = sorted(moments.sample(range(total - 1), KILLS))
    for kill in kills:
        arguments = ("tunet", "--name", "x", "--resume", "--parallel", "1") if disturbed.exists() else SEARCH
        session = command.start(*arguments)
        end = time.monotonic() + 240
        while len(read_lines(progress)) <= kill and time.monotonic() < end:
            assert session.poll() is None, command.log.read_text()
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.7))
        session.kill()
        session.wait()
    session = command.start("tunet", "--name", "x", "--resume", "--parallel", "1")
    while not (disturbed / "winners.csv").exists():
        assert session.poll() is None, command.log.read_text()
        time.sleep(0.1)
    session.send_signal(signal.SIGINT)
    session.wait(timeout=60)
    assert outcome(disturbed) == expected
    assert_optuna_agrees(disturbed)
    assert not list(disturbed.glob("trials/*.pt"))


def test_a_finished_run_can_be_copied_and_extended(command: Command, finished: FinishedRun) -> None:
    """Also a run that was moved: each copy lies in another folder, under another name."""
    runs = command.folder / "runs"
    before = read_lines(finished.folder / "progress.jsonl")
    trained = (finished.folder / "retraining.jsonl").read_bytes()
    for name in ("moved", "copy"):
        shutil.copytree(finished.folder, runs / name)

    moved = runs / "moved"
    code, output = command.run("tunet", "--resume", "--trials", "6", "--name", "moved")
    assert code == 0, output
    trials = read_table(moved / "trials.csv", Trial)
    assert sorted(t.trial for t in trials) == list(range(6))
    assert read_lines(moved / "progress.jsonl")[: len(before)] == before
    assert_optuna_agrees(moved)
    (winner,) = read_table(moved / "winners.csv", Trial)
    assert {epoch.trial for epoch in read_retraining(moved / "retraining.jsonl")} == {winner.trial}
    assert math.isclose(winner.val_gap_l1 or 0, min(trial.val_gap_l1 or 9 for trial in trials))

    copy = runs / "copy"
    code, output = command.run("tunet", "--resume", "--top", "2", "--seeds", "2", "--name", "copy")
    assert code == 0, output
    assert "searching" not in output
    assert (copy / "retraining.jsonl").read_bytes().startswith(trained)
    rows = {row.method: row for row in read_table(copy / "leaderboard.csv", MethodScore)}
    for name in ("TUNet", "TUNet 2"):
        assert (rows[name].seeds, bool(rows[name].horizontal_l1_sd)) == (2, True)
    assert len(list((copy / "models").iterdir())) == 4
    code, output = command.run("tunet", "--resume", "--trials", "3", "--name", "moved")
    assert (code, output) == (2, "error: a run can only be extended: it has 6 trials, got --trials 3\n")


def test_two_sessions_do_not_work_on_one_run(command: Command) -> None:
    first = command.start(*SEARCH)
    progress = command.folder / "runs" / "x" / "progress.jsonl"
    while not read_lines(progress):
        assert first.poll() is None, command.log.read_text()
        time.sleep(0.1)
    other = Command(command.folder, command.folder)
    other.environment, other.log = command.environment, command.folder / "other.txt"
    code, output = other.run("tunet", "--name", "x", "--resume")
    first.send_signal(signal.SIGINT)
    first.wait(timeout=60)
    assert code == 2
    assert "one session at a time may work on a run, got 'x'" in output.splitlines()[-1]
