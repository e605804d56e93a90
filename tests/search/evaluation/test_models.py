"""What rows are called, which models make the ensemble, and what is read of a run's folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inpainting.uncertainty import Uncertainty
from records.files import append_line, read_arrays, read_json, read_table, write_table
from records.folder import RunFolder
from records.tables import (
    Coverage,
    DistanceScore,
    Evaluation,
    FrameScore,
    Gallery,
    Member,
    MethodScore,
    RetrainInterim,
    Trial,
)
from scattering.dataset import Dataset
from search.evaluation import evaluate as evaluation
from search.evaluation.models import MEMBER_SHARE, chosen, retrained, titles, trained
from search.settings import Settings, resolve
from trainables.models import build, save

CONFIG = {"depth": 1, "base_channels": 2, "growth_rate": 2.0, "batch_size": 4, "learning_rate": 1e-3}


def winner(trial: int, error: float, task: str = "blind", network: str = "tunet", point: int | None = None) -> Trial:
    config = {**CONFIG, "task": task}
    return Trial(trial, network, "finished", 3, error, 0.9, 0.1, 0.1, 100, 9.0, config, point=point)


def test_winners_are_numbered_by_validation() -> None:
    winners = [winner(3, 0.006), winner(7, 0.005), winner(1, 0.007), winner(4, 0.004, network="msdnet")]
    assert titles(winners) == {7: "TUNet", 3: "TUNet 2", 1: "TUNet 3", 4: "MSDNet"}


def test_tasks_are_told_apart_where_a_network_has_both() -> None:
    winners = [winner(1, 0.006), winner(2, 0.005, "residual"), winner(3, 0.007), winner(4, 0.008, "residual")]
    assert titles(winners) == {
        1: "TUNet, blind", 3: "TUNet, blind 2", 2: "TUNet, residual", 4: "TUNet, residual 2",
    }  # fmt: skip


def test_points_of_the_paper_are_named_and_number_nothing() -> None:
    winners = [winner(0, 0.003, point=2), winner(1, 0.006, "residual"), winner(2, 0.007, "residual")]
    assert titles(winners) == {0: "TUNet, paper's model 2", 1: "TUNet", 2: "TUNet 2"}


def end(trial: int, seed: int, error: float, epoch: int = 5, devices: int = 1) -> RetrainInterim:
    return RetrainInterim(trial, epoch, epoch, 0.1, 0.1, error, 0.9, 1e-3, 10.0 * epoch, seed, devices)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A run with two winners of two seeds each; the last model could not be trained."""
    monkeypatch.chdir(tmp_path)
    settings = resolve("tunet", "mine", "quick", {})
    winners = [winner(3, 0.005), winner(7, 0.006, "residual")]
    write_table(settings.folder / "winners.csv", winners)
    errors = {(3, 0): 0.005, (3, 1): 0.0054, (7, 0): 0.0056}
    for one in winners:
        for seed in (0, 1):
            for epoch in (4, 5, 6):
                # The weights of the best report are kept.
                value = errors.get((one.trial, seed), 0.1) if epoch == 5 else 0.2
                append_line(settings.folder / "retraining.jsonl", end(one.trial, seed, value, epoch, devices=2))
            if (one.trial, seed) in errors:
                network, _ = build("tunet", one.config, seed)
                save(RunFolder(settings.folder).model(one, seed), network, "tunet", one.config)
    return settings


def test_rows_are_of_the_models_that_are_there(run: Settings) -> None:
    (blind, residual, ensemble), _ = retrained(run.files, trained(run.files))
    assert (blind.name, blind.trial, blind.task, blind.seeds, len(blind.fillers)) == (
        "TUNet, blind",
        3,
        "blind",
        2,
        2,
    )
    assert (residual.name, residual.seeds) == ("TUNet, residual", 1)
    # Six epochs of 10 s on two devices.
    assert blind.train_seconds == 120
    assert ensemble.train_seconds == 240
    assert ensemble.parameters == 2 * (blind.parameters or 0)


def test_poor_models_are_left_out_of_the_ensemble(run: Settings) -> None:
    assert 0.0054 <= 0.005 * (1 + MEMBER_SHARE) < 0.0056
    assert retrained(run.files, trained(run.files))[1] == [
        Member("tunet", 3, 0, 0.005),
        Member("tunet", 3, 1, 0.0054),
    ]


def test_one_model_makes_no_ensemble(run: Settings) -> None:
    RunFolder(run.folder).model(winner(3, 0.005), 1).unlink()
    methods, members = retrained(run.files, trained(run.files))
    assert [method.kind for method in methods] == ["network", "network"]
    assert members == []
    (best,) = chosen(trained(run.files))
    assert best.member == Member("tunet", 3, 0, 0.005)


def test_chosen_models_are_those_of_the_ensemble(run: Settings) -> None:
    assert [model.member for model in chosen(trained(run.files))] == retrained(run.files, trained(run.files))[1]
    for path in (run.folder / "models").iterdir():
        path.unlink()
    assert chosen(trained(run.files)) == []


@pytest.mark.slow
def test_everything_is_written_and_the_leaderboard_last(run: Settings, calibrated: Dataset) -> None:
    test = replace(calibrated, clean=calibrated.truth).select(range(5))
    evaluation.evaluate(run, calibrated.select([7]), test)
    folder = run.folder
    files = [path for path in folder.iterdir() if path.is_file()]
    assert max(files, key=lambda path: path.stat().st_mtime_ns).name == "leaderboard.csv"
    rows = read_table(folder / "leaderboard.csv", MethodScore)
    assert [row.kind for row in rows] == ["network"] * 2 + ["ensemble"] + ["classical"] * 6 + ["limit"]
    assert len({row.method for row in rows}) == len(rows)
    assert len(read_table(folder / "scores.csv", FrameScore)) == len(rows) * len(test)
    assert {score.method for score in read_table(folder / "distances.csv", DistanceScore)} == {r.method for r in rows}
    assert [member.trial for member in read_table(folder / "ensemble.csv", Member)] == [3, 3]
    notes = read_json(folder / "evaluation.json", Evaluation).notes
    assert any("averages 2 of 3 models" in note for note in notes)
    for name, frames in (("gallery", 5), ("failures", 3)):
        gallery = read_arrays(folder / f"{name}.npz", Gallery)
        assert gallery.methods == [row.method for row in rows if row.kind != "limit"]
        assert gallery.filled.shape == (frames, len(gallery.methods), *test.gap.shape)
        assert np.isfinite(gallery.filled).all()
    json.loads((folder / "evaluation.json").read_text())
    stated = read_json(folder / "uncertainty.json", Uncertainty)
    assert stated.spread > 0 and stated.distances[0] == 1
    rows = [row for row in read_table(folder / "coverage.csv", Coverage) if not row.by]
    assert {(row.kind, row.level) for row in rows} == {
        (kind, level) for kind in ("horizontal", "vertical") for level in (0.68, 0.95)
    }
    assert all(0.2 < row.found <= 1 for row in rows)


def test_test_frames_have_no_say_in_the_uncertainty(run: Settings, data: Dataset) -> None:
    validation, test = data.select(range(4)), data.select(range(4, 8))
    told = []
    for shown in (test, replace(test, truth=test.truth + np.float32(0.05))):
        evaluation.evaluate(run, validation, shown)
        told.append([(run.folder / name).read_bytes() for name in ("uncertainty.json", "coverage.csv")])
    assert told[0][0] == told[1][0]
    assert told[0][1] != told[1][1]


@pytest.mark.slow
def test_too_few_validation_pixels_leave_nothing_of_an_earlier_evaluation(run: Settings, data: Dataset) -> None:
    known, unknown = data.select(range(4)), data.select(range(4, 6))
    evaluation.evaluate(run, known, unknown)
    blind = replace(known, valid=known.observed, strips_observed=np.ones_like(known.strips_observed))
    evaluation.evaluate(run, blind, unknown)
    assert not (run.folder / "uncertainty.json").exists()
    assert not (run.folder / "coverage.csv").exists()
    assert any("no uncertainty" in note for note in read_json(run.folder / "evaluation.json", Evaluation).notes)
