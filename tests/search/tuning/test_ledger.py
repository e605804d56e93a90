"""Several networks in one search: their trials, their time, the paper's points."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from records.files import read_table
from records.networks import TITLES
from records.tables import Trial
from search.machines.resources import Resources
from search.settings import Budget, Settings, resolve
from search.tuning.ledger import RETRIES, Ledger
from search.tuning.sampler import Proposal
from search.tuning.studies import defaults_of, first_trials, full_length, open_studies, space_of
from spaces import SPACES
from spaces.paper import POINTS
from tests.courses import ladders
from tests.search.conftest import COST, ONE_CORE
from trainables.messages import Failed, Infeasible, Reported


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings(network: str = "all", **given: Any) -> Settings:
    made = resolve(network, "run", "standard", given)
    if "task" not in given:
        # One study a network.
        made = replace(made, task=None)
    made.folder.mkdir(parents=True, exist_ok=True)
    return made


def open_ledger(made: Settings) -> Ledger:
    return Ledger(made, ladders(made), open_studies(made, ladders(made)), ONE_CORE)


def report(ledger: Ledger, proposal: Proposal, epoch: int, value: float, seconds: float) -> bool:
    values = {"train_loss": 0.1, "val_loss": 0.1, "val_gap_l1": value, "val_gap_cc": 0.9, "learning_rate": 1e-3}
    return ledger.record(
        Reported(proposal.trial, COST, {"windows": epoch, "epoch": epoch, "seconds": seconds, **values})
    )


def next_trial(ledger: Ledger) -> Proposal:
    proposal = ledger.propose()
    assert proposal is not None
    return proposal


def test_the_next_trial_goes_to_the_network_that_had_the_least_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    ledger = open_ledger(settings(trials=50))
    cost = dict(zip(TITLES, (1.0, 5.0, 2.0, 1.5), strict=True))
    spent = dict.fromkeys(TITLES, 0.0)
    for _ in range(20):
        proposal = next_trial(ledger)
        network = ledger.network(proposal.trial)
        # The least so far, whatever the networks cost.
        assert spent[network] == min(spent.values())
        seconds = 3 * cost[network]
        now += seconds
        for epoch in (1, 2, 3):
            report(ledger, proposal, epoch, 0.1, epoch * cost[network])
        ledger.conclude(proposal.trial)
        spent[network] += seconds
    assert max(spent.values()) - min(spent.values()) <= 3 * max(cost.values())


def test_running_and_crashed_trials_count_as_time_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    ledger = open_ledger(settings(trials=50))
    at_once = [ledger.network(next_trial(ledger).trial) for _ in range(8)]
    assert sorted(at_once) == sorted([*TITLES, *TITLES])
    now += 60
    for trial in list(ledger.began):
        if ledger.network(trial) == "pconv":
            ledger.conclude(trial)  # crashed before its first epoch
    now += 1
    # Its two trials took 60 s each, those of the others 61 s and counting.
    assert ledger.network(next_trial(ledger).trial) == "pconv"
    now += 30
    # 60 + 60 + 30 against 91 + 91: the new one counts as well.
    assert [ledger.network(next_trial(ledger).trial) for _ in range(2)] == ["pconv", "pconv"]
    now += 40
    # 150 + 3 x 40 against 182 + 2 x 40.
    assert ledger.network(next_trial(ledger).trial) != "pconv"


def test_a_number_is_one_trial_of_one_network_for_ever() -> None:
    made = settings(trials=3)
    before = open_ledger(made)
    first = [next_trial(before) for _ in range(7)]
    after = open_ledger(made)
    again = [next_trial(after) for _ in range(12)]
    assert after.propose() is None
    assert {p.trial for p in again} == set(range(12))
    known = {p.trial: p.config for p in again}
    for proposal in first:
        assert known[proposal.trial] == proposal.config
        assert set(proposal.config) == set(SPACES[after.network(proposal.trial)]("standard"))


def test_networks_are_halved_apart() -> None:
    """A slow network's trials are not measured against another's."""
    ledger = open_ledger(settings(trials=20, epochs=9))
    stopped = dict.fromkeys(TITLES, 0)
    for _ in range(16):
        proposal = next_trial(ledger)
        network = ledger.network(proposal.trial)
        value = (0.1 if network == "tunet" else 0.9) + 0.001 * proposal.trial
        assert not report(ledger, proposal, 1, value, 1.0)
        stopped[network] += report(ledger, proposal, 2, value, 2.0)
    # Each network's first trial is its best here, and passes; without rungs of their own only TUNets would.
    assert all(0 < count < 4 for count in stopped.values())


@pytest.mark.parametrize("network", POINTS)
def test_points_of_the_paper_and_no_others(network: str) -> None:
    made = settings(network, points="paper")
    assert (made.schedule, made.minutes) == ("step", None)
    ledger = open_ledger(made)
    proposals = [next_trial(ledger) for _ in POINTS[network]]
    assert ledger.propose() is None
    assert [(p.config, p.windows) for p in proposals] == [(p.config, p.epochs) for p in POINTS[network]]
    # Nothing is stopped early, however bad.
    assert not any(report(ledger, p, epoch, 0.1 * (1 + p.trial), 1.0) for p in proposals for epoch in (1, 3, 9, 27))
    jobs = [ledger.job(proposal, 600.0) for proposal in proposals]
    assert all(job.schedule == "step" for job in jobs)


def test_points_of_the_paper_begin_a_search(preset: str = "quick") -> None:
    made = replace(resolve("all", "run", preset, {"points": "paper,search", "trials": 2}), task=None)
    made.folder.mkdir(parents=True)
    ledger = open_ledger(made)
    proposals = [next_trial(ledger) for _ in range(8 + sum(map(len, POINTS.values())))]
    assert ledger.propose() is None
    for network in TITLES:
        points = POINTS.get(network, ())
        mine = sorted((p for p in proposals if ledger.network(p.trial) == network), key=lambda p: p.trial)
        assert [p.config for p in mine[: len(points)]] == [p.config | ({"geometry": "no"}) for p in points]
        assert {p.windows for p in mine} == {made.epochs}
        # As many are proposed as ever, in the space that holds the points, or that of the preset without any.
        assert len(mine) == 2 + len(points)
        space = SPACES[network]("paper" if points else preset)
        assert open_studies(made, ladders(made))[network].space == space


def test_each_task_is_searched_for_itself_where_both_are_asked_for() -> None:
    made = settings("tunet", task="both", trials=3, points="paper,search")
    ledger = open_ledger(made)
    proposals = [next_trial(ledger) for _ in range(2 * 3 + len(POINTS["tunet"]))]
    assert ledger.propose() is None
    tasks = {proposal.trial: proposal.config["task"] for proposal in proposals}
    # They take turns; the paper's points are blind.
    assert all(task == ("blind", "residual")[number % 2] for number, task in tasks.items())
    assert sum(task == "blind" for task in tasks.values()) == 3 + len(POINTS["tunet"])
    assert {ledger.network(number) for number in tasks} == {"tunet"}
    # A rung compares trials of one task alone.
    first = {task: next(p for p in proposals if p.config["task"] == task) for task in ("blind", "residual")}
    assert not report(ledger, first["residual"], 2, 0.1, 1.0)
    assert not report(ledger, first["blind"], 2, 0.9, 1.0)
    points = {trial.trial: trial.point for trial in ledger.trials()}
    assert [points[number] for number in sorted(points) if points[number] is not None] == list(range(9))


def test_each_point_of_the_paper_has_its_own_end() -> None:
    ledger = open_ledger(settings("msdnet", points="paper"))
    proposals = [next_trial(ledger) for _ in POINTS["msdnet"]]
    for proposal in proposals:
        report(ledger, proposal, 180, 0.1, 1.0)
        ledger.conclude(proposal.trial)
    states = {trial.trial: trial.state for trial in ledger.trials()}
    assert states == {0: "interrupted", 1: "interrupted", 2: "interrupted", 3: "finished", 4: "finished"}
    # A winner is retrained for as long as its point was to be trained, wherever it was interrupted.
    trials = read_table(ledger.settings.folder / "trials.csv", Trial)
    assert {trial.trial: full_length(ledger.settings, trial) for trial in trials} == {
        0: 300, 1: 300, 2: 300, 3: 180, 4: 180
    }  # fmt: skip


def test_a_reopened_search_knows_each_trials_epochs() -> None:
    made = settings(trials=3)
    before = open_ledger(made)
    first = [next_trial(before) for _ in range(6)]
    for epochs, proposal in enumerate(first):
        for epoch in range(1, epochs + 1):
            report(before, proposal, epoch, 0.1 / epoch, float(epoch))
    after = open_ledger(made)
    unfinished = [proposal for study in after.samplers.values() for proposal in study.unfinished]
    # ASHA may have stopped some meanwhile: these are not unfinished.
    known = {proposal.trial: proposal.known_windows for proposal in unfinished}
    assert known.items() <= {proposal.trial: epochs for epochs, proposal in enumerate(first)}.items()
    assert len(known) >= 4
    ended = {trial.trial for trial in after.ended()}
    assert ended.isdisjoint(known)


def test_a_job_says_whose_network_it_is() -> None:
    ledger = open_ledger(settings("tunet", implementation="pymsdtorch"))
    assert ledger.job(next_trial(ledger), 600.0).implementation == "pymsdtorch"


def test_gpu_hours_are_the_hours_of_all_gpus_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two trials on half a GPU each for an hour: one GPU-hour."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    made = settings("tunet", gpu_hours=2.0)
    assert made.minutes is None
    half = Resources(cpus=1, gpus=0.5, memory=None, parallel=2)
    ledger = Ledger(made, ladders(made), open_studies(made, ladders(made)), half, made.budget(0.5))
    first, second = next_trial(ledger), next_trial(ledger)
    now += 3000
    report(ledger, first, 1, 0.1, 2900.0)
    assert not ledger.is_over()
    now += 599
    assert not ledger.is_over()
    now += 2
    assert ledger.is_over()
    assert not ledger.is_over(grace=0.1)
    ledger.conclude(first.trial)
    ledger.conclude(second.trial)
    # What earlier sessions spent counts, as far as it was recorded.
    again = Ledger(made, ladders(made), open_studies(made, ladders(made)), half, made.budget(0.5))
    assert again.seconds() == {first.trial: 2900.0}


def test_a_trial_whose_process_died_is_taken_up_again_three_times() -> None:
    ledger = open_ledger(settings("tunet", trials=2))
    first = next_trial(ledger)
    report(ledger, first, 1, 0.1, 1.0)
    for _ in range(3):
        ledger.crashed(first.trial, "The actor died.\nits node is gone")
        ledger.conclude(first.trial)
        again = next_trial(ledger)
        assert (again.trial, again.config, again.known_windows) == (first.trial, first.config, 1)
    # It comes to an epoch: what was is forgotten, but that it has died.
    report(ledger, again, 2, 0.1, 2.0)
    ledger.crashed(first.trial, "its node is gone, too")
    ledger.conclude(first.trial)
    assert next_trial(ledger).trial == 1
    states = {trial.trial: (trial.state, trial.error) for trial in ledger.trials()}
    assert states[0] == ("failed", "its node is gone, too")
    assert "its node is gone" in ledger.run.log(0).read_text()


def test_what_fails_by_itself_is_not_taken_up_again() -> None:
    ledger = open_ledger(settings("tunet", trials=4))
    for state in ("failed", "infeasible"):
        proposal = next_trial(ledger)
        number = proposal.trial
        ledger.record(Failed(number, "so it is") if state == "failed" else Infeasible(number, "so it is", -1))
        ledger.conclude(proposal.trial)
        assert next_trial(ledger).trial != proposal.trial
        assert next(t for t in ledger.trials() if t.trial == proposal.trial).state == state


def test_a_process_ended_for_lack_of_memory_makes_its_trial_infeasible() -> None:
    """Ray ends processes on nodes that run out of memory; what is left when all tries are spent is a constraint."""
    ledger = open_ledger(settings("tunet", trials=1))
    for _ in range(4):
        proposal = next_trial(ledger)
        ledger.crashed(proposal.trial, "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low")
        ledger.conclude(proposal.trial)
    (trial,) = ledger.trials()
    assert trial.state == "infeasible"
    (known,) = ledger.samplers["tunet"].study.trials[:1]
    assert (known.state.name, known.constraints["memory_gb"] > 0) == ("PRUNED", True)


def test_a_trial_whose_process_died_is_recorded_once_and_its_death_forgotten() -> None:
    """Taken up again it reports what its checkpoint holds once more."""
    ledger = open_ledger(settings("tunet", epochs=2))
    proposal = next_trial(ledger)
    report(ledger, proposal, 1, 0.3, 1.0)
    ledger.crashed(proposal.trial, "worker died")
    report(ledger, proposal, 1, 0.3, 1.0)
    assert [epoch.epoch for epoch in ledger.run.progress.read()] == [1]
    ledger.conclude(proposal.trial)
    assert [(trial.state, trial.error) for trial in ledger.trials()] == [("interrupted", "")]


def test_how_a_trial_whose_process_died_for_good_ended() -> None:
    ledger = open_ledger(settings("tunet", epochs=2))
    for story in ("Traceback\n  ray.exceptions.OutOfMemoryError: killed\n", "Traceback\n  worker died\n", ""):
        proposal = next_trial(ledger)
        ledger.run.checkpoint(proposal.trial).parent.mkdir(exist_ok=True)
        ledger.run.checkpoint(proposal.trial).touch()
        ledger.deaths[proposal.trial] = RETRIES
        ledger.crashed(proposal.trial, story)
        ledger.conclude(proposal.trial)
        assert not ledger.run.checkpoint(proposal.trial).exists()
    assert {trial.trial: (trial.state, trial.error) for trial in ledger.trials()} == {
        0: ("infeasible", "its process was ended for lack of memory on its node"),
        1: ("failed", "worker died"),
        2: ("failed", "ended without a word"),
    }


def test_a_trial_that_is_stopped_when_time_is_over_was_stopped() -> None:
    made = settings("tunet", epochs=9)
    ledger = Ledger(made, ladders(made), open_studies(made, ladders(made)), ONE_CORE, Budget(seconds=0.0))
    first, second = next_trial(ledger), next_trial(ledger)
    assert not report(ledger, first, 2, 0.1, 1.0)
    assert report(ledger, second, 2, 0.9, 1.0)
    for proposal in (first, second):
        ledger.conclude(proposal.trial)
    assert [trial.state for trial in sorted(ledger.trials(), key=lambda t: t.trial)] == ["interrupted", "stopped"]


def test_interrupted_trials_without_a_result_come_after_those_with_one() -> None:
    ledger = open_ledger(settings("tunet", trials=9, epochs=9))
    without, with_one = next_trial(ledger), next_trial(ledger)
    report(ledger, with_one, 1, 0.3, 1.0)
    for proposal in (without, with_one):
        ledger.budget = Budget(seconds=0.0)  # the time is over
        ledger.conclude(proposal.trial)
    trials = [trial for trial in ledger.trials() if trial.state == "interrupted"]
    assert [trial.trial for trial in trials] == [with_one.trial, without.trial]


@pytest.mark.parametrize("geometry", [None, "yes", "no"])
@pytest.mark.parametrize("task", [None, "residual", "blind"])
def test_first_trials_lie_in_the_space_whatever_is_given(geometry: str | None, task: str | None) -> None:
    made = resolve("tunet", "x", "quick", {"geometry": geometry})
    made = replace(made, task=task)
    (study,) = made.studies
    space = space_of(made, study, "quick")
    for config in first_trials(space, defaults_of(made, study)):
        for name, value in config.items():
            assert space[name]._contains(space[name].to_internal_repr(value)), (name, value)
