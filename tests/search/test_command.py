"""The whole command on small data: to the leaderboard, through Ctrl-C, on real frames."""

from __future__ import annotations

import json
import re

import h5py
import numpy as np
import pytest

from records.files import read_json, read_lines, read_retraining, read_table
from records.networks import TITLES
from records.tables import Evaluation, MethodScore, RunInfo, Trial
from scattering.detectors import detector
from scattering.simulation.recording import record
from search.following.display import __doc__ as documented
from search.inpaint import load
from tests.search.conftest import SHARED_FRAMES, SMALL, Command, FinishedRun, assert_optuna_agrees

pytestmark = pytest.mark.slow

CLASSICAL = {"linear", "biharmonic", "along rings", "pyFAI, default bins", "pyFAI, tuned bins", "Friedel symmetry"}


def test_a_run_ends_with_a_leaderboard_of_both_kinds_of_gap(finished: FinishedRun) -> None:
    folder = finished.folder
    rows = {row.method: row for row in read_table(folder / "leaderboard.csv", MethodScore)}
    assert set(rows) == {"TUNet", *CLASSICAL, "noise floor"}
    for row in rows.values():
        assert row.horizontal_l1 is not None
        assert row.vertical_l1 is not None
        assert row.horizontal_l1 >= (rows["noise floor"].horizontal_l1 or 1)


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
    assert_optuna_agrees(finished.folder)
    epochs = read_lines(finished.folder / "progress.jsonl")
    trials = read_table(finished.folder / "trials.csv", Trial)
    assert sorted(trial.trial for trial in trials) == [0, 1, 2, 3]
    for trial in trials:
        values = {epoch.epoch: epoch.val_gap_l1 for epoch in epochs if epoch.trial == trial.trial}
        assert trial.val_gap_l1 == values[trial.epochs]


def test_a_run_can_be_followed_from_outside(finished: FinishedRun) -> None:
    folder, events = finished.folder, finished.events
    assert {"x: searching tunet", "x: retraining"} <= finished.stages
    kinds = [event["event"] for event in events]
    assert all(f"\n    {kind} " in (documented or "") for kind in kinds)
    assert kinds.count("started") == kinds.count("ended") == 4
    assert kinds.count("interim") == len(read_lines(folder / "progress.jsonl"))
    assert kinds.count("retrained") == len(read_retraining(folder / "retraining.jsonl"))
    assert kinds[-1] == "finished"
    scores = read_table(folder / "leaderboard.csv", MethodScore)
    assert [MethodScore(**score) for score in events[-1]["scores"]] == scores
    assert events[-1]["leaderboard"] == "runs/x/report/index.html"


def test_the_run_folder_holds_its_records_and_nothing_else(finished: FinishedRun) -> None:
    folder = finished.folder
    (winner,) = read_table(folder / "winners.csv", Trial)
    looks_at_rings = winner.config.get("geometry") == "yes" and winner.config["task"] == "residual"
    assert (folder / "unlocated.json").exists() == looks_at_rings
    assert sorted({path.name for path in folder.iterdir()} - {"unlocated.json"}) == [
        "coverage.csv", "distances.csv", "ensemble.csv", "evaluation.json", "failures.npz", "gallery.npz",
        "importances.csv", "ladders.csv", "leaderboard.csv", "model.safetensors", "models", "optuna.journal",
        "progress.jsonl",
        "report", "retraining.jsonl", "run.json", "scores.csv", "trials", "trials.csv", "uncertainty.json",
        "winners.csv",
    ]  # fmt: skip
    assert [path.name for path in folder.glob("models/*")] == [f"tunet-{winner.trial:04d}-0.safetensors"]
    assert sorted(path.name for path in folder.glob("trials/*")) == [f"{number:04d}.log" for number in range(4)]
    info = read_json(folder / "run.json", RunInfo)
    assert info.command == "python -m search.run " + " ".join(SMALL) + " --json"
    assert info.data["train_frames"] + info.data["validation_frames"] + info.data["test_frames"] == 12
    assert read_json(folder / "evaluation.json", Evaluation).frames == info.data["test_frames"]


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
    arguments = ("all", "--size", "128", "--frames", "12", "--trials", "1", "--epochs", "1", "--minutes", "0.8")
    code, output = command.run(*arguments, "--name", "every")
    assert code == 0, output
    folder = command.folder / "runs" / "every"
    rows = {row.method: row for row in read_table(folder / "leaderboard.csv", MethodScore)}
    assert set(rows) - {"ensemble"} == {*TITLES.values(), *CLASSICAL, "noise floor"}
    winners = read_table(folder / "winners.csv", Trial)
    assert [winner.network for winner in winners] == list(TITLES)
    epochs = read_retraining(folder / "retraining.jsonl")
    for winner in winners:
        row = rows[TITLES[winner.network]]
        assert row.parameters == winner.parameters
        assert row.train_seconds == max(epoch.seconds for epoch in epochs if epoch.trial == winner.trial)
    page = (folder / "report" / "index.html").read_text()
    assert all(title in page for title in TITLES.values())


@pytest.mark.skipif(not SHARED_FRAMES.exists(), reason="the real frames are not here")
def test_real_frames_end_with_a_leaderboard(command: Command) -> None:
    code, output = command.run(
        "tunet", "--data", str(SHARED_FRAMES / "[a-g]*.h5"), "--detector", "Pilatus2M", "--size", "128",
        "--trials", "1", "--epochs", "1", "--minutes", "0.8", "--name", "real",
    )  # fmt: skip
    assert code == 0, output
    folder = command.folder / "runs" / "real"
    rows = {row.method: row for row in read_table(folder / "leaderboard.csv", MethodScore)}
    assert set(rows) == {"TUNet", "linear", "biharmonic", "along rings"}  # some frames tell where the beam is
    assert all(row.horizontal_l1 and row.vertical_l1 and row.horizontal_recovered is None for row in rows.values())
    info = read_json(folder / "run.json", RunInfo)
    assert info.data["frames"] == sum(len(h5py.File(file)["frames"]) for file in SHARED_FRAMES.glob("[a-g]*.h5"))
    assert "simulated frames" not in (folder / "report" / "index.html").read_text()[:4000]
