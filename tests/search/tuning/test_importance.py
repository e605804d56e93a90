"""What parameters matter, on studies whose answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from records.tables import Interim
from search.settings import Settings, resolve
from search.tuning.importance import importances, most_common
from search.tuning.studies import open_studies
from tests.courses import ladders


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    settings = resolve("tunet", "x", "quick", {"trials": 40, "task": "residual", "geometry": "no"})
    settings.folder.mkdir(parents=True)
    return settings


def search(settings: Settings, trials: int, epochs: int = 3) -> None:
    """A search in which the learning rate decides all but a little."""
    settings.files.ladders.write(list(ladders(settings).values()))
    (sampler,) = open_studies(settings, settings.ladders()).values()
    for _ in range(trials):
        proposal = sampler.propose()
        assert proposal is not None
        error = abs(math.log10(float(proposal.config["learning_rate"])) + 2.5) + 1e-3 * int(proposal.config["depth"])
        for epoch in range(1, epochs + 1):
            sampler.record(
                Interim(proposal.trial, epoch, epoch, 0.1, 0.1, error + 1 / epoch, 0.9, 1e-3, float(epoch))
            )
        sampler.conclude(proposal.trial, "finished" if proposal.trial % 3 else "stopped")


@pytest.mark.slow
def test_the_parameter_that_decides_is_found(settings: Settings) -> None:
    search(settings, 20)
    found = importances(settings)
    assert found[0].parameter == "learning_rate"
    assert found[0].importance > 0.8
    assert sum(row.importance for row in found) == pytest.approx(1)
    assert "task" not in {row.parameter for row in found}
    assert {(row.network, row.task, row.trials, row.epoch) for row in found} == {("tunet", "", 20, 3)}
    assert importances(settings) == found


def test_a_few_trials_tell_nothing(settings: Settings) -> None:
    search(settings, 9)
    assert importances(settings) == []


def test_trials_are_compared_after_equal_epochs() -> None:
    assert most_common([[1, 2]] * 10 + [[1, 2, 3, 4]] * 9) == 2
    assert most_common([[1, 2]] * 10 + [[1, 2, 3, 4]] * 10) == 4
    assert most_common([[1, 2]] * 9 + [[]] * 9) is None
