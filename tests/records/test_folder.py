"""The stage of a run is told by its files alone, in one place."""

from __future__ import annotations

from pathlib import Path

import pytest

from records.folder import RunFolder, Stage
from records.tables import MethodScore, Trial

WINNER = Trial(3, "tunet", "finished", 2, 0.1, 0.9, 0.1, 0.1, 1, 1.0)
SCORE = MethodScore("TUNet", "network", 0.1, 0.9, 0.1, 0.9, None, None, None, None, 1, 1.0, 1.0)
SEEDS = (0, 1)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path)
    run.models.mkdir()
    return run


def test_a_run_goes_from_stage_to_stage(run: RunFolder) -> None:
    assert run.stage(SEEDS) is Stage.SEARCHING
    run.winners.write([WINNER])
    assert run.stage(SEEDS) is Stage.RETRAINING
    run.model(WINNER, 0).touch()
    assert run.untrained(SEEDS) == [(WINNER, 1)]
    run.model(WINNER, 1).touch()
    assert run.stage(SEEDS) is Stage.MEASURING
    run.leaderboard.write([SCORE])
    assert run.stage(SEEDS) is Stage.DONE
    # A run that is given another seed has something to train again.
    assert run.stage((0, 1, 2)) is Stage.RETRAINING
    run.winners.remove()
    assert run.stage(SEEDS) is Stage.SEARCHING


def test_files_that_are_not_there_are_empty(run: RunFolder) -> None:
    assert (run.trials.read(), run.progress.read(), run.retraining.read()) == ([], [], [])
    assert (run.evaluation.read_if_there(), run.gallery.read_if_there()) == (None, None)
    run.latent.remove()


def test_each_name_stands_in_one_file_of_the_code() -> None:
    root = Path(__file__).parents[2]
    names = [path.name for value in vars(RunFolder(Path("x"))).values() if (path := getattr(value, "path", None))]
    assert "winners.csv" in names
    for package in ("records", "reports", "search"):
        for source in (root / package).rglob("*.py"):
            text = source.read_text(encoding="utf-8")
            assert source.name == "folder.py" or not [name for name in names if f'"{name}"' in text], source
