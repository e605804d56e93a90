"""The whole command on small data: to the leaderboard, through Ctrl-C, on real frames."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from records.files import read_json, read_lines, read_retraining, read_table
from records.networks import TITLES
from records.tables import Evaluation, Interim, MethodScore, RunInfo, Trial
from scattering.detectors import detector
from scattering.simulation.recording import record
from search.inpaint import load
from tests.search.conftest import SHARED_FRAMES, SMALL, Command, FinishedRun

pytestmark = pytest.mark.slow

CLASSICAL = {"linear", "biharmonic", "pyFAI, default bins", "pyFAI, tuned bins", "Friedel symmetry"}


def wait_for_lines(path: Path, lines: int, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    """Wait until a records file has so many lines."""
    end = time.monotonic() + seconds
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        assert process.poll() is None, "the command ended before it was interrupted"
        assert time.monotonic() < end, f"no {lines} lines in {path} after {seconds} s"
        time.sleep(0.05)


def interrupt(process: subprocess.Popen[bytes]) -> float:
    """Press Ctrl-C and return the seconds until the command is gone."""
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    return time.monotonic() - began


def without_time(epochs: list[Interim]) -> dict[tuple[int, int], tuple[float, ...]]:
    return {(e.trial, e.epoch): (e.train_loss, e.val_loss, e.val_gap_l1, e.val_gap_cc) for e in epochs}


def test_a_run_ends_with_a_leaderboard_of_both_kinds_of_gap(finished: FinishedRun) -> None:
    folder, output = finished.folder, finished.output
    rows = {row.method: row for row in read_table(folder / "leaderboard.csv", MethodScore)}
    assert set(rows) == {"TUNet", *CLASSICAL, "noise floor"}
    for row in rows.values():
        assert row.horizontal_l1 is not None
        assert row.vertical_l1 is not None
        assert row.horizontal_l1 >= (rows["noise floor"].horizontal_l1 or 1)
    assert output.rstrip().endswith("leaderboard: runs/x/report/index.html")
    assert "biharmonic" in output
    assert "Traceback" not in output
    assert "ray" not in output.replace("starting Ray", "").lower().split()


def test_the_page_stands_alone(finished: FinishedRun) -> None:
    folder = finished.folder
    page = (folder / "report" / "index.html").read_text()
    assert "simulated" in page[:4000]
    assert "TUNet" in page
    # Nothing is loaded from anywhere; plotly.js itself mentions addresses in its code.
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=.?(?:https?:)?//", page)


def test_a_run_ends_with_a_model_that_fills_frames_of_its_detector(finished: FinishedRun) -> None:
    folder = finished.folder
    model = load(folder, "cpu")
    told = model.description
    (winner,) = read_table(folder / "winners.csv", Trial)
    assert (told.run, told.native, told.working) == ("x", (1679, 1475), (128, 128))
    assert [(member.network, member.trial, member.config) for member in told.members] == [
        ("tunet", winner.trial, winner.config)
    ]
    assert told.data == read_json(folder / "run.json", RunInfo).data
    scores = {row.method: row.horizontal_l1 for row in read_table(folder / "leaderboard.csv", MethodScore)}
    assert {name: row["horizontal_l1"] for name, row in told.scores.items()} == {
        name: scores[name] for name in ("TUNet", "biharmonic")
    }
    chosen = detector("Pilatus2M")
    frame = next(record(chosen, chosen.gap.shape, 1, seed=1, exposures=1))
    counts = np.where(frame.observed, frame.truth, -1).astype(np.int32)
    filled, uncertainty = model.fill(counts)
    np.testing.assert_array_equal(filled[frame.observed], counts[frame.observed])
    missing = chosen.gap & ~np.isnan(uncertainty)
    assert missing.sum() > 0.9 * chosen.gap.sum()
    error = np.abs(np.log1p(filled[missing]) - np.log1p(frame.clean[missing]))
    assert error.mean() < 0.5 * np.abs(np.log1p(frame.clean[missing]) - np.log1p(frame.clean.mean())).mean()


def test_tables_and_optuna_tell_the_same_story(finished: FinishedRun) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    folder = finished.folder
    trials = read_table(folder / "trials.csv", Trial)
    assert [t.trial for t in sorted(trials, key=lambda t: t.trial)] == [0, 1, 2, 3]
    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.journal")))
    study = optuna.load_study(study_name="tunet", storage=storage)
    states = {"finished": "COMPLETE", "stopped": "PRUNED", "interrupted": "PRUNED", "failed": "FAIL"}
    epochs = read_lines(folder / "progress.jsonl")
    for trial in trials:
        known = study.trials[trial.trial]
        assert known.state.name == states[trial.state]
        assert known.params == trial.config
        values = {e.epoch: e.val_gap_l1 for e in epochs if e.trial == trial.trial}
        assert known.intermediate_values == values
        assert list(values) == list(range(1, trial.epochs + 1))
        assert trial.val_gap_l1 == values[trial.epochs]


def test_the_run_folder_holds_its_records_and_nothing_else(finished: FinishedRun) -> None:
    folder = finished.folder
    assert sorted(path.name for path in folder.iterdir()) == [
        "coverage.csv", "distances.csv", "ensemble.csv", "evaluation.json", "failures.npz", "gallery.npz",
        "importances.csv", "leaderboard.csv", "model.safetensors", "models", "optuna.journal", "progress.jsonl",
        "report", "retraining.jsonl", "run.json", "scores.csv", "trials", "trials.csv", "uncertainty.json",
        "winners.csv",
    ]  # fmt: skip
    (winner,) = read_table(folder / "winners.csv", Trial)
    assert [path.name for path in folder.glob("models/*")] == [f"tunet-{winner.trial:04d}-0.safetensors"]
    assert sorted(path.name for path in folder.glob("trials/*")) == [f"{number:04d}.log" for number in range(4)]
    info = read_json(folder / "run.json", RunInfo)
    assert info.command == "python -m search.run " + " ".join(SMALL)
    assert info.data["train_frames"] + info.data["validation_frames"] + info.data["test_frames"] == 12
    assert read_json(folder / "evaluation.json", Evaluation).frames == info.data["test_frames"]


def test_ctrl_c_stops_within_seconds_and_resume_goes_on(command: Command, finished: FinishedRun) -> None:
    progress = command.folder / "runs" / "x" / "progress.jsonl"
    process = command.start(*SMALL)
    wait_for_lines(progress, 3, process)
    seconds = interrupt(process)
    output = command.log.read_text()
    assert process.returncode == 130
    assert seconds < 15
    assert "go on with: python -m search.run tunet --name x --resume" in output
    assert "Traceback" not in output
    before = read_lines(progress)

    process = command.start("tunet", "--name", "x", "--resume")
    retraining = command.folder / "runs" / "x" / "retraining.jsonl"
    wait_for_lines(retraining, 1, process)
    assert interrupt(process) < 15
    assert process.returncode == 130

    code, output = command.run("tunet", "--name", "x", "--resume")
    assert code == 0, output
    after = read_lines(progress)
    assert after[: len(before)] == before
    assert max(Counter((e.trial, e.epoch) for e in after).values()) == 1
    trials = read_table(command.folder / "runs" / "x" / "trials.csv", Trial)
    assert sorted(t.trial for t in trials) == [0, 1, 2, 3]
    again = [e.epoch for e in read_retraining(retraining)]
    assert again == list(range(1, len(again) + 1))
    # The trials begun before Ctrl-C end as they would have ended: same seed, same numbers, bit for bit.
    undisturbed, resumed = without_time(read_lines(finished.folder / "progress.jsonl")), without_time(after)
    common = {key for key in resumed if key[0] in {e.trial for e in before}} & undisturbed.keys()
    assert len(common) > len(before)
    assert {key: resumed[key] for key in common} == {key: undisturbed[key] for key in common}


def test_a_session_that_ended_before_the_model_file_was_written_is_made_up_for(
    command: Command, finished: FinishedRun
) -> None:
    folder = command.folder / "runs" / "x"
    folder.parent.mkdir()
    subprocess.run(["cp", "-r", str(finished.folder), str(folder)], check=True)
    (folder / "model.safetensors").unlink()
    code, output = command.run("tunet", "--name", "x", "--resume")
    assert code == 0, output
    assert (folder / "leaderboard.csv").read_bytes() == (finished.folder / "leaderboard.csv").read_bytes()
    made, before = (load(path, "cpu").description for path in (folder, finished.folder))
    assert replace(made, created="") == replace(before, created="")


def test_a_finished_run_is_not_run_again(command: Command, finished: FinishedRun) -> None:
    folder = command.folder / "runs"
    folder.mkdir()
    # A copied run is the same run.
    subprocess.run(["cp", "-r", str(finished.folder), str(folder / "x")], check=True)
    began = time.monotonic()
    code, output = command.run("tunet", "--name", "x", "--resume")
    assert code == 0, output
    assert time.monotonic() - began < 60
    assert (folder / "x" / "leaderboard.csv").read_bytes() == (finished.folder / "leaderboard.csv").read_bytes()
    assert (folder / "x" / "report" / "index.html").read_bytes() == (
        finished.folder / "report" / "index.html"
    ).read_bytes()


def test_resume_refuses_data_that_changed(command: Command, finished: FinishedRun) -> None:
    run = command.folder / "runs" / "x" / "run.json"
    run.parent.mkdir(parents=True)
    info = json.loads((finished.folder / "run.json").read_text())
    info["data"]["fingerprint"] = "0" * 64
    run.write_text(json.dumps(info))
    code, output = command.run("tunet", "--name", "x", "--resume")
    assert code == 2
    assert output == "error: the data of run 'x' have changed since it began: start a new run\n"


def test_all_networks_meet_on_one_leaderboard(command: Command) -> None:
    arguments = ("all", "--size", "128", "--frames", "12", "--trials", "1", "--epochs", "1", "--minutes", "1.2")
    retraining = command.folder / "runs" / "every" / "retraining.jsonl"
    process = command.start(*arguments, "--name", "every")
    # Ctrl-C while the second of four winners is retrained.
    end = time.monotonic() + 400
    while len({epoch.trial for epoch in read_retraining(retraining)}) < 2:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    assert interrupt(process) < 15
    first = [epoch for epoch in read_retraining(retraining) if epoch.trial == 0]
    code, output = command.run("all", "--name", "every", "--resume")
    assert code == 0, output
    folder = command.folder / "runs" / "every"
    rows = {row.method: row for row in read_table(folder / "leaderboard.csv", MethodScore)}
    assert set(rows) - {"ensemble"} == {*TITLES.values(), *CLASSICAL, "noise floor"}
    winners = read_table(folder / "winners.csv", Trial)
    assert [winner.network for winner in winners] == list(TITLES)
    # What was retrained before Ctrl-C is not retrained again, and each (trial, epoch) is there once.
    epochs = read_retraining(retraining)
    assert [epoch for epoch in epochs if epoch.trial == winners[0].trial] == first
    assert max(Counter((epoch.trial, epoch.epoch) for epoch in epochs).values()) == 1
    for winner in winners:
        row = rows[TITLES[winner.network]]
        assert row.parameters == winner.parameters
        assert row.train_seconds == max(epoch.seconds for epoch in epochs if epoch.trial == winner.trial)
    page = (folder / "report" / "index.html").read_text()
    assert all(title in page for title in TITLES.values())


@pytest.mark.skipif(not SHARED_FRAMES.exists(), reason="the real frames are not here")
def test_real_frames_end_with_a_leaderboard(command: Command) -> None:
    code, output = command.run(
        "tunet", "--data", str(SHARED_FRAMES / "*.h5"), "--detector", "Pilatus2M", "--size", "128",
        "--trials", "2", "--epochs", "1", "--minutes", "0.4", "--name", "real",
    )  # fmt: skip
    assert code == 0, output
    folder = command.folder / "runs" / "real"
    rows = {row.method: row for row in read_table(folder / "leaderboard.csv", MethodScore)}
    assert set(rows) == {"TUNet", "linear", "biharmonic"}
    assert all(row.horizontal_l1 and row.vertical_l1 and row.horizontal_recovered is None for row in rows.values())
    info = read_json(folder / "run.json", RunInfo)
    assert info.data["frames"] == 104
    assert "simulated frames" not in (folder / "report" / "index.html").read_text()[:4000]
