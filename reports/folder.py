"""What a run folder holds, read for the report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zipfile import BadZipFile

from records.tables import (
    Coverage,
    DistanceScore,
    Epoch,
    Evaluation,
    FrameScore,
    Gallery,
    Importance,
    Latent,
    Member,
    MethodScore,
    RetrainEpoch,
    RunInfo,
    Trial,
    last_change,
    read_arrays,
    read_json,
    read_lines,
    read_retraining,
    read_table,
    trials_so_far,
)
from scattering.errors import InputError, one_line


@dataclass(frozen=True)
class Run:
    """Everything in a run folder; a part that does not exist yet is empty or None."""

    info: RunInfo
    progress: list[Epoch]
    trials: list[Trial]
    importances: list[Importance]
    winners: list[Trial]
    retraining: list[RetrainEpoch]
    test: Evaluation | None
    members: list[Member]
    frame_scores: list[FrameScore]
    distances: list[DistanceScore]
    coverage: list[Coverage]
    scores: list[MethodScore]
    gallery: Gallery | None
    failures: Gallery | None
    latent: Latent | None
    written: datetime
    """When a file of it was last written, UTC."""

    @property
    def simulated(self) -> bool:
        """Whether its frames are simulated."""
        return bool(self.info.data.get("simulated"))


def read(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        InputError: If it is no run folder, or a file in it cannot be read.
    """
    if not (folder / "run.json").is_file():
        raise InputError(
            f"a run folder holds run.json, {folder} does not; give a folder that a search made, runs/<name>"
        )
    test, gallery, failures, latent = (
        folder / name for name in ("evaluation.json", "gallery.npz", "failures.npz", "latent.npz")
    )
    try:
        return Run(
            info=read_json(folder / "run.json", RunInfo),
            progress=read_lines(folder / "progress.jsonl"),
            trials=trials_so_far(folder),
            importances=read_table(folder / "importances.csv", Importance),
            winners=read_table(folder / "winners.csv", Trial),
            retraining=read_retraining(folder / "retraining.jsonl"),
            test=read_json(test, Evaluation) if test.exists() else None,
            members=read_table(folder / "ensemble.csv", Member),
            frame_scores=read_table(folder / "scores.csv", FrameScore),
            distances=read_table(folder / "distances.csv", DistanceScore),
            coverage=read_table(folder / "coverage.csv", Coverage),
            scores=read_table(folder / "leaderboard.csv", MethodScore),
            gallery=read_arrays(gallery, Gallery) if gallery.exists() else None,
            failures=read_arrays(failures, Gallery) if failures.exists() else None,
            latent=read_arrays(latent, Latent) if latent.exists() else None,
            written=datetime.fromtimestamp(last_change(folder), UTC),
        )
    except (OSError, ValueError, TypeError, KeyError, BadZipFile) as error:
        raise InputError(
            f"a run folder holds only what the search wrote, {folder} does not ({one_line(error)}); run it anew"
        ) from error
