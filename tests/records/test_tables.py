"""The run's tables: what is read is what was written, and nothing is half there."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from records.files import (
    append_line,
    drop_trial,
    read_arrays,
    read_json,
    read_lines,
    read_retraining,
    read_table,
    write_arrays,
    write_json,
    write_table,
    write_text,
)
from records.folder import RunFolder
from records.tables import Evaluation, FrameScore, Gallery, Interim, Latent, MethodScore, RetrainInterim, Trial

EPOCH = Interim(3, 1, 1, 0.1, 0.2, 0.3, 0.9, 1e-3, 2.5)
EVALUATION = Evaluation(48, 48, 1000, 500, 0.25, 0.24, None, 3.9e-3, ["a note"])


def test_tables_round_trip_with_missing_values_and_configs(tmp_path: Path) -> None:
    trials = [
        Trial(0, "tunet", "finished", 6, 0.1 + 0.2, 0.99, 0.4, 0.5, 1234, 1.5, {"task": "blind", "depth": 3}),
        Trial(1, "tunet", "failed", 0, None, None, None, None, None, 0.0, {"growth_rate": 1.5}, 'said "no", twice\n'),
    ]
    write_table(tmp_path / "trials.csv", trials)
    assert read_table(tmp_path / "trials.csv", Trial) == trials
    score = MethodScore("x,y", "network", 1e-3, None, 2e-3, 1.0, None, 0.5, 3.0, None, None, 2.5, 7.0)
    write_table(tmp_path / "leaderboard.csv", [score, replace(score, method="z")])
    assert read_table(tmp_path / "leaderboard.csv", MethodScore) == [score, replace(score, method="z")]


def test_an_empty_table_and_a_missing_one_hold_nothing(tmp_path: Path) -> None:
    write_table(tmp_path / "empty.csv", [])
    assert read_table(tmp_path / "empty.csv", Trial) == read_table(tmp_path / "none.csv", Trial) == []


def test_a_line_that_a_crash_cut_short_is_left_out_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    append_line(path, EPOCH)
    append_line(path, replace(EPOCH, epoch=2))
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert read_lines(path) == [EPOCH]
    append_line(path, replace(EPOCH, epoch=2))
    assert read_lines(path) == [EPOCH, replace(EPOCH, epoch=2)]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_arrays_round_trip(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.random((2, 8, 8), np.float32)
    images[0, 0, 0] = np.nan
    crops = np.array([[0, 4, 2, 6]] * 2)
    gallery = Gallery(
        ["a", "b"], ["saxs", ""], ["best", "worst"], ["TUNet"], crops, images, images + 1, images[:, None]
    )
    latent = Latent("TUNet", 5, 200, ["truth", "masked"], rng.random((2, 7)), rng.random((2, 9)))
    empty = Gallery([], [], [], ["TUNet"], np.zeros((0, 4), np.int64), images[:0], images[:0], images[:0, None])
    for record in (gallery, latent, empty):
        write_arrays(tmp_path / "a.npz", record)
        back = read_arrays(tmp_path / "a.npz", type(record))
        for name, value in vars(record).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(getattr(back, name), value)
            else:
                assert getattr(back, name) == value


def test_the_epochs_of_a_trial_are_dropped_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "retraining.jsonl"
    first = RetrainInterim(**asdict(EPOCH), seed=0, devices=1)
    kept = [replace(first, trial=2), replace(first, trial=4)]
    for epoch in (kept[0], first, replace(first, seed=1), replace(first, epoch=2), kept[1]):
        append_line(path, epoch)
    drop_trial(path, EPOCH.trial)
    assert read_retraining(path) == kept


def test_files_that_vanish_while_they_are_looked_at_are_no_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporary files do so all the time: here between being found and being asked for their time."""
    for name in ("run.json", ".trials.7.csv"):
        (tmp_path / name).touch()
    os.utime(tmp_path / "run.json", (1000.0, 1000.0))
    is_file = Path.is_file

    def vanishes(path: Path, **options: bool) -> bool:
        found = is_file(path, **options)
        if path.name.startswith("."):
            path.unlink()
        return found

    monkeypatch.setattr(Path, "is_file", vanishes)
    assert RunFolder(tmp_path).last_change() == 1000.0


def test_what_is_written_is_on_the_disk_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut may leave a name without its contents, or lines missing that others rely on."""
    there: list[bytes] = []

    def fsync(file: int) -> None:
        there.append(os.pread(file, 10_000, 0))

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "a.txt", "whole")
    append_line(tmp_path / "progress.jsonl", EPOCH)
    assert there == [b"whole", (tmp_path / "progress.jsonl").read_bytes()]


ODD = os.fsdecode(b"film \xff.cbf")
"""The name of a file that is not UTF-8."""


def test_names_that_are_not_utf8_are_written_with_an_escape(tmp_path: Path) -> None:
    """Else nothing could be written after all the training, nor after any --resume."""
    score = FrameScore("TUNet", ODD, "film", "saxs", 0.1, 0.9, None, None)
    write_table(tmp_path / "scores.csv", [score])
    (back,) = read_table(tmp_path / "scores.csv", FrameScore)
    assert back.frame == r"film \udcff.cbf"
    nothing = np.zeros((1, 1, 1), np.float32)
    gallery = Gallery(
        [ODD], ["saxs"], ["best"], ["TUNet"], np.zeros((1, 4), np.int64), nothing, nothing, nothing[None]
    )
    write_arrays(tmp_path / "gallery.npz", gallery)
    assert read_arrays(tmp_path / "gallery.npz", Gallery).names == [back.frame]
    write_json(tmp_path / "evaluation.json", replace(EVALUATION, notes=[ODD]))
    assert read_json(tmp_path / "evaluation.json", Evaluation).notes == [ODD]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frames", "<b>"),
        ("frames", 1.5),
        ("frames", True),
        ("horizontal_mean", "<b>"),
        ("notes", [1]),
        ("notes", "x"),
    ],
)
def test_a_field_of_another_type_is_refused(tmp_path: Path, field: str, value: object) -> None:
    """What is taken for a number reaches the page as it is."""
    write_json(tmp_path / "evaluation.json", EVALUATION)
    assert read_json(tmp_path / "evaluation.json", Evaluation) == EVALUATION
    values = json.loads((tmp_path / "evaluation.json").read_text())
    (tmp_path / "evaluation.json").write_text(json.dumps(values | {field: value}))
    with pytest.raises(TypeError, match=field):
        read_json(tmp_path / "evaluation.json", Evaluation)


def test_an_epoch_of_another_type_is_refused(tmp_path: Path) -> None:
    append_line(tmp_path / "progress.jsonl", EPOCH)
    line = json.loads((tmp_path / "progress.jsonl").read_text())
    (tmp_path / "progress.jsonl").write_text(json.dumps(line | {"trial": "<img src=x onerror=alert(1)>"}) + "\n")
    with pytest.raises(TypeError, match="trial"):
        read_lines(tmp_path / "progress.jsonl")
