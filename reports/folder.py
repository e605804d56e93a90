"""The contents of a run folder, read for the report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zipfile import BadZipFile

from records.folder import RunFolder
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
from scattering.errors import InputError, one_line


@dataclass(frozen=True)
class Run:
    """Everything in a run folder; a part that does not exist yet is empty or None."""

    info: RunInfo
    ladders: list[Ladder]
    progress: list[Interim]
    trials: list[Trial]
    importances: list[Importance]
    winners: list[Trial]
    retraining: list[RetrainInterim]
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

    def rungs(self) -> dict[str, list[float]]:
        """Return the epochs after which trials of each network are compared; none where training time decides."""
        if self.info.settings.get("compare_at") == "seconds":
            return {}
        return {one.network: [rung / one.epoch for rung in one.rungs] for one in self.ladders}

    @property
    def simulated(self) -> bool:
        """Tell whether its frames are simulated."""
        return bool(self.info.data.get("simulated"))


def read(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        InputError: If it is no run folder, or a file in it cannot be read.
    """
    files = RunFolder(folder)
    if not files.info.exists():
        raise InputError(
            f"a run folder holds run.json, {folder} does not; give a folder that a search made, runs/<name>"
        )
    try:
        return Run(
            info=files.info.read(),
            ladders=files.ladders.read(),
            progress=files.progress.read(),
            trials=files.trials_so_far(),
            importances=files.importances.read(),
            winners=files.winners.read(),
            retraining=files.retraining.read(),
            test=files.evaluation.read_if_there(),
            members=files.ensemble.read(),
            frame_scores=files.scores.read(),
            distances=files.distances.read(),
            coverage=files.coverage.read(),
            scores=files.leaderboard.read(),
            gallery=files.gallery.read_if_there(),
            failures=files.failures.read_if_there(),
            latent=files.latent.read_if_there(),
            written=datetime.fromtimestamp(files.last_change(), UTC),
        )
    except (OSError, ValueError, TypeError, KeyError, BadZipFile) as error:
        raise InputError(
            f"a run folder holds only what the search wrote, {folder} does not ({one_line(error)}); run it anew"
        ) from error
