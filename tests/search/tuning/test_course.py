"""How long the trials of a search are: as long as all of them can be in the time that there is."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from records.tables import Ladder
from scattering.dataset import Dataset
from search.machines.resources import Resources
from search.settings import UNLIMITED, Budget, Settings, Study, resolve
from search.tuning import course
from search.tuning.course import Measured, Planned, expected_share, ladder, ladders, planned
from search.tuning.halving import SuccessiveHalving
from spaces import DEFAULTS
from spaces.paper import POINTS
from trainables.batches import Part, WindowSet
from trainables.memory import TooLargeError, footprint
from trainables.models import build
from trainables.pace import Pace, pace
from trainables.tasks import TASKS

EPOCH = 468
"""Windows of the quick preset's training set."""

VALIDATION = 108
TWO_CORES = Resources(cpus=1, gpus=0.0, memory=10**9, parallel=2)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return resolve("tunet", "x", "quick", {})


def measured(seconds: float) -> list[Measured]:
    """The pace of a machine that takes so long for a window."""
    row = Planned("tunet", "tunet", DEFAULTS["tunet"], 8 * 6.0, True)
    return [Measured(row, Pace(seconds, seconds / 3), "")]


def of(run: Settings, seconds: float, budget: Budget) -> Ladder:
    (found,) = ladders(run, (EPOCH, VALIDATION), measured(seconds), TWO_CORES, budget)
    return found


@pytest.mark.parametrize("epochs", [1, 2, 3, 6, 10, 27, 81, 300])
def test_rungs_are_at_ninths_and_thirds_and_never_sooner_than_two_epochs_where_trials_are_long(epochs: int) -> None:
    found = ladder(Study("tunet", None), EPOCH, epochs * EPOCH)
    # Rounded down to whole windows between two rungs.
    assert epochs * EPOCH - 81 <= found.length <= epochs * EPOCH
    assert len(found.rungs) >= 2
    assert found.length == found.rungs[-1] * 3 and found.rungs[1] == 3 * found.rungs[0]
    assert found.interval <= min(found.first_rung, EPOCH)
    assert len(found.rungs) == 2 or found.first_rung >= 2 * EPOCH


def test_trials_too_short_to_be_compared_are_not() -> None:
    assert ladder(Study("tunet", None), 20, 20).rungs == ()
    assert len(ladder(Study("tunet", None), 20, 60).rungs) == 1
    assert ladder(Study("tunet", None), 20, 0).length == 1


def test_without_a_limit_of_time_trials_are_as_long_as_was_asked_for(run: Settings) -> None:
    assert of(run, 10.0, UNLIMITED).length == 6 * EPOCH
    assert of(run, 1e-6, Budget(seconds=100.0)).length == 6 * EPOCH


@pytest.mark.parametrize("seconds", [0.01, 0.02, 0.04, 0.08])
def test_on_a_slow_machine_trials_are_shorter_and_all_of_them_fit(run: Settings, seconds: float) -> None:
    """Simulated: trials of the mean cost, on two cores, whose order at a rung is chance; 3 of 200 may take longer."""
    budget = Budget(seconds=110.0)
    found = of(run, seconds, budget)
    window = seconds * course.relative_cost(run, Study("tunet", None), DEFAULTS["tunet"])
    draws, late = random.Random(1), 0
    for _ in range(200):
        halving, clock = SuccessiveHalving(found.length, found.first_rung), [0.0, 0.0]
        for trial in range(run.trials):
            core, windows = clock.index(min(clock)), 0
            while windows < found.length:
                windows += found.interval
                clock[core] += found.interval * window + VALIDATION * seconds / 3
                if halving.record(trial, windows, draws.random()):
                    break
        late += max(clock) > 2 * budget.seconds
    assert late <= 3
    assert of(run, 2 * seconds, budget).length < found.length


def test_the_share_of_a_trial_is_that_of_a_search_by_chance() -> None:
    """One trial has nothing to be measured against; of very many a third passes each rung."""
    long = Ladder("", "", EPOCH, 9 * EPOCH, EPOCH, EPOCH)
    assert expected_share(long, 1) == 1
    assert expected_share(replace(long, first_rung=0), 50) == 1
    exactly = 1 / 9 + (1 / 3) * (2 / 9) + (1 / 9) * (6 / 9)
    assert exactly < expected_share(long, 100) < 1.2 * exactly
    assert expected_share(long, 8) > expected_share(long, 100)


def test_retraining_takes_all_windows_of_all_winners(run: Settings) -> None:
    """Ten models of 40 epochs at 20 ms a window, validated at each report, on two cores."""
    many = replace(run, top=5, seeds=2)
    ladders_of = [Ladder("tunet", "tunet", EPOCH, 6 * EPOCH, EPOCH, EPOCH)]
    row = Measured(Planned("tunet", "tunet", DEFAULTS["tunet"], 48.0, True), Pace(0.02, 0.01), "")
    one = 40 * (EPOCH * 0.02 + VALIDATION * 0.01)
    assert course.retraining_hours(many, ladders_of, [row], 2, VALIDATION) == pytest.approx(10 * one / 2 / 3600)


def test_two_networks_share_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    both = resolve("all", "x", "quick", {"minutes": 5.0})
    rows = [
        Measured(Planned(s.name, s.network, DEFAULTS[s.network], 48.0, True), Pace(0.02, 0.01), "")
        for s in both.studies
    ]
    found = ladders(both, (EPOCH, VALIDATION), rows, TWO_CORES, Budget(seconds=300.0))
    alone = resolve("tunet", "x", "quick", {})
    (half,) = ladders(alone, (EPOCH, VALIDATION), rows[:1], TWO_CORES, Budget(seconds=75.0))
    assert [one.study for one in found] == [study.name for study in both.studies]
    assert found[0].length == half.length


def test_the_papers_points_alone_are_what_they_are_and_no_proposals(run: Settings) -> None:
    """Each at its own size, for the epochs that the paper gave it."""
    alone = resolve("msdnet", "y", "paper", {"points": "paper"})
    assert [(row.config, row.epochs) for row in planned(alone)] == [
        (point.config, point.epochs) for point in POINTS["msdnet"]
    ]
    (found,) = ladders(alone, (EPOCH, VALIDATION), [], TWO_CORES, UNLIMITED)
    assert (found.rungs, found.interval) == ((), EPOCH)
    both = planned(resolve("msdnet", "y", "standard", {"points": "paper,search", "trials": 9, "epochs": 27}))
    assert len(both) == len(POINTS["msdnet"]) + 2
    assert both[-1].epochs == 9 * 27


def test_the_pace_is_that_of_a_training_and_leaves_the_network_alone(data: Dataset) -> None:
    windows = WindowSet(data, torch.device("cpu"))
    network, task = build("tunet", DEFAULTS["tunet"])
    before = [parameter.clone() for parameter in network.parameters()]
    found = pace(network, task, windows, windows, 4, 4)
    assert all(torch.equal(*pair) for pair in zip(before, network.parameters(), strict=True))
    assert 0 < found.validation < 3 * found.training


class Cold(nn.Module):
    """A network whose first step on so many windows as it has not seen takes long: libraries choose their ways."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 3, padding=1)
        self.seen: set[tuple[bool, int]] = set()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if (self.training, len(image)) not in self.seen:
            time.sleep(0.5)
            self.seen.add((self.training, len(image)))
        output: torch.Tensor = self.convolution(image)
        return output


def test_steps_are_timed_when_they_are_warm_and_at_the_size_of_the_training(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows, network = WindowSet(data, torch.device("cpu")), Cold()
    monkeypatch.setattr("trainables.pace.SECONDS", 0.0)
    found = pace(network, TASKS["blind"], windows, windows, 6, 3)
    assert network.seen == {(True, 3), (False, 3)}
    assert found.training * 6 < 0.25
    assert found.validation * len(windows) < 0.25
    assert footprint(Cold(), TASKS["blind"], windows).seconds * 2 < 0.25


def test_a_network_too_large_to_be_measured_has_a_pace_and_a_reason(
    run: Settings, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def starved(*_: object) -> None:
        raise TooLargeError("no memory to train on a single window")

    monkeypatch.setattr(course, "footprint", starved)
    job = run.job(0, "tunet", DEFAULTS["tunet"], (1, 1), TWO_CORES, run.folder / "probe")
    found, reason = course._probe(job, (Part(data), Part(data)))
    assert found.training > 0
    assert "single window" in reason
