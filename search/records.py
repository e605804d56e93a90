"""The tables of a run: written by the stages of a search, read by the report (neither torch nor Ray here).

A run lives in one folder::

    runs/<name>/
        run.json            settings, versions, data fingerprint: `RunInfo`
        optuna.journal      the study of each network: what was proposed and how it ended
        progress.jsonl      one line an epoch of a trial, in the order of arrival: `Epoch`
        trials.csv          one row a trial: `Trial`
        trials/0007.log     what a trial did, for people; 0007.pt while it runs: its weights
        winners.csv         the best trial of each network: `Trial`
        retraining.jsonl    one line an epoch of a retrained winner: `Epoch`
        evaluation.json     what the test set holds: `Evaluation`
        scores.csv          one row a method and test frame: `FrameScore`
        leaderboard.csv     one row a method, pooled over the test set: `MethodScore`
        gallery.npz         a few test frames, filled by every method: `Gallery`
        models/<network>.safetensors
        report/index.html
        tensorboard/        one folder of events a trial, with --track tensorboard
        mlflow.db           with --track mlflow
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import typing
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from scattering.files import replacing

Config = dict[str, int | float | str]


@dataclass(frozen=True)
class RunInfo:
    """Where a run comes from, and everything needed to repeat it."""

    name: str
    command: str
    network: str
    preset: str
    seed: int
    created: str
    """ISO 8601, UTC."""
    settings: dict[str, Any]
    """Settings of the search, as given and as resolved."""
    data: dict[str, Any]
    """title, simulated (bool), detector, size, frames, train_frames, validation_frames, test_frames, groups,
    fingerprint."""
    versions: dict[str, str]
    machine: dict[str, str]


@dataclass(frozen=True)
class Epoch:
    """One epoch of one trial (or of the retrained winner), on train and validation frames."""

    trial: int
    """Number of the trial; a retrained winner keeps the number of the trial that found it."""
    epoch: int
    """Epochs completed, from 1."""
    train_loss: float
    """Mean L1 over the whole window, transformed intensity in [0, 1]."""
    val_loss: float
    val_gap_l1: float
    """Mean L1 over held-out gap pixels of the validation windows: what the search minimises."""
    val_gap_cc: float
    learning_rate: float
    seconds: float
    """Training and validation time since the trial began."""


@dataclass(frozen=True)
class Trial:
    """One trial of the search, at its last epoch."""

    trial: int
    network: str
    state: str
    """finished, stopped (early, by ASHA), interrupted (by the time limit), infeasible (too large for the memory) or
    failed; see `trials_so_far` for one more."""
    epochs: int
    val_gap_l1: float | None
    val_gap_cc: float | None
    val_loss: float | None
    train_loss: float | None
    parameters: int | None
    seconds: float
    config: Config = field(default_factory=dict)
    error: str = ""
    micro_batch: int | None = None
    """Windows at once: the batch, unless the memory was short."""
    memory: int | None = None
    """Bytes that its training was found to take."""


@dataclass(frozen=True)
class Evaluation:
    """What the test set holds; a kind of gap that has no scored pixel is None."""

    frames: int
    groups: int
    horizontal_pixels: int
    vertical_pixels: int
    horizontal_mean: float | None
    """Mean truth over the scored pixels, transformed intensity (the paper: 0.2496)."""
    vertical_mean: float | None
    horizontal_floor_l1: float | None
    """L1 of the noise-free intensity against the noisy truth; simulated frames only."""
    vertical_floor_l1: float | None


@dataclass(frozen=True)
class FrameScore:
    """One method on one test frame; None where the frame has no pixel of that kind."""

    method: str
    frame: str
    group: str
    category: str
    horizontal_l1: float | None
    horizontal_cc: float | None
    vertical_l1: float | None
    vertical_cc: float | None


@dataclass(frozen=True)
class MethodScore:
    """One row of the leaderboard: one method, pooled over the gap pixels of the test set."""

    method: str
    kind: str
    """network, classical or limit (the noise floor)."""
    horizontal_l1: float | None
    horizontal_cc: float | None
    vertical_l1: float | None
    vertical_cc: float | None
    horizontal_recovered: float | None
    """(biharmonic - method) / (biharmonic - noise floor), of L1; simulated frames only."""
    vertical_recovered: float | None
    horizontal_l1_counts: float | None
    """Mean |error| in counts over the same pixels."""
    vertical_l1_counts: float | None
    parameters: int | None
    train_seconds: float | None
    ms_per_frame: float | None


@dataclass(frozen=True)
class Gallery:
    """A few test frames, transformed intensity in [0, 1], for pictures. K frames, M methods."""

    names: list[str]
    categories: list[str]
    methods: list[str]
    input: npt.NDArray[np.float32]
    """(K, H, W), NaN where not observed."""
    truth: npt.NDArray[np.float32]
    """(K, H, W), NaN where not valid."""
    filled: npt.NDArray[np.float32]
    """(K, M, H, W)."""


def model_path(folder: Path, network: str) -> Path:
    """Where a run keeps the retrained winner of a network."""
    return folder / "models" / f"{network}.safetensors"


def last_change(folder: Path) -> float:
    """When a file of a run, or the log or checkpoint of a trial, was last written, in seconds since 1970."""
    times = []
    for path in (*folder.iterdir(), *folder.glob("trials/*")):
        # Temporary files of those that write meanwhile go as they come.
        with suppress(FileNotFoundError):
            if path.is_file():
                times.append(path.stat().st_mtime)
    return max(times, default=0.0)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


Record = TypeVar("Record", RunInfo, Evaluation, Trial, FrameScore, MethodScore, Epoch)


def write_json(path: Path, record: RunInfo | Evaluation) -> None:
    """Write one record as an indented JSON file."""
    write_text(path, json.dumps(dataclasses.asdict(record), indent=2) + "\n")


def read_json(path: Path, kind: type[Record]) -> Record:
    """Read what `write_json` wrote."""
    return kind(**json.loads(path.read_text(encoding="utf-8")))


def append_line(path: Path, record: Epoch) -> None:
    """Append one record as a line of JSON, in the place of a last line that a crash cut short."""
    line = json.dumps(dataclasses.asdict(record)).encode() + b"\n"
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        file.write(line)
        # Optuna's journal, which is told next, survives a power cut, too.
        file.flush()
        os.fsync(file.fileno())


def drop_trial(path: Path, trial: int) -> None:
    """Take the epochs of a trial out of a file that `append_line` wrote."""
    kept = [epoch for epoch in read_lines(path) if epoch.trial != trial]
    write_text(path, "".join(json.dumps(dataclasses.asdict(epoch)) + "\n" for epoch in kept))


def read_lines(path: Path) -> list[Epoch]:
    """Read what `append_line` wrote; a last line that a crash cut short is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [Epoch(**json.loads(line)) for line in lines[:-1]]


def write_table(path: Path, records: list[Record]) -> None:
    """Write records as CSV; None is an empty cell, a dict becomes one column `key.name` each."""
    rows = [_flatten(dataclasses.asdict(record)) for record in records]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_table(path: Path, kind: type[Record]) -> list[Record]:
    """Read what `write_table` wrote."""
    if not path.exists():
        return []
    types = typing.get_type_hints(kind)
    records = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            values: dict[str, Any] = {}
            for name, cell in row.items():
                column, _, key = name.partition(".")
                if not key:
                    values[column] = _parse(cell, types[column])
                elif cell:
                    values.setdefault(column, {})[key] = json.loads(cell)
            records.append(kind(**values))
    return records


def trials_so_far(folder: Path) -> list[Trial]:
    """Return the trials of a run; before its search is over, those that have not ended are `running`.

    trials.csv is written when a trial ends, and calls the others interrupted: what they have come to since is in
    progress.jsonl. Network and configuration of a trial that began later are not known, "" and {}.
    """
    trials = {trial.trial: trial for trial in read_table(folder / "trials.csv", Trial)}
    if (folder / "winners.csv").exists():
        return list(trials.values())
    last = {epoch.trial: epoch for epoch in read_lines(folder / "progress.jsonl")}
    for number in last.keys() | trials.keys():
        known, epoch = trials.get(number), last.get(number)
        if known is None:
            known = Trial(number, "", "interrupted", 0, None, None, None, None, None, 0.0)
        if known.state != "interrupted":
            continue
        trials[number] = dataclasses.replace(known, state="running")
        if epoch is not None:
            trials[number] = dataclasses.replace(
                trials[number],
                epochs=epoch.epoch,
                val_gap_l1=epoch.val_gap_l1,
                val_gap_cc=epoch.val_gap_cc,
                val_loss=epoch.val_loss,
                train_loss=epoch.train_loss,
                seconds=epoch.seconds,
            )
    return list(trials.values())


def write_gallery(path: Path, gallery: Gallery) -> None:
    """Write a gallery as a compressed .npz without pickles."""
    with replacing(path) as temporary:
        np.savez_compressed(
            temporary,
            names=np.array(gallery.names, dtype=np.str_),
            categories=np.array(gallery.categories, dtype=np.str_),
            methods=np.array(gallery.methods, dtype=np.str_),
            input=gallery.input,
            truth=gallery.truth,
            filled=gallery.filled,
        )


def read_gallery(path: Path) -> Gallery:
    """Read what `write_gallery` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return Gallery(
            names=[str(name) for name in arrays["names"]],
            categories=[str(name) for name in arrays["categories"]],
            methods=[str(name) for name in arrays["methods"]],
            input=arrays["input"],
            truth=arrays["truth"],
            filled=arrays["filled"],
        )


def _flatten(row: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat.update({f"{name}.{key}": json.dumps(item) for key, item in value.items()})
        else:
            flat[name] = value
    return flat


def _parse(cell: str, hint: Any) -> Any:
    options = typing.get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if cell == "" and type(None) in options:
        return None
    return options[0](cell)
