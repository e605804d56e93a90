"""The leaderboard's figures, on methods whose errors are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from search.evaluate import CLASSICAL, Floats, Method, evaluate, network_method

from scattering.dataset import Dataset
from scattering.preprocessing import to_counts, to_intensity
from trainables import NETWORKS
from trainables.metrics import correlation
from trainables.tasks import TASKS


@pytest.fixture(scope="module")
def simulated(data: Dataset) -> Dataset:
    """The shared data with a noise-free intensity that is off by exactly 0.001."""
    return replace(data, clean=data.truth + np.float32(1e-3))


def _off_by(amount: float, data: Dataset) -> Method:
    """A method that knows the truth and adds `amount` to it."""
    windows = torch.from_numpy(data.truth.copy()).unfold(2, data.windows.width, data.windows.step).movedim(2, 1)
    free = windows[:, list(data.windows.free)].flatten(0, 1).numpy()
    return Method(
        f"off by {amount}",
        "network",
        lambda *_: data.truth + np.float32(amount),
        lambda *_: free + np.float32(amount),
    )


def test_a_known_error_is_found_in_both_kinds_of_gap(simulated: Dataset) -> None:
    row = evaluate([_off_by(0.01, simulated), *CLASSICAL], simulated).leaderboard[0]
    assert row.horizontal_l1 == pytest.approx(0.01, rel=1e-4)
    assert row.vertical_l1 == pytest.approx(0.01, rel=1e-4)
    assert row.horizontal_cc == pytest.approx(1)


def test_recovered_is_nothing_for_biharmonic_and_all_at_the_noise_floor(simulated: Dataset) -> None:
    rows = {row.method: row for row in evaluate([_off_by(1e-3, simulated), *CLASSICAL], simulated).leaderboard}
    for kind in ("horizontal_recovered", "vertical_recovered"):
        assert getattr(rows["biharmonic"], kind) == 0
        assert getattr(rows["noise floor"], kind) == pytest.approx(1)
        assert getattr(rows["off by 0.001"], kind) == pytest.approx(1, rel=1e-3)
    assert rows["noise floor"].kind == "limit"


def test_without_noise_free_frames_nothing_is_said_of_the_floor(data: Dataset) -> None:
    result = evaluate([_off_by(0.0, data), *CLASSICAL], data)
    assert [row.method for row in result.leaderboard] == ["off by 0.0", "linear", "biharmonic"]
    assert all(row.horizontal_recovered is None for row in result.leaderboard)
    assert result.test_set.horizontal_floor_l1 is None


def test_errors_in_counts_are_those_of_the_inverse_transform(data: Dataset) -> None:
    row = evaluate([_off_by(0.01, data), *CLASSICAL], data).leaderboard[0]
    scored = data.valid & ~data.observed & ~data.windows.vertical
    truth = to_counts(data.truth[scored].astype(np.float64))
    expected = np.abs(to_counts(to_intensity(truth) + 0.01) - truth).mean()
    assert row.horizontal_l1_counts == pytest.approx(expected, rel=1e-3)


def test_pooled_error_is_the_pixel_weighted_mean_over_frames(data: Dataset) -> None:
    result = evaluate(list(CLASSICAL), data)
    linear = [score for score in result.frames if score.method == "linear"]
    scored = data.valid & ~data.observed & ~data.windows.vertical
    pixels = scored.sum(axis=(1, 2))
    errors = np.array([score.horizontal_l1 for score in linear], dtype=float)
    assert result.leaderboard[0].horizontal_l1 == pytest.approx((errors * pixels).sum() / pixels.sum(), rel=1e-9)
    assert [score.frame for score in linear] == list(data.names)


def test_horizontal_scores_do_not_touch_vertical_gaps(data: Dataset) -> None:
    spoilt = data.truth.copy()
    spoilt[:, :, data.windows.vertical] = 0.9
    before, after = (evaluate(list(CLASSICAL), part) for part in (data, replace(data, truth=spoilt)))
    for old, new in zip(before.leaderboard, after.leaderboard, strict=True):
        assert (old.horizontal_l1, old.vertical_l1) == (new.horizontal_l1, new.vertical_l1)


def test_nothing_outside_held_out_pixels_is_scored(data: Dataset) -> None:
    """Where the truth is unknown, or the network saw the pixel, the truth may be anything."""
    spoilt = data.truth.copy()
    spoilt[~data.valid] = 0.7
    before, after = (evaluate(list(CLASSICAL), part) for part in (data, replace(data, truth=spoilt)))
    assert [r.horizontal_l1 for r in before.leaderboard] == [r.horizontal_l1 for r in after.leaderboard]
    assert [r.vertical_cc for r in before.leaderboard] == [r.vertical_cc for r in after.leaderboard]


@pytest.mark.parametrize("task", ["blind", "residual"])
def test_a_network_keeps_measured_pixels_and_sees_no_truth(data: Dataset, task: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS["tunet"](depth=2, base_channels=2, growth_rate=2.0, in_channels=TASKS[task].in_channels)
    method = network_method("TUNet", network, TASKS[task], data, 1.0)
    filled: Floats = method.frames(data.measured, data.observed)
    np.testing.assert_array_equal(filled[data.observed], data.measured[data.observed])
    assert filled.min() >= 0
    assert np.isfinite(filled).all()
    blind_to_truth = replace(data, truth=data.truth * 0, valid=~data.valid)
    again = network_method("TUNet", network, TASKS[task], blind_to_truth, 1.0).frames(data.measured, data.observed)
    np.testing.assert_array_equal(filled, again)


@pytest.mark.parametrize("good_first", [True, False])
def test_gallery_goes_from_the_best_to_the_worst_frame_of_the_best_network(data: Dataset, good_first: bool) -> None:
    linear = CLASSICAL[0]
    good = Method("good", "network", linear.frames, linear.windows)
    bad = Method("bad", "network", lambda measured, _: measured * 0, lambda measured, _: measured * 0)
    result = evaluate([*((good, bad) if good_first else (bad, good)), *CLASSICAL], data)
    errors = {s.frame: s.horizontal_l1 for s in result.frames if s.method == "good"}
    shown = [errors[name] for name in result.gallery.names]
    assert shown == sorted(shown, key=float)
    assert (min(errors.values(), key=float), max(errors.values(), key=float)) == (shown[0], shown[-1])
    assert np.isnan(result.gallery.input).any()


def test_correlation_agrees_with_numpy(data: Dataset, prepare: Callable[..., Dataset]) -> None:
    row = evaluate(list(CLASSICAL), data).leaderboard[0]
    scored = data.valid & ~data.observed & ~data.windows.vertical
    filled = CLASSICAL[0].frames(data.measured, data.observed)
    assert row.horizontal_cc == pytest.approx(np.corrcoef(filled[scored], data.truth[scored])[0, 1], abs=1e-7)
    assert correlation(np.ones(5), np.arange(5.0)) is None
