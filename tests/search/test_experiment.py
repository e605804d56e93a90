"""Stages of a run that need no Ray."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from records.tables import (
    RetrainEpoch,
    RunInfo,
    Trial,
    append_line,
    model_path,
    read_retraining,
    read_table,
    write_json,
    write_table,
)
from scattering.dataset import Dataset
from scattering.errors import InputError
from search import experiment, session
from search.experiment import _nothing
from search.settings import Budget, Settings, resolve
from search.winners import choose
from tests.search.conftest import ONE_CORE


def trial(number: int, state: str, value: float | None, network: str = "tunet", error: str = "") -> Trial:
    return Trial(number, network, state, 3, value, None, None, None, 1, 1.0, error=error)


def test_a_search_without_a_result_says_why() -> None:
    failed = [trial(0, "failed", None, error="out of memory"), trial(1, "failed", 0.1, error="the loss")]
    assert "out of memory; the loss" in _nothing(failed)
    assert "give more --minutes" in _nothing([])


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A searched run of all networks: three finished trials of each, the higher its number the worse."""
    monkeypatch.chdir(tmp_path)
    settings = resolve("all", "x", "quick", {})
    trials = [trial(4 * k + place, "finished", 0.1 + k, name)
              for k in range(3) for place, name in enumerate(settings.networks)]  # fmt: skip
    write_table(settings.folder / "trials.csv", trials)
    write_table(settings.folder / "winners.csv", choose(settings, trials))
    return settings


def retrained(
    monkeypatch: pytest.MonkeyPatch, diverging: set[tuple[int, int]], killed: int | None = None
) -> tuple[list[tuple[int, int]], list[float | None]]:
    """Stand in for Ray's part of retraining: (trial, seed) that it is asked for, and for how long."""
    asked: list[tuple[int, int]] = []
    times: list[float | None] = []

    def retrain(settings: Settings, winner: Trial, seed: int, data: object, share: object, budget: Budget) -> bool:
        asked.append((winner.trial, seed))
        times.append(budget.seconds)
        if winner.trial == killed:
            raise KeyboardInterrupt
        epoch = RetrainEpoch(winner.trial, 1, 0.1, 0.1, 0.1, 0.9, 1e-3, 1.0, seed, 1)
        append_line(settings.folder / "retraining.jsonl", epoch)
        if asked[-1] in diverging:
            return False
        model_path(settings.folder, winner, seed).parent.mkdir(exist_ok=True)
        model_path(settings.folder, winner, seed).touch()
        return True

    monkeypatch.setattr("search.retrain.retrain", retrain)
    return asked, times


def seedless(asked: list[tuple[int, int]]) -> list[int]:
    return [trial for trial, _ in asked]


def test_winners_share_the_time(run: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, times = retrained(monkeypatch, set())
    experiment._retrain(replace(run, minutes=10.0), None, ONE_CORE)  # type: ignore[arg-type]
    assert (seedless(asked), times) == ([0, 1, 2, 3], [pytest.approx(60.0)] * 4)


def test_winners_and_their_seeds_share_the_time(run: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, times = retrained(monkeypatch, set())
    settings = replace(run, minutes=10.0, top=2, seeds=3, seed=7)
    write_table(run.folder / "winners.csv", choose(settings, read_table(run.folder / "trials.csv", Trial)))
    experiment._retrain(settings, None, ONE_CORE)  # type: ignore[arg-type]
    assert sorted(asked) == [(trial, seed) for trial in range(8) for seed in (7, 8, 9)]
    assert times == [pytest.approx(10.0)] * 24


def test_a_winner_that_diverges_gives_way_to_the_next_of_its_network(
    run: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, _ = retrained(monkeypatch, {(1, 0), (2, 0), (6, 0), (10, 0)})
    experiment._retrain(run, None, ONE_CORE)  # type: ignore[arg-type]
    assert sorted(seedless(asked)) == [0, 1, 2, 3, 5, 6, 10]
    winners = read_table(run.folder / "winners.csv", Trial)
    assert [winner.trial for winner in winners] == [0, 5, 3]
    assert sorted(epoch.trial for epoch in read_retraining(run.folder / "retraining.jsonl")) == [0, 3, 5]


def test_a_winner_that_diverges_with_one_seed_is_given_up_with_all(
    run: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, _ = retrained(monkeypatch, {(1, 2)})
    experiment._retrain(replace(run, seeds=3), None, ONE_CORE)  # type: ignore[arg-type]
    models = {path.name for path in (run.folder / "models").iterdir()}
    assert len(models) == 12
    assert not [name for name in models if "-0001-" in name]
    assert [trial for trial in seedless(asked) if trial in (1, 5)] == [1, 1, 1, 5, 5, 5]


def test_a_resumed_retraining_tries_no_trial_twice(run: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, _ = retrained(monkeypatch, {(1, 0)}, killed=5)
    with pytest.raises(KeyboardInterrupt):
        experiment._retrain(run, None, ONE_CORE)  # type: ignore[arg-type]
    assert seedless(asked) == [0, 1, 5]
    asked, _ = retrained(monkeypatch, {(5, 0)})
    experiment._retrain(run, None, ONE_CORE)  # type: ignore[arg-type]
    assert seedless(asked) == [5, 9, 2, 3]


def test_more_winners_and_seeds_keep_what_is_trained(run: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, _ = retrained(monkeypatch, {(1, 0)})
    experiment._retrain(run, None, ONE_CORE)  # type: ignore[arg-type]
    info = RunInfo("x", "", "all", "quick", 0, "", run.as_dict(), {}, {}, {})
    write_json(run.folder / "run.json", info)
    (run.folder / "leaderboard.csv").touch()
    more = session.extended(run, {"top": 2, "seeds": 2})
    session.reopen(more, search=False)
    assert not (run.folder / "leaderboard.csv").exists()
    before = set(asked)
    asked, _ = retrained(monkeypatch, set())
    experiment._retrain(more, None, ONE_CORE)  # type: ignore[arg-type]
    assert not before & set(asked)
    winners = [winner.trial for winner in read_table(run.folder / "winners.csv", Trial)]
    # Trial 1 stays given up.
    assert winners == [0, 4, 5, 9, 2, 6, 3, 7]
    assert before - {(1, 0)} | set(asked) == {(trial, seed) for trial in winners for seed in (0, 1)}
    with pytest.raises(InputError, match="it has 2 seeds a winner, got --seeds 1"):
        session.extended(more, {"seeds": 1})


def test_without_any_winner_left_a_run_ends(run: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, _ = retrained(monkeypatch, {(trial, 0) for trial in range(12)})
    for _ in range(2):
        with pytest.raises(InputError, match="could be trained at full length: start a new run"):
            experiment._retrain(run, None, ONE_CORE)  # type: ignore[arg-type]
    assert sorted(seedless(asked)) == list(range(12))


def test_a_budget_that_cannot_be_leaves_a_finished_run_as_it_is(
    run: Settings, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GPU-hours without a GPU: were they kept, every later session would be refused for them."""
    monkeypatch.setattr("search.machines.cluster.cluster", nullcontext)
    monkeypatch.setattr("search.machines.storage.check_shared", lambda _: None)
    monkeypatch.setattr("search.machines.resources.resources", lambda: ONE_CORE)
    (run.folder / "run.json").write_text("{}")
    (run.folder / "leaderboard.csv").touch()
    data = replace(data, settings={**data.settings, "detector": "striped"})
    before = {path: path.read_bytes() for path in run.folder.iterdir()}
    with pytest.raises(InputError, match="--gpu-hours counts GPUs, got 1 without any"):
        experiment.run(replace(run, gpu_hours=1.0), data, {}, more=frozenset({"gpu_hours"}))
    assert {path: path.read_bytes() for path in run.folder.iterdir() if path.name != "optuna.journal"} == before


def test_a_new_winner_does_not_go_on_from_the_checkpoint_of_another(run: Settings) -> None:
    """An earlier winner's retraining was stopped, then the run was extended."""
    models = run.folder / "models"
    models.mkdir()
    for name in ("tunet-0000-0.pt", "msdnet-0001-0.pt", "msdnet-0001-0.safetensors"):
        (models / name).touch()
    for number in (0, 1):
        epoch = RetrainEpoch(number, 1, 0.1, 0.1, 0.1, 0.9, 1e-3, 1.0, 0, 1)
        append_line(run.folder / "retraining.jsonl", epoch)
    experiment._drop_models(run, [trial(0, "finished", 0.1), trial(5, "finished", 0.05, "msdnet")])
    assert [path.name for path in models.iterdir()] == ["tunet-0000-0.pt"]
    assert [epoch.trial for epoch in read_retraining(run.folder / "retraining.jsonl")] == [0]
