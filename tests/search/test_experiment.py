"""Stages of a run that need no Ray."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from records.files import append_line, read_retraining, read_table, write_json, write_table
from records.folder import RunFolder
from records.tables import RetrainInterim, RunInfo, Trial
from scattering.dataset import Dataset
from scattering.errors import InputError
from search import experiment, session
from search.experiment import _nothing
from search.settings import SEARCH_SHARE, UNLIMITED, Asked, Budget, Settings, resolve
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


class Trainer:
    """Stands in for Ray's part of retraining, and keeps what it is asked for."""

    def __init__(self, files: RunFolder, diverging: set[tuple[int, int]], killed: int | None = None) -> None:
        self.files, self.diverging, self.killed = files, diverging, killed
        self.asked: list[tuple[int, int]] = []
        self.times: list[float | None] = []

    def __call__(self, trainings: Sequence[tuple[Trial, int]], budget: Budget) -> list[bool]:
        return [self.train(winner, seed, budget) for winner, seed in trainings]

    def train(self, winner: Trial, seed: int, budget: Budget) -> bool:
        self.asked.append((winner.trial, seed))
        self.times.append(budget.seconds)
        if winner.trial == self.killed:
            raise KeyboardInterrupt
        self.files.retraining.append(RetrainInterim(winner.trial, 1, 1, 0.1, 0.1, 0.1, 0.9, 1e-3, 1.0, seed, 1))
        if self.asked[-1] in self.diverging:
            return False
        model = self.files.model(winner, seed)
        model.parent.mkdir(exist_ok=True)
        model.touch()
        return True


def retrained(
    settings: Settings, diverging: set[tuple[int, int]], killed: int | None = None
) -> tuple[list[tuple[int, int]], list[float | None]]:
    """Retrain the winners of a run; returns (trial, seed) of each training, and the time that it was given."""
    trainer = Trainer(settings.files, diverging, killed)
    with suppress(KeyboardInterrupt):
        experiment.retrain_winners(settings, trainer, settings.budget(1 - SEARCH_SHARE))
    return trainer.asked, trainer.times


def seedless(asked: list[tuple[int, int]]) -> list[int]:
    return [trial for trial, _ in asked]


def test_winners_share_the_time(run: Settings) -> None:
    asked, times = retrained(replace(run, minutes=10.0), set())
    assert (seedless(asked), times) == ([0, 1, 2, 3], [pytest.approx(60.0)] * 4)


def test_winners_and_their_seeds_share_the_time(run: Settings) -> None:
    settings = replace(run, minutes=10.0, top=2, seeds=3, seed=7)
    write_table(run.folder / "winners.csv", choose(settings, read_table(run.folder / "trials.csv", Trial)))
    asked, times = retrained(settings, set())
    assert sorted(asked) == [(trial, seed) for trial in range(8) for seed in (7, 8, 9)]
    assert times == [pytest.approx(10.0)] * 24


def test_winners_are_trained_side_by_side_for_as_much_longer(run: Settings) -> None:
    """Four winners, two or three at once: two rounds, of half the time each."""
    for at_once in (2, 3, 4):
        settings = replace(run, minutes=10.0)
        trainer = Trainer(settings.files, set())
        for path in (run.folder / "models").glob("*"):
            path.unlink()
        experiment.retrain_winners(settings, trainer, settings.budget(1 - SEARCH_SHARE), at_once)
        rounds = 1 if at_once == 4 else 2
        assert trainer.times == [pytest.approx(240.0 / rounds)] * 4


def test_two_seeds_that_diverge_together_are_one_winner_given_up(run: Settings) -> None:
    settings = replace(run, seeds=2)
    trainer = Trainer(settings.files, {(1, 0), (1, 1)})
    experiment.retrain_winners(settings, trainer, UNLIMITED, at_once=4)
    assert [lost.trial for lost in settings.files.given_up.read()] == [1]
    assert {winner.trial for winner in settings.files.winners.read()} == {0, 5, 2, 3}


def test_a_winner_that_diverges_gives_way_to_the_next_of_its_network(run: Settings) -> None:
    asked, _ = retrained(run, {(1, 0), (2, 0), (6, 0), (10, 0)})
    assert sorted(seedless(asked)) == [0, 1, 2, 3, 5, 6, 10]
    winners = read_table(run.folder / "winners.csv", Trial)
    assert [winner.trial for winner in winners] == [0, 5, 3]
    assert sorted(epoch.trial for epoch in read_retraining(run.folder / "retraining.jsonl")) == [0, 3, 5]


def test_a_winner_that_diverges_with_one_seed_is_given_up_with_all(run: Settings) -> None:
    asked, _ = retrained(replace(run, seeds=3), {(1, 2)})
    models = {path.name for path in (run.folder / "models").iterdir()}
    assert len(models) == 12
    assert not [name for name in models if "-0001-" in name]
    assert [trial for trial in seedless(asked) if trial in (1, 5)] == [1, 1, 1, 5, 5, 5]


def test_a_resumed_retraining_tries_no_trial_twice(run: Settings) -> None:
    asked, _ = retrained(run, {(1, 0)}, killed=5)
    assert seedless(asked) == [0, 1, 5]
    asked, _ = retrained(run, {(5, 0)})
    assert seedless(asked) == [5, 9, 2, 3]


def test_more_winners_and_seeds_keep_what_is_trained(run: Settings) -> None:
    asked, _ = retrained(run, {(1, 0)})
    info = RunInfo("x", "", "all", "quick", 0, "", run.as_dict(), {}, {}, {})
    write_json(run.folder / "run.json", info)
    (run.folder / "leaderboard.csv").touch()
    more = session.extended(run, {"top": 2, "seeds": 2})
    session.reopen(more, search=False)
    assert not (run.folder / "leaderboard.csv").exists()
    before = set(asked)
    asked, _ = retrained(more, set())
    assert not before & set(asked)
    winners = [winner.trial for winner in read_table(run.folder / "winners.csv", Trial)]
    # Trial 1 stays given up.
    assert winners == [0, 4, 5, 9, 2, 6, 3, 7]
    assert before - {(1, 0)} | set(asked) == {(trial, seed) for trial in winners for seed in (0, 1)}
    with pytest.raises(InputError, match="it has 2 seeds a winner, got --seeds 1"):
        session.extended(more, {"seeds": 1})


def test_without_any_winner_left_a_run_ends(run: Settings) -> None:
    trainer = Trainer(run.files, {(trial, 0) for trial in range(12)})
    for _ in range(2):
        with pytest.raises(InputError, match="could be trained at full length: start a new run"):
            experiment.retrain_winners(run, trainer, UNLIMITED)
    assert sorted(seedless(trainer.asked)) == list(range(12))


def test_a_budget_that_cannot_be_leaves_a_finished_run_as_it_is(
    run: Settings, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GPU-hours without a GPU: were they kept, every later session would be refused for them."""
    monkeypatch.setattr("search.machines.cluster.cluster", nullcontext)
    monkeypatch.setattr("search.machines.storage.check_shared", lambda _: None)
    monkeypatch.setattr("search.machines.resources.resources", lambda **_: ONE_CORE)
    (run.folder / "run.json").write_text("{}")
    (run.folder / "leaderboard.csv").touch()
    data = replace(data, settings={**data.settings, "detector": "striped"})
    before = {path: path.read_bytes() for path in run.folder.iterdir()}
    with pytest.raises(InputError, match="--gpu-hours counts GPUs, got 1 without any"):
        experiment.run(
            replace(run, gpu_hours=1.0), data, Asked(None, None, None, None), more=frozenset({"gpu_hours"})
        )
    assert {path: path.read_bytes() for path in run.folder.iterdir() if path.name != "optuna.journal"} == before


def test_a_new_winner_does_not_go_on_from_the_checkpoint_of_another(run: Settings) -> None:
    """An earlier winner's retraining was stopped, then the run was extended."""
    models = run.folder / "models"
    models.mkdir()
    for name in ("tunet-0000-0.pt", "msdnet-0001-0.pt", "msdnet-0001-0.safetensors"):
        (models / name).touch()
    for number in (0, 1):
        epoch = RetrainInterim(number, 1, 1, 0.1, 0.1, 0.1, 0.9, 1e-3, 1.0, 0, 1)
        append_line(run.folder / "retraining.jsonl", epoch)
    experiment._drop_models(run, [trial(0, "finished", 0.1), trial(5, "finished", 0.05, "msdnet")])
    assert [path.name for path in models.iterdir()] == ["tunet-0000-0.pt"]
    assert [epoch.trial for epoch in read_retraining(run.folder / "retraining.jsonl")] == [0]
