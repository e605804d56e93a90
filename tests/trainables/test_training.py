import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.courses import in_epochs
from trainables import training
from trainables.batches import WindowSet
from trainables.losses import absolute_error
from trainables.metrics import correlation, mean_absolute_error
from trainables.models import build
from trainables.tasks import TASKS
from trainables.training import SCHEDULES, DivergenceError, fit, validate

SMALL = {"depth": 2, "base_channels": 4, "growth_rate": 2}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def sides(data):
    return WindowSet(data.select(range(8)), CPU), WindowSet(data.select(range(8, 12)), CPU)


def epochs(sides, task="residual", *, seed=0, count=3, state=None, normalization="none", **changes):
    """Train a small network; metrics of each epoch without the clock, the network, and a saved copy of each state."""
    network, posed = build("tunet", {**SMALL, "normalization": normalization, "task": task}, seed=seed)
    course = in_epochs(count, sides[0], batch_size=6, learning_rate=2e-3, schedule="cosine", seed=seed)
    course = replace(course, **changes)
    metrics, states = [], []
    for progress in fit(network, posed, *sides, course, state=state):
        metrics.append({name: value for name, value in progress.metrics.items() if name != "seconds"})
        states.append(io.BytesIO())
        torch.save(progress.state, states[-1])
        states[-1].seek(0)
    return metrics, network, states


def assert_equal_weights(first: nn.Module, second: nn.Module) -> None:
    for (name, one), other in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("task", TASKS)
def test_equal_seeds_give_equal_numbers(sides, task):
    first, second = epochs(sides, task, count=2), epochs(sides, task, count=2)
    assert first[0] == second[0]
    assert_equal_weights(first[1], second[1])


@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_a_resumed_run_goes_on_as_the_uninterrupted_one_bit_for_bit(sides, normalization):
    whole, network, states = epochs(sides, normalization=normalization)
    saved = torch.load(states[0], weights_only=True)
    resumed, other, _ = epochs(sides, state=saved, normalization=normalization)
    assert resumed == whole[1:]
    assert_equal_weights(network, other)


def test_a_finished_run_has_no_epoch_left(sides):
    _, _, states = epochs(sides, count=1)
    assert epochs(sides, count=1, state=torch.load(states[0], weights_only=True))[0] == []


def test_time_goes_on_over_an_interruption(sides):
    network, task = build("tunet", {**SMALL, "task": "blind"})
    course = in_epochs(2, sides[0], batch_size=6, learning_rate=1e-3, schedule="step", seed=0)
    first = next(fit(network, task, *sides, course))
    first.state["seconds"] += 1000
    second = next(fit(network, task, *sides, course, state=first.state))
    assert second.metrics["seconds"] > 1000
    assert (first.metrics["epoch"], second.metrics["epoch"]) == (1, 2)


def test_training_lowers_the_loss_and_nears_the_truth(sides):
    metrics, _, _ = epochs(sides, "blind", count=8, learning_rate=1e-2)
    assert metrics[-1]["train_loss"] < 0.7 * metrics[0]["train_loss"]
    assert metrics[-1]["val_loss"] < metrics[0]["val_loss"]


@pytest.mark.parametrize("task", TASKS)
def test_truth_outside_the_scored_pixels_changes_neither_loss_nor_gradient(sides, task):
    network, posed = build("tunet", {**SMALL, "task": task})
    batch = sides[0].batch(torch.arange(8), sides[0].fixed_patterns()[:8])
    batch = batch._replace(valid=batch.valid & (torch.rand(batch.valid.shape, generator=torch.manual_seed(0)) > 0.3))
    scored = posed.scored(batch)
    results = []
    for truth in (batch.truth, torch.where(scored, batch.truth, 7.0)):
        network.zero_grad()
        prediction = posed.predict(network, batch.measured, batch.observed)
        error, pixels = absolute_error(prediction, truth, scored)
        (error / pixels).backward()
        results.append([(error / pixels).detach(), *(parameter.grad.clone() for parameter in network.parameters())])
    assert (~scored & batch.valid).any() or task == "blind"
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_pixels_without_truth_change_no_weight(sides, data):
    rng = np.random.default_rng(0)
    valid = rng.random(data.valid.shape) > 0.3
    trained = []
    for fill in (-9, 9):
        version = replace(data, valid=valid, truth=np.where(valid, data.truth, np.float32(fill)))
        windows = WindowSet(version, CPU)
        trained.append(epochs((windows, windows), "blind", count=1))
    assert trained[0][0] == trained[1][0]
    assert_equal_weights(trained[0][1], trained[1][1])


def test_step_schedule_divides_by_ten_after_each_third():
    rates = [SCHEDULES["step"](progress) for progress in (0, 0.33, 0.34, 0.66, 0.67, 1)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01], rel=1e-12)


def test_cosine_schedule_warms_up_and_falls_to_zero():
    rates = [SCHEDULES["cosine"](progress) for progress in (0, 0.025, 0.05, 0.5, 1)]
    at_5_percent = 0.5 * (1 + math.cos(0.05 * math.pi))
    expected = [0, 0.25 * (1 + math.cos(0.025 * math.pi)), at_5_percent, 0.5, 0]
    assert rates == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_stay_between_0_and_the_maximum_and_never_rise_again(schedule):
    rates = np.array([SCHEDULES[schedule](progress) for progress in np.linspace(0, 1, 201)])
    assert rates.min() >= 0
    assert rates.max() <= 1
    assert (np.diff(rates[11:]) <= 1e-15).all()


def test_the_rate_of_the_schedule_is_the_rate_of_the_optimizer(sides):
    metrics, _, states = epochs(sides, schedule="step", learning_rate=1e-3)
    rates = [metric["learning_rate"] for metric in metrics]
    assert rates == pytest.approx([1e-3, 1e-4, 1e-5])
    last = torch.load(states[-1], weights_only=True)["optimizer"]["param_groups"][0]["lr"]
    assert last == rates[-1]


def test_batches_larger_than_the_data_are_one_step(sides):
    (metrics,), _, states = epochs(sides, count=1, batch_size=1000)
    assert math.isfinite(metrics["train_loss"])
    assert torch.load(states[0], weights_only=True)["optimizer"]["state"][0]["step"] == 1


@pytest.mark.parametrize("side", [0, 1])
def test_data_that_are_not_numbers_end_the_training(sides, data, side):
    broken = WindowSet(replace(data, truth=np.full_like(data.truth, np.nan)), CPU)
    given = [broken if number == side else windows for number, windows in enumerate(sides)]
    with pytest.raises(DivergenceError, match="not finite after"):
        epochs(given)


def test_a_rate_that_is_far_too_high_ends_the_training(sides):
    with pytest.raises(DivergenceError):
        epochs(sides, "blind", count=50, learning_rate=1e30, schedule="step")


class Clock:
    """Stands in for the clock: each look at it takes a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 1
        return self.now


def test_a_limit_of_time_ends_the_training_and_its_schedule(sides, monkeypatch):
    monkeypatch.setattr(training, "time", Clock())
    whole, _, _ = epochs(sides, count=50, seconds=20)
    assert 1 < len(whole) < 50
    # The schedule has run out: half a cosine ends at 0.
    assert whole[-1]["learning_rate"] == pytest.approx(0, abs=1e-9)
    assert len(whole) - 1 < whole[-1]["epoch"] <= len(whole)


def test_a_limit_of_time_that_is_not_reached_changes_nothing(sides):
    assert epochs(sides, count=2, seconds=1e6)[0] == epochs(sides, count=2)[0]


def test_an_interruption_does_not_extend_the_time(sides, monkeypatch):
    monkeypatch.setattr(training, "time", Clock())
    whole, _, states = epochs(sides, count=50, seconds=20)
    rest, _, _ = epochs(sides, count=50, seconds=20, state=torch.load(states[0], weights_only=True))
    assert len(rest) == len(whole) - 1


class Copy(nn.Module):
    """Answers with what it is given: observed pixels right, gaps at 0."""

    def forward(self, image):
        return image[:, :1]


def test_validation_scores_are_those_of_all_windows_pooled(sides):
    _, windows = sides
    batch = windows.batch(torch.arange(len(windows)), windows.fixed_patterns())
    guess = batch.measured
    predicted, truth = (values[batch.held_out].numpy() for values in (guess, batch.truth))
    scores = validate(Copy(), TASKS["blind"], windows, batch_size=5)
    assert scores["val_gap_l1"] == pytest.approx(mean_absolute_error(predicted, truth), rel=1e-6)
    assert scores["val_loss"] == pytest.approx((guess - batch.truth).abs()[batch.valid].mean().item(), rel=1e-5)
    # A constant has no correlation.
    assert correlation(predicted, truth) is None
    assert scores["val_gap_cc"] == 0


def test_validation_does_not_depend_on_the_batch_size(sides):
    network, task = build("tunet", {**SMALL, "task": "residual"})
    one, other = (validate(network, task, sides[1], batch_size=size) for size in (3, 100))
    assert one == pytest.approx(other, rel=1e-5)


def test_validation_leaves_weights_and_statistics_alone(sides):
    network, task = build("tunet", {**SMALL, "normalization": "batch", "task": "residual"})
    before = {name: value.clone() for name, value in network.state_dict().items()}
    validate(network, task, sides[1])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_however_often_it_reports_a_training_is_the_same(sides):
    """Between two reports only validation happens: the weights are those of a training with one report."""
    number = len(sides[0])
    seldom, network, _ = epochs(sides, count=2, interval=2 * number)
    often, other, _ = epochs(sides, count=2, interval=number // 3)
    assert_equal_weights(network, other)
    assert [metrics["windows"] for metrics in often] == [*range(number // 3, 2 * number, number // 3), 2 * number]
    assert often[-1]["val_gap_l1"] == seldom[-1]["val_gap_l1"]


def test_a_batch_beyond_a_report_counts_as_what_was_asked_for(sides):
    """All trials report after equal windows, whatever their batches: only so can they be compared."""
    number = len(sides[0])
    for batch_size in (1, 4, 5, 7, number):
        found, _, _ = epochs(sides, count=1, batch_size=batch_size, interval=5)
        assert all(metrics["windows"] % 5 == 0 or metrics["windows"] == number for metrics in found)
        assert found[-1]["windows"] == number


def test_a_resumed_run_goes_on_within_an_epoch(sides):
    whole, network, states = epochs(sides, count=2, interval=7)
    resumed, other, _ = epochs(sides, count=2, interval=7, state=torch.load(states[1], weights_only=True))
    assert resumed == whole[2:]
    assert_equal_weights(network, other)
