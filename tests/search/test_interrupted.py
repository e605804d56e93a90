"""A run that is killed, stopped, copied, extended: what it comes to does not depend on it."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from records.files import read_lines, read_retraining, read_table
from records.tables import Ladder, MethodScore, Trial
from search.inpaint import load
from search.tuning.halving import SuccessiveHalving
from tests.effort import SOAK, tries
from tests.search.conftest import SMALL, Command, FinishedRun, assert_optuna_agrees

pytestmark = pytest.mark.slow

RESUME = ("tunet", "--name", "x", "--resume")


def outcome(folder: Path) -> list[Any]:
    """What must not depend on who was killed when: trials, reports, rungs; not the time."""
    trials = [(t.trial, t.state, t.epochs, t.val_gap_l1, t.config) for t in read_table(folder / "trials.csv", Trial)]
    reports = [(e.trial, e.windows, e.train_loss, e.val_gap_l1) for e in read_lines(folder / "progress.jsonl")]
    (ladder,) = read_table(folder / "ladders.csv", Ladder)
    halving = SuccessiveHalving(ladder.length, ladder.first_rung)
    for trial, windows, _, value in reports:
        halving.record(trial, windows, value)
    return [sorted(trials, key=lambda trial: trial[0]), reports, halving.rungs, halving.stopped]


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """Press Ctrl-C: the command is gone within seconds."""
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert time.monotonic() - began < 15


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill -9 of the driver."""
    process.kill()
    process.wait()


@pytest.mark.fuzz
def test_a_run_killed_and_stopped_again_and_again_is_the_run_that_was_not(
    command: Command, finished: FinishedRun
) -> None:
    """Kill -9 of the driver and Ctrl-C at random moments of the search, of retraining and of measuring."""
    expected = outcome(finished.folder)
    seed = random.SystemRandom().randrange(10**6)
    moments = random.Random(seed)
    print("seed of the moments:", seed)
    folder = command.folder / "runs" / "x"
    places = sorted(moments.sample(range(len(expected[1]) - 1), tries(2, 8)))
    for number, place in enumerate(places):
        command.log.unlink(missing_ok=True)
        session = command.start(*(RESUME if number else SMALL))
        if number == 0:
            command.wait_until((folder / "run.json").exists, session)
            other = Command(command.folder, command.folder, command.folder / "other.txt")
            other.environment = command.environment
            code, output = other.run(*RESUME)
            assert code == 2
            assert "one session at a time may work on a run, got 'x'" in output.splitlines()[-1]
        command.wait_until(lambda: command.log.stat().st_size > 0, session)
        command.wait_until(lambda: len(read_lines(folder / "progress.jsonl")) > place, session)  # noqa: B023
        time.sleep(moments.uniform(0, 0.7))
        if number % 2:
            interrupt(session)
            assert "go on with: python -m search.run tunet --name x --resume" in command.log.read_text()
        else:
            kill(session)
    for end in (interrupt, kill):
        session = command.start(*RESUME)
        known = len(read_retraining(folder / "retraining.jsonl"))
        command.wait_until(lambda: len(read_retraining(folder / "retraining.jsonl")) > known, session)  # noqa: B023
        end(session)
    session = command.start(*RESUME)
    command.wait_until(lambda: any((folder / "models").glob("*.safetensors")), session)
    time.sleep(moments.uniform(0, 3))
    assert not (folder / "leaderboard.csv").exists(), "it was measured before it could be interrupted"
    kill(session)
    code, output = command.run(*RESUME)
    assert code == 0, output
    assert outcome(folder) == expected
    measured = figures(folder)
    (folder / "leaderboard.csv").unlink()
    assert command.run(*RESUME)[0] == 0
    assert figures(folder) == measured
    assert_optuna_agrees(folder)
    assert not [*folder.glob("trials/*.pt"), *folder.glob("models/*.pt")]
    # The learning rate of the retraining follows the clock: it is no other training, but no equal one.
    retrained = [report.windows for report in read_retraining(folder / "retraining.jsonl")]
    assert retrained == sorted(set(retrained))
    # People read of methods and a page, not of what is under it.
    assert output.rstrip().endswith("leaderboard: runs/x/report/index.html")
    assert "biharmonic" in output
    assert "Traceback" not in output
    assert "ray" not in output.replace("starting Ray", "").lower().split()


def figures(folder: Path) -> list[MethodScore]:
    """Return the leaderboard without times."""
    rows = read_table(folder / "leaderboard.csv", MethodScore)
    return [replace(row, train_seconds=None, ms_per_frame=None) for row in rows]


def test_a_finished_run_is_not_run_again_and_its_model_made_up_for(command: Command, finished: FinishedRun) -> None:
    folder = command.folder / "runs" / "x"
    # A copied run is the same run.
    shutil.copytree(finished.folder, folder)
    for missing in (False, True):
        if missing:  # as in a session that ended before it was written
            (folder / "model.safetensors").unlink()
        code, output = command.run(*RESUME, "--quiet")
        assert (code, output) == (0, "runs/x/report/index.html\n")
        for name in ("leaderboard.csv", "report/index.html"):
            assert (folder / name).read_bytes() == (finished.folder / name).read_bytes()
    made, before = (load(path, "cpu").description for path in (folder, finished.folder))
    assert replace(made, created="") == replace(before, created="")


def test_a_finished_run_can_be_copied_and_extended(command: Command, finished: FinishedRun) -> None:
    """Also a run that was moved: the copy lies in another folder, under another name."""
    folder = command.folder / "runs" / "copy"
    shutil.copytree(finished.folder, folder)
    code, output = command.run("tunet", "--resume", "--trials", "5", "--seeds", "2", "--name", "copy")
    assert code == 0, output
    trials = read_table(folder / "trials.csv", Trial)
    assert sorted(trial.trial for trial in trials) == list(range(5))
    before = read_lines(finished.folder / "progress.jsonl")
    assert read_lines(folder / "progress.jsonl")[: len(before)] == before
    assert_optuna_agrees(folder)
    (winner,) = read_table(folder / "winners.csv", Trial)
    assert winner.val_gap_l1 == min(trial.val_gap_l1 for trial in trials if trial.val_gap_l1 is not None)
    retrained = read_retraining(folder / "retraining.jsonl")
    assert {(epoch.trial, epoch.seed) for epoch in retrained} == {(winner.trial, 0), (winner.trial, 1)}
    (earlier,) = read_table(finished.folder / "winners.csv", Trial)
    if winner.trial == earlier.trial:
        trained = (finished.folder / "retraining.jsonl").read_bytes()
        assert (folder / "retraining.jsonl").read_bytes().startswith(trained)
    rows = {row.method: row for row in read_table(folder / "leaderboard.csv", MethodScore)}
    assert (rows["TUNet"].seeds, bool(rows["TUNet"].horizontal_l1_sd)) == (2, True)
    assert len(list((folder / "models").iterdir())) == 2


@pytest.mark.fuzz
@pytest.mark.skipif(not SOAK, reason="two seconds are measured: only where nothing else runs, in `make soak`")
def test_a_trial_on_a_warm_worker_costs_less_than_three_seconds(finished: FinishedRun) -> None:
    """All that is not training. It begins within 2 s; with a single place at a time nothing runs between two ends."""
    from datetime import datetime

    trials = {trial.trial: trial for trial in read_table(finished.folder / "trials.csv", Trial)}
    times = {}
    for number in trials:
        lines = (finished.folder / "trials" / f"{number:04d}.log").read_text().splitlines()
        times[number] = [datetime.strptime(lines[at][:23], "%Y-%m-%d %H:%M:%S,%f") for at in (0, -1)]
    for number in list(trials)[1:]:
        ended, began = times[number - 1][1], times[number][0]
        assert (began - ended).total_seconds() < 2
        assert (times[number][1] - ended).total_seconds() - trials[number].seconds < 3
