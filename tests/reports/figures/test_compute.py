import itertools
import random

import pytest

from records.tables import Interim, RetrainInterim, Trial
from reports.figures import compute


def epoch(trial: int, seconds: float, l1: float = 6e-3) -> Interim:
    return Interim(trial, 1, 1, 0.02, 0.02, l1, 0.99, 1e-3, seconds)


def again(trial: int, seconds: float, l1: float, seed: int = 0, devices: int = 1) -> RetrainInterim:
    return RetrainInterim(trial, 1, 1, 0.02, 0.02, l1, 0.99, 1e-3, seconds, seed, devices)


def trial(number: int, network: str = "tunet") -> Trial:
    return Trial(number, network, "finished", 4, 6e-3, 0.99, 0.02, 0.02, 32_665, 40.0)


def test_time_adds_up_over_trials_in_the_order_of_arrival():
    epochs = [epoch(0, 10, 9e-3), epoch(1, 5, 8e-3), epoch(0, 20, 8.5e-3), epoch(1, 11, 7e-3)]
    (gain,) = compute.rows(epochs, [], [trial(0), trial(1)], devices=2)
    assert gain.search == [(20, 9e-3), (30, 8e-3), (50, 8e-3), (62, 7e-3)]


def test_the_sum_is_that_of_the_last_seconds_of_all_trials_and_the_best_never_rises():
    draws = random.Random(0)
    clocks = dict.fromkeys(range(9), 0.0)
    epochs = []
    for _ in range(200):
        number = draws.randrange(9)
        clocks[number] += draws.uniform(1, 20)
        epochs.append(epoch(number, clocks[number], draws.uniform(1e-3, 1e-2)))
    gains = compute.rows(epochs, [], [trial(k, ("tunet", "msdnet")[k % 2]) for k in range(9)])
    assert sum(gain.search[-1][0] for gain in gains) == pytest.approx(sum(clocks.values()))
    for gain in gains:
        assert all(a[0] <= b[0] and a[1] >= b[1] for a, b in itertools.pairwise(gain.search))
    assert min(gain.search[-1][1] for gain in gains) == min(e.val_gap_l1 for e in epochs)


def test_seconds_that_a_restart_repeats_count_once():
    epochs = [epoch(0, 10), epoch(0, 20), epoch(0, 15), epoch(0, 15), epoch(0, 30)]
    (gain,) = compute.rows(epochs, [], [trial(0)])
    assert [spent for spent, _ in gain.search] == [10, 20, 20, 20, 30]


def test_retraining_goes_on_where_the_search_ended_on_its_own_devices():
    retraining = [again(0, 10, 9e-3, devices=4), again(0, 10, 5e-3, seed=1, devices=4)]
    (gain,) = compute.rows([epoch(0, 30, 6e-3)], retraining, [trial(0)], devices=0.5)
    assert gain.search == [(15, 6e-3)]
    assert gain.retraining == [(55, 6e-3), (95, 5e-3)]


def test_values_that_are_none_take_time_and_bring_nothing():
    (gain,) = compute.rows([epoch(0, 10, float("nan")), epoch(0, 20)], [], [trial(0)])
    assert gain.search[0] == (10, float("inf")) and gain.search[1] == (20, 6e-3)
    assert "plotly" in compute.html([gain])
    assert compute.html(compute.rows([epoch(0, 10, float("nan"))], [], [trial(0)])) == ""


def test_epochs_of_unknown_networks_are_left_out():
    assert compute.rows([epoch(0, 10), epoch(1, 10)], [], [trial(0, "")]) == []
    assert compute.html([]) == ""


def test_steps_keep_both_ends_and_every_change():
    points = [(1, 9), (2, 9), (3, 8), (4, 8), (5, 8), (6, 7), (7, 7)]
    assert compute.steps(points) == [(1, 9), (3, 8), (6, 7), (7, 7)]
    assert compute.steps([]) == []


def test_the_caption_says_when_it_was_nearly_there():
    epochs = [epoch(0, 10, 9e-3), epoch(0, 20, 6.1e-3), epoch(0, 60, 6e-3)]
    text = compute.caption(compute.rows(epochs, [], [trial(0)]))
    assert "TUNet came to 6.00 × 10⁻³ in 1 min 00 s (within 5 % of it after 20.0 s)" in text
    assert "retraining" not in text


def test_hostile_names_are_escaped():
    html = compute.html(compute.rows([epoch(0, 10), epoch(0, 20)], [], [trial(0, "<i>n")]))
    assert "<i>" not in html and "\\u003ci" not in html
