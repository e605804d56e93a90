"""ASHA: the same decisions as Ray's own, and rungs that survive a restart."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from search.tuning.halving import SuccessiveHalving


def _stream(seed: int, trials: int, epochs: int) -> list[tuple[int, int, float]]:
    """Values of trials that run in a random order, each losing a little by epoch."""
    rng = np.random.default_rng(seed)
    level = rng.normal(size=trials)
    order = rng.permutation(np.repeat(np.arange(trials), epochs))
    reached = dict.fromkeys(range(trials), 0)
    stream = []
    for trial in order:
        reached[trial] += 1
        stream.append((int(trial), reached[trial], float(level[trial] + 0.1 * rng.normal())))
    return stream


@pytest.mark.parametrize(
    ("seed", "epochs", "grace"), [(0, 9, 1), (1, 27, 1), (2, 5, 1), (3, 2, 1), (4, 1, 1), (5, 9, 2), (6, 27, 2)]
)
def test_decisions_equal_those_of_ray(seed: int, epochs: int, grace: int) -> None:
    from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

    ray_asha = AsyncHyperBandScheduler(
        time_attr="epoch", metric="loss", mode="min", max_t=epochs, grace_period=grace, reduction_factor=3
    )
    ours = SuccessiveHalving(epochs, grace)
    stopped: set[int] = set()
    tune_trials = {n: SimpleNamespace(trial_id=str(n)) for n in range(40)}
    for trial in tune_trials.values():
        ray_asha.on_trial_add(None, trial)
    for trial, epoch, value in _stream(seed, 40, epochs):
        # Ray also "stops" a trial at its last epoch; there the trial ends by itself.
        if trial in stopped or epoch >= epochs:
            continue
        theirs = ray_asha.on_trial_result(None, tune_trials[trial], {"epoch": epoch, "loss": value})
        mine = ours.record(trial, epoch, value)
        assert mine == (theirs == TrialScheduler.STOP), (trial, epoch)
        if mine:
            stopped.add(trial)
    assert ours.stopped == stopped
    assert epochs < 3 or 10 < len(stopped) < 40


def test_replaying_the_record_restores_the_rungs() -> None:
    undisturbed, first, second = (SuccessiveHalving(9, 2) for _ in range(3))
    stream = _stream(5, 20, 9)
    for entry in stream:
        undisturbed.record(*entry)
    for entry in stream[:60]:
        first.record(*entry)
    for entry in stream[:60] + stream[60:]:
        second.record(*entry)
    assert second.rungs == undisturbed.rungs
    assert second.stopped == undisturbed.stopped
    assert first.rungs != undisturbed.rungs


def test_a_trial_is_judged_once_at_a_rung() -> None:
    halving = SuccessiveHalving(9, 2)
    halving.record(0, 2, 1.0)
    assert halving.record(1, 2, 2.0)
    assert not halving.record(1, 2, 2.0)
    assert halving.rungs[2] == {0: 1.0, 1: 2.0}


@pytest.mark.parametrize("epochs", [9, 27])
def test_equal_times_are_equal_epochs(epochs: int) -> None:
    """Where every epoch takes as long, comparing after equal times is comparing after equal epochs."""
    by_epochs, by_seconds = SuccessiveHalving(epochs, 2), SuccessiveHalving(epochs, 2, compare_at="seconds")
    for trial, epoch, value in _stream(6, 30, epochs):
        if trial not in by_epochs.stopped:
            stops = by_epochs.record(trial, epoch, value)
            assert by_seconds.record(trial, epoch, value, 2.5 * epoch) == stops
    assert by_seconds.rungs == by_epochs.rungs


def test_slow_trials_are_compared_after_fewer_epochs() -> None:
    halving = SuccessiveHalving(27, 1, compare_at="seconds")
    assert not halving.record(0, 1, 0.5, 10.0)
    assert not halving.record(0, 2, 0.4, 20.0)
    assert not halving.record(0, 3, 0.3, 30.0)
    # Its first epoch takes as long as three of the others: it is measured against what they had reached by then.
    assert halving.record(1, 1, 0.45, 30.0)
    assert halving.rungs == {1: {0: 0.5}, 3: {0: 0.3, 1: 0.45}, 9: {}}
