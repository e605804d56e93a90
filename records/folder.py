"""The folder of a run: each of its files, by name and type, and the stage that the run is in.

::

    runs/<name>/
        run.json            settings, versions, data fingerprint: `RunInfo`
        optuna.journal      the study of each network: what was proposed and how it ended
        ladders.csv         how long the trials of each study are, and where they are compared: `Ladder`
        progress.jsonl      one line a report of a trial, in the order of arrival: `Interim`
        trials.csv          one row a trial: `Trial`
        trials/0007.log     the log of a trial, for people; 0007.pt while it runs: its weights
        importances.csv     the importance of each searched parameter: `Importance`
        given_up.csv        winners that could not be trained at full length: `Trial`
        winners.csv         the best trials of each network, to be retrained: `Trial`
        retraining.jsonl    one line a report of a retrained winner: `RetrainInterim`
        models/<network>-<trial>-<seed>.safetensors
        evaluation.json     a description of the test set: `Evaluation`
        ensemble.csv        the models that the ensemble averages: `Member`
        scores.csv          one row a method and test frame: `FrameScore`
        distances.csv       one row a method and distance from the gap's edge: `DistanceScore`
        uncertainty.json    the uncertainty of fills, calibrated: `inpainting.uncertainty.Uncertainty`
        unlocated.json      the same for frames of unknown geometry, of a model that looks at rings
        coverage.csv        the share of test pixels within the stated intervals: `Coverage`
        gallery.npz         test frames from the best to the worst, filled by every method: `Gallery`
        failures.npz        test frames at which every method fails: `Gallery`
        latent.npz          neighbours in the latent spaces of masked, true and filled frames: `Latent`
        model.safetensors   the model that fills users' frames: `inpainting.model_file`
        leaderboard.csv     one row a method, pooled over the test set: `MethodScore`
        report/index.html
        tensorboard/        one folder of events a trial, with --track tensorboard
        mlflow.db           with --track mlflow
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

from inpainting import MODEL
from inpainting.uncertainty import Uncertainty
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
)
from records.tables import (
    Coverage,
    DistanceScore,
    Evaluation,
    FrameScore,
    Gallery,
    Importance,
    Interim,
    Ladder,
    Latent,
    Member,
    MethodScore,
    RetrainInterim,
    RunInfo,
    Trial,
)

Row = TypeVar("Row", Importance, Ladder, Trial, Member, FrameScore, DistanceScore, Coverage, MethodScore)
One = TypeVar("One", RunInfo, Evaluation, Uncertainty)
Pictures = TypeVar("Pictures", Gallery, Latent)


class Stage(StrEnum):
    """The part of a run that is under way."""

    SEARCHING = "searching"
    RETRAINING = "retraining"
    MEASURING = "measuring"
    DONE = "done"


class File:
    """A file that may not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Tell whether it is there."""
        return self.path.exists()

    def remove(self) -> None:
        """Delete it, if it is there."""
        self.path.unlink(missing_ok=True)


class Table(File, Generic[Row]):
    """Rows as CSV."""

    def __init__(self, path: Path, kind: type[Row]) -> None:
        super().__init__(path)
        self.kind: type[Row] = kind

    def read(self) -> list[Row]:
        """Return its rows; none before it is written."""
        return read_table(self.path, self.kind)

    def write(self, rows: Sequence[Row]) -> None:
        """Write all rows."""
        write_table(self.path, list(rows))


class Json(File, Generic[One]):
    """One record as JSON."""

    def __init__(self, path: Path, kind: type[One]) -> None:
        super().__init__(path)
        self.kind: type[One] = kind

    def read(self) -> One:
        """Return the record; raises FileNotFoundError before it is written."""
        record: One = read_json(self.path, self.kind)
        return record

    def read_if_there(self) -> One | None:
        """Return the record; None before it is written."""
        return self.read() if self.exists() else None

    def write(self, record: One) -> None:
        """Write the record."""
        write_json(self.path, record)


class Arrays(File, Generic[Pictures]):
    """One record of arrays."""

    def __init__(self, path: Path, kind: type[Pictures]) -> None:
        super().__init__(path)
        self.kind: type[Pictures] = kind

    def read_if_there(self) -> Pictures | None:
        """Return the record; None before it is written."""
        return read_arrays(self.path, self.kind) if self.exists() else None

    def write(self, record: Pictures) -> None:
        """Write the record."""
        write_arrays(self.path, record)


class Progress(File):
    """The interim results of the search, line by line."""

    def read(self) -> list[Interim]:
        """Return those so far."""
        return read_lines(self.path)

    def append(self, interim: Interim) -> None:
        """Add one."""
        append_line(self.path, interim)


class Retraining(File):
    """The interim results of retrained winners, line by line."""

    def read(self) -> list[RetrainInterim]:
        """Return those so far."""
        return read_retraining(self.path)

    def append(self, interim: RetrainInterim) -> None:
        """Add one."""
        append_line(self.path, interim)

    def drop(self, trial: int) -> None:
        """Take out those of a trial, of all its seeds."""
        drop_trial(self.path, trial)


class RunFolder:
    """All files of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.info = Json(path / "run.json", RunInfo)
        self.journal = path / "optuna.journal"
        self.ladders = Table(path / "ladders.csv", Ladder)
        self.progress = Progress(path / "progress.jsonl")
        self.trials = Table(path / "trials.csv", Trial)
        self.importances = Table(path / "importances.csv", Importance)
        self.given_up = Table(path / "given_up.csv", Trial)
        self.winners = Table(path / "winners.csv", Trial)
        self.retraining = Retraining(path / "retraining.jsonl")
        self.models = path / "models"
        self.evaluation = Json(path / "evaluation.json", Evaluation)
        self.ensemble = Table(path / "ensemble.csv", Member)
        self.scores = Table(path / "scores.csv", FrameScore)
        self.distances = Table(path / "distances.csv", DistanceScore)
        self.uncertainty = Json(path / "uncertainty.json", Uncertainty)
        self.unlocated = Json(path / "unlocated.json", Uncertainty)
        self.coverage = Table(path / "coverage.csv", Coverage)
        self.gallery = Arrays(path / "gallery.npz", Gallery)
        self.failures = Arrays(path / "failures.npz", Gallery)
        self.latent = Arrays(path / "latent.npz", Latent)
        self.model_file = File(path / MODEL)
        self.leaderboard = Table(path / "leaderboard.csv", MethodScore)
        self.page = path / "report" / "index.html"

    def checkpoint(self, trial: int) -> Path:
        """Return the path of a trial's training state."""
        return self.path / "trials" / f"{trial:04d}.pt"

    def log(self, trial: int) -> Path:
        """Return the path of a trial's log."""
        return self.checkpoint(trial).with_suffix(".log")

    def model(self, winner: Trial, seed: int) -> Path:
        """Return the path of a winner that was retrained with a seed."""
        return self.models / f"{winner.network}-{winner.trial:04d}-{seed}.safetensors"

    def untrained(self, seeds: Sequence[int]) -> list[tuple[Trial, int]]:
        """Return the winners, each with each of the seeds, that have no model yet."""
        return [
            (winner, seed)
            for winner in self.winners.read()
            for seed in seeds
            if not self.model(winner, seed).exists()
        ]

    def stage(self, seeds: Sequence[int]) -> Stage:
        """Return the stage of a run that retrains each winner with these seeds."""
        if not self.winners.read():
            return Stage.SEARCHING
        if self.untrained(seeds):
            return Stage.RETRAINING
        return Stage.DONE if self.leaderboard.exists() else Stage.MEASURING

    def trials_so_far(self) -> list[Trial]:
        """Return the trials of a run; before its search is over, those that have not ended are `running`.

        trials.csv is written when a trial ends, and calls the others interrupted: their last epochs are in
        progress.jsonl. Network and configuration of a trial that began later are not known, "" and {}.
        """
        trials = {trial.trial: trial for trial in self.trials.read()}
        if self.winners.exists():
            return list(trials.values())
        last = {epoch.trial: epoch for epoch in self.progress.read()}
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

    def last_change(self) -> float:
        """Return the time at which a file, or the log or checkpoint of a trial, was last written, in s since 1970."""
        times = []
        for path in (*self.path.iterdir(), *self.path.glob("trials/*")):
            # Temporary files of those that write meanwhile go as they come.
            with suppress(FileNotFoundError):
                if path.is_file():
                    times.append(path.stat().st_mtime)
        return max(times, default=0.0)
