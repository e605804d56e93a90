"""The tables of a run: written by the stages of a search, read by the report (neither torch nor Ray here).

A run lives in one folder::

    runs/<name>/
        run.json            settings, versions, data fingerprint: `RunInfo`
        optuna.journal      the study of each network: what was proposed and how it ended
        progress.jsonl      one line an epoch of a trial, in the order of arrival: `Epoch`
        trials.csv          one row a trial: `Trial`
        trials/0007.log     what a trial did, for people; 0007.pt while it runs: its weights
        importances.csv     what each searched parameter matters: `Importance`
        given_up.csv        winners that could not be trained at full length: `Trial`
        winners.csv         the best trials of each network, to be retrained: `Trial`
        retraining.jsonl    one line an epoch of a retrained winner: `RetrainEpoch`
        models/<network>-<trial>-<seed>.safetensors
        evaluation.json     what the test set holds: `Evaluation`
        ensemble.csv        which models the ensemble averages: `Member`
        scores.csv          one row a method and test frame: `FrameScore`
        distances.csv       one row a method and distance from the gap's edge: `DistanceScore`
        uncertainty.json    how far the truth may lie from fills: `inpainting.uncertainty.Uncertainty`
        coverage.csv        how often it lies so far on test frames: `Coverage`
        gallery.npz         test frames from the best to the worst, filled by every method: `Gallery`
        failures.npz        test frames at which every method fails: `Gallery`
        latent.npz          neighbours in the latent spaces of masked, true and filled frames: `Latent`
        model.safetensors   what fills users' frames: `inpainting.model_file`
        leaderboard.csv     one row a method, pooled over the test set: `MethodScore`
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

from inpainting.uncertainty import Uncertainty
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
    rungs: list[int] = field(default_factory=list)
    """Epochs after which trials are compared and stopped early; none where that is decided by seconds or not done."""


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
class RetrainEpoch(Epoch):
    """One epoch of a winner that is trained again."""

    seed: int
    """Of its initial weights and of the order of its batches; a winner is trained with several."""
    devices: int
    """GPUs, or 1: all cores of one machine."""


@dataclass(frozen=True)
class Importance:
    """What a searched parameter matters: the share of the variation of the error that goes with it."""

    network: str
    parameter: str
    importance: float
    """The shares of the parameters of a study sum to 1."""
    trials: int
    """From so many trials,"""
    epoch: int
    """compared after so many epochs."""
    task: str = ""
    """Where each task is searched for itself."""


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
    point: int | None = None
    """Number of the paper's model (Tables 2 and 3); None for a proposal."""


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
    notes: list[str] = field(default_factory=list)
    """What was not measured, and why; how what was tuned came out. Sentences for the reader."""


@dataclass(frozen=True)
class Member:
    """One model of the ensemble."""

    network: str
    trial: int
    seed: int
    val_gap_l1: float
    """By which it was chosen: validation frames, end of its retraining."""


@dataclass(frozen=True)
class FrameScore:
    """One method on one test frame, the mean over its seeds; None where the frame has no pixel of that kind."""

    method: str
    frame: str
    group: str
    category: str
    horizontal_l1: float | None
    horizontal_cc: float | None
    vertical_l1: float | None
    vertical_cc: float | None
    iq_error: float | None = None
    """Error of the azimuthal average over gap pixels, a share of it: see `MethodScore`."""


@dataclass(frozen=True)
class DistanceScore:
    """One method on the gap pixels at one distance from the nearest observed pixel."""

    method: str
    kind: str
    """horizontal or vertical"""
    distance: int
    """Pixels, rounded; 1 is beside an observed pixel."""
    l1: float
    pixels: int


@dataclass(frozen=True)
class Coverage:
    """How much of the truth of some test pixels lies within the intervals that are stated for them."""

    kind: str
    """horizontal or vertical"""
    level: float
    """Share that is stated: 0.68 or 0.95."""
    found: float
    """Share that was found within."""
    half_width: float
    """Mean over the pixels, transformed intensity."""
    half_width_counts: float
    """Median over the pixels of half the interval's length in counts."""
    l1: float
    """Mean |error| over the pixels."""
    pixels: int
    by: str = ""
    """What the pixels have in common: "distance", from `start` to `end`; "counts", those of the fill, from `start` to
    below `end`, None without end. "" for all that have an interval."""
    start: float | None = None
    end: float | None = None
    frames_low: float | None = None
    """Of all pixels: one frame in ten has a smaller share within, counted on its own,"""
    frames_high: float | None = None
    """and one in ten a larger one."""


@dataclass(frozen=True)
class MethodScore:
    """One row of the leaderboard: one method, pooled over the gap pixels of the test set; the mean over its seeds."""

    method: str
    """Unique within a run."""
    kind: str
    """network, ensemble, classical or limit (the noise floor)."""
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
    """Device-seconds: training time of one model times its devices (of an ensemble: of all its members)."""
    ms_per_frame: float | None
    iq_error: float | None = None
    """Relative error of the azimuthal average I(q) over the horizontal gaps; where the geometry is known.

    For each frame its scored pixels are sorted into 100 equal bins of q, from their smallest q to their largest, and
    counts are averaged in each: of the fill, F, and of the truth, T. The frame's error is the mean of
    |F - T| / ((F + T) / 2) over the bins in which the truth counts at least 100 in all pixels together, for below
    photon noise decides. This is its mean over frames that have such bins (and over seeds)."""
    network: str = ""
    """Key of the network; "" for what is none."""
    task: str = ""
    """blind or residual"""
    trial: int | None = None
    point: int | None = None
    """As in `Trial`."""
    seeds: int | None = None
    """Models that the row is the mean of (of an ensemble: its members)."""
    horizontal_l1_sd: float | None = None
    """Standard deviation over the seeds; None with fewer than two."""
    vertical_l1_sd: float | None = None


@dataclass(frozen=True)
class Gallery:
    """A few test frames, transformed intensity in [0, 1], for pictures. K frames, M methods."""

    names: list[str]
    categories: list[str]
    reasons: list[str]
    """Why this frame is shown: "best", "median", "worst", "where every method fails"; its place by the data."""
    methods: list[str]
    crops: npt.NDArray[np.int64]
    """(K, 4): first and past-the-last row, first and past-the-last column of the close-up."""
    input: npt.NDArray[np.float32]
    """(K, H, W), NaN where not observed."""
    truth: npt.NDArray[np.float32]
    """(K, H, W), NaN where not valid."""
    filled: npt.NDArray[np.float32]
    """(K, M, H, W)."""


@dataclass(frozen=True)
class Latent:
    """Neighbours in the latent spaces of N test frames as autoencoders see them (paper, section 4.4, Fig. 10)."""

    method: str
    """Whose fills the inpainted frames are."""
    neighbours: int
    """How many nearest neighbours `overlap` counts."""
    dimension: int
    spaces: list[str]
    """truth, masked, inpainted, and "truth, another seed": what the training of the autoencoder alone changes."""
    correlation: npt.NDArray[np.float64]
    """(spaces, ranks): mean correlation of masked frames with their neighbour of each rank, from 1."""
    overlap: npt.NDArray[np.float64]
    """(spaces, N): share of a frame's nearest neighbours in the truth space that are its nearest in this one."""


def model_path(folder: Path, winner: Trial, seed: int) -> Path:
    """Where a run keeps a winner that was trained again with a seed."""
    return folder / "models" / f"{winner.network}-{winner.trial:04d}-{seed}.safetensors"


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
    """Write a text file, whole or not at all.

    A byte of a file name that is not UTF-8 is written as its escape, `\\udcff` for 0xff.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


Checked = TypeVar("Checked")

Record = TypeVar(
    "Record",
    RunInfo,
    Evaluation,
    Uncertainty,
    Importance,
    Trial,
    Member,
    FrameScore,
    DistanceScore,
    Coverage,
    MethodScore,
)


def write_json(path: Path, record: RunInfo | Evaluation | Uncertainty) -> None:
    """Write one record as an indented JSON file."""
    write_text(path, json.dumps(dataclasses.asdict(record), indent=2) + "\n")


def read_json(path: Path, kind: type[Record]) -> Record:
    """Read what `write_json` wrote.

    Raises TypeError or ValueError for anything else.
    """
    return _typed(kind, json.loads(path.read_text(encoding="utf-8")))


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
    """Take the epochs of a retrained trial, of all its seeds, out of a file that `append_line` wrote."""
    kept = [epoch for epoch in read_retraining(path) if epoch.trial != trial]
    write_text(path, "".join(json.dumps(dataclasses.asdict(epoch)) + "\n" for epoch in kept))


def read_lines(path: Path) -> list[Epoch]:
    """Read the epochs of the search that `append_line` wrote; a last line that a crash cut short is left out."""
    return [_typed(Epoch, line) for line in _lines(path)]


def read_retraining(path: Path) -> list[RetrainEpoch]:
    """Read the epochs of retrained winners, likewise."""
    return [_typed(RetrainEpoch, line) for line in _lines(path)]


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def _typed(kind: type[Checked], values: dict[str, Any]) -> Checked:
    """Make a record of JSON values; raises TypeError for those of another type than its fields."""
    hints = typing.get_type_hints(kind)
    record = kind(**values)
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise TypeError(f"{name} is {value!r}")
    return record


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a JSON value is of a type; an int stands for a float."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if isinstance(hint, UnionType):
        return any(_fits(value, one) for one in arguments)
    if hint is type(None):
        return value is None
    if origin is dict:
        return isinstance(value, dict) and all(_fits(item, arguments[1]) for item in value.values())
    if origin in (list, tuple):
        return isinstance(value, list) and all(_fits(item, arguments[0]) for item in value)
    kinds = {float: (int, float), int: (int,), str: (str,), bool: (bool,)}
    return isinstance(value, kinds.get(hint, object)) and (hint is bool or not isinstance(value, bool))


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


Arrays = TypeVar("Arrays", Gallery, Latent)


def write_arrays(path: Path, record: Gallery | Latent) -> None:
    """Write a record of arrays and names as a compressed .npz without pickles."""
    values = {name: getattr(record, name) for name in record.__dataclass_fields__}
    arrays = {
        name: np.array(_printable(value), dtype=np.str_) if isinstance(value, (str, list)) else np.asarray(value)
        for name, value in values.items()
    }
    with replacing(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)


def _printable(text: str | list[str]) -> str | list[str]:
    """Escape the bytes of file names that are not UTF-8, as `write_text` does."""
    if isinstance(text, list):
        return [str(_printable(one)) for one in text]
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_arrays(path: Path, kind: type[Arrays]) -> Arrays:
    """Read what `write_arrays` wrote."""
    hints = typing.get_type_hints(kind)
    with np.load(path, allow_pickle=False) as arrays:
        values = {name: arrays[name] for name in hints}
    return kind(**{name: value.tolist() if hints[name] in PLAIN else value for name, value in values.items()})


PLAIN = (str, int, list[str])
"""Types of fields that are no arrays."""


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
