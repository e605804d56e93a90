"""The leaderboard's figures, on methods whose errors are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from scattering.dataset import Dataset, RawFrame, build
from scattering.detectors import Detector
from scattering.preprocessing import to_counts, to_intensity
from search.evaluation.evaluate import classical_methods, measure
from search.evaluation.methods import CLASSICAL, LINEAR, Filler, Method, network_filler
from trainables import NETWORKS
from trainables.images import gapped_windows, whole_frames
from trainables.tasks import TASKS


@pytest.fixture(scope="module")
def simulated(data: Dataset) -> Dataset:
    """The shared data with a noise-free intensity that is off by exactly 0.001."""
    return replace(data, clean=data.truth + np.float32(1e-3))


def _off_by(*amounts: float) -> Method:
    """A method that knows the truth and adds an amount to it, another for each seed."""
    fillers = [
        Filler(*[lambda images, amount=amount: images.truth + np.float32(amount)] * 2)  # type: ignore[misc]
        for amount in amounts
    ]
    return Method(f"off by {amounts[0]}", "network", tuple(fillers), seeds=len(amounts))


def test_a_known_error_is_found_in_both_kinds_of_gap(simulated: Dataset) -> None:
    row = measure([_off_by(0.01), *CLASSICAL], simulated).leaderboard[0]
    assert row.horizontal_l1 == pytest.approx(0.01, rel=1e-4)
    assert row.vertical_l1 == pytest.approx(0.01, rel=1e-4)
    assert row.horizontal_cc == pytest.approx(1)


def test_recovered_is_nothing_for_biharmonic_and_all_at_the_noise_floor(simulated: Dataset) -> None:
    rows = {row.method: row for row in measure([_off_by(1e-3), *CLASSICAL], simulated).leaderboard}
    for kind in ("horizontal_recovered", "vertical_recovered"):
        assert getattr(rows["biharmonic"], kind) == 0
        assert getattr(rows["noise floor"], kind) == pytest.approx(1)
        assert getattr(rows["off by 0.001"], kind) == pytest.approx(1, rel=1e-3)
    assert rows["noise floor"].kind == "limit"


def test_without_noise_free_frames_nothing_is_said_of_the_floor(data: Dataset) -> None:
    result = measure([_off_by(0.0), *CLASSICAL], data)
    assert [row.method for row in result.leaderboard] == ["off by 0.0", "linear", "biharmonic"]
    assert all(row.horizontal_recovered is None for row in result.leaderboard)
    assert result.test_set.horizontal_floor_l1 is None


def test_errors_in_counts_are_those_of_the_inverse_transform(data: Dataset) -> None:
    row = measure([_off_by(0.01), *CLASSICAL], data).leaderboard[0]
    scored = data.valid & ~data.observed & ~data.windows.vertical
    truth = to_counts(data.truth[scored].astype(np.float64))
    expected = np.abs(to_counts(to_intensity(truth) + 0.01) - truth).mean()
    assert row.horizontal_l1_counts == pytest.approx(expected, rel=1e-3)


def test_pooled_error_is_the_pixel_weighted_mean_over_frames(data: Dataset) -> None:
    result = measure(list(CLASSICAL), data)
    linear = [score for score in result.frames if score.method == "linear"]
    scored = data.valid & ~data.observed & ~data.windows.vertical
    pixels = scored.sum(axis=(1, 2))
    errors = np.array([score.horizontal_l1 for score in linear], dtype=float)
    assert result.leaderboard[0].horizontal_l1 == pytest.approx((errors * pixels).sum() / pixels.sum(), rel=1e-9)
    assert [score.frame for score in linear] == list(data.names)


def test_horizontal_scores_do_not_touch_vertical_gaps(data: Dataset) -> None:
    spoilt = data.truth.copy()
    spoilt[:, :, data.windows.vertical] = 0.9
    before, after = (measure(list(CLASSICAL), part) for part in (data, replace(data, truth=spoilt)))
    for old, new in zip(before.leaderboard, after.leaderboard, strict=True):
        assert (old.horizontal_l1, old.vertical_l1) == (new.horizontal_l1, new.vertical_l1)


def test_nothing_outside_held_out_pixels_is_scored(data: Dataset) -> None:
    """Where the truth is unknown, or the network saw the pixel, the truth may be anything."""
    spoilt = data.truth.copy()
    spoilt[~data.valid] = 0.7
    before, after = (measure(list(CLASSICAL), part) for part in (data, replace(data, truth=spoilt)))
    assert [r.horizontal_l1 for r in before.leaderboard] == [r.horizontal_l1 for r in after.leaderboard]
    assert [r.vertical_cc for r in before.leaderboard] == [r.vertical_cc for r in after.leaderboard]


@pytest.mark.parametrize("task", ["blind", "residual"])
def test_a_network_keeps_measured_pixels_and_sees_no_truth(data: Dataset, task: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS["tunet"](depth=2, base_channels=2, growth_rate=2.0, in_channels=TASKS[task].in_channels)
    filler = network_filler([(network, TASKS[task])])
    filled = filler.frames(whole_frames(data))
    np.testing.assert_array_equal(filled[data.observed], data.measured[data.observed])
    assert filled.min() >= 0
    assert np.isfinite(filled).all()
    blind_to_truth = replace(data, truth=data.truth * 0, valid=~data.valid)
    np.testing.assert_array_equal(filled, filler.frames(whole_frames(blind_to_truth)))


def test_a_row_is_the_mean_over_its_seeds_with_their_spread(data: Dataset) -> None:
    result = measure([_off_by(0.01, 0.03), LINEAR], data)
    row, alone = result.leaderboard
    for kind in ("horizontal", "vertical"):
        assert getattr(row, f"{kind}_l1") == pytest.approx(0.02, rel=1e-4)
        assert getattr(row, f"{kind}_l1_sd") == pytest.approx(0.02 / np.sqrt(2), rel=1e-4)
        assert getattr(alone, f"{kind}_l1_sd") is None
    assert row.seeds == 2
    assert result.frames[0].horizontal_l1 == pytest.approx(0.02, rel=1e-4)
    assert result.distances[0].l1 == pytest.approx(0.02, rel=1e-4)


def test_an_ensemble_of_equal_members_is_the_member(data: Dataset, trained: list[Any]) -> None:
    alone, together = (
        Method(name, "network", (network_filler(members),))
        for name, members in (("alone", trained[:1]), ("together", [trained[0]] * 3))
    )
    one, other = measure([alone, together], data).leaderboard
    assert other.horizontal_l1 == pytest.approx(one.horizontal_l1, rel=1e-6)
    assert other.vertical_cc == pytest.approx(one.vertical_cc, rel=1e-6)


def test_an_ensemble_averages_fills(data: Dataset, trained: list[Any]) -> None:
    both, *single = (network_filler(members) for members in (trained, trained[:1], trained[1:]))
    for images, kind in ((whole_frames(data), "frames"), (gapped_windows(data), "windows")):
        fills = [getattr(filler, kind)(images) for filler in single]
        np.testing.assert_allclose(getattr(both, kind)(images), np.mean(fills, axis=0), rtol=0, atol=1e-6)


def test_errors_by_distance_sum_to_the_pooled_error(data: Dataset) -> None:
    result = measure(list(CLASSICAL), data)
    for row in result.leaderboard:
        for kind in ("horizontal", "vertical"):
            mine = [score for score in result.distances if (score.method, score.kind) == (row.method, kind)]
            assert sum(score.pixels for score in mine) == getattr(result.test_set, f"{kind}_pixels")
            total = sum(score.l1 * score.pixels for score in mine) / sum(score.pixels for score in mine)
            assert total == pytest.approx(getattr(row, f"{kind}_l1"), rel=1e-9)
            assert mine[0].distance == 1


@pytest.fixture(scope="module")
def few(calibrated: Dataset) -> Dataset:
    return replace(calibrated, clean=calibrated.truth + np.float32(1e-3)).select([0, 5, 7])


@pytest.fixture(scope="module")
def classical(few: Dataset) -> tuple[list[Method], list[str]]:
    return classical_methods(few.select([0]), few)


def test_methods_that_need_the_geometry_are_measured_where_it_is_known(
    few: Dataset, classical: tuple[list[Method], list[str]]
) -> None:
    result = measure(classical[0], few, classical[1])
    names = [
        "linear", "biharmonic", "along rings", "pyFAI, default bins", "pyFAI, tuned bins", "Friedel symmetry",
        "noise floor",
    ]  # fmt: skip
    assert [row.method for row in result.leaderboard] == names
    assert result.test_set.notes == classical[1]
    assert "tuned on 1 validation frame" in classical[1][0]
    by_name = {row.method: row for row in result.leaderboard}
    assert 0 < by_name["noise floor"].iq_error < 0.02 < by_name["linear"].iq_error  # type: ignore[operator]
    assert by_name["noise floor"].ms_per_frame is None


@pytest.mark.parametrize("unknown", [[0, 1, 2], [1]])
def test_one_frame_of_unknown_geometry_keeps_such_methods_out(few: Dataset, unknown: list[int]) -> None:
    assert few.calibration is not None
    gappy = few.calibration.copy()
    gappy[unknown] = np.nan
    methods, notes = classical_methods(few, replace(few, calibration=gappy))
    assert [method.name for method in methods] == ["linear", "biharmonic", *["along rings"] * (len(unknown) < 3)]
    assert "--poni" in notes[0]
    rows = measure(methods, replace(few, calibration=gappy)).leaderboard
    assert all((row.iq_error is None) == (len(unknown) == 3) for row in rows)


def test_no_method_sees_what_lies_under_gaps(few: Dataset, classical: tuple[list[Method], list[str]]) -> None:
    spoilt = replace(few, truth=np.where(few.observed, few.truth, 0.9).astype(np.float32))
    for method in classical[0]:
        for images in (whole_frames, gapped_windows):
            fill = method.fillers[0][images is gapped_windows]
            first, second = (fill(images(part)) for part in (few, spoilt))
            np.testing.assert_array_equal(first, second, err_msg=method.name)
            seen = images(few).observed
            np.testing.assert_array_equal(first[seen], images(few).measured[seen], err_msg=method.name)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["horizontal", "vertical"])
def test_one_kind_of_gap_is_enough(
    few: Dataset, classical: tuple[list[Method], list[str]], raw_frames: Callable[..., list[RawFrame]], kind: str
) -> None:
    """Files without truth in gaps have vertical scores alone, detectors without vertical gaps horizontal ones."""
    if kind == "vertical":
        data = replace(few, valid=few.observed, clean=None)
    else:
        gap = np.zeros((140, 150), bool)
        gap[60:66] = True
        rows = Detector("rows", gap, (172e-6, 172e-6))
        data = replace(build(raw_frames(3, (140, 150), rows), rows, (64, 64), {}, 150), calibration=few.calibration)
    network = NETWORKS["tunet"](depth=1, base_channels=2, growth_rate=2.0, in_channels=1)
    ours = Method("TUNet", "network", (network_filler([(network, TASKS["blind"])]),))
    result = measure([*classical[0], ours], data)
    for row in result.leaderboard:
        for name in ("horizontal", "vertical"):
            assert (getattr(row, f"{name}_l1") is None) == (name != kind)
    assert {score.kind for score in result.distances} == {kind}
    assert result.gallery.reasons == ["best", "median", "worst"]
    assert len(result.failures.names) == (3 if kind == "horizontal" else 0)
    assert result.failures.filled.shape == (len(result.failures.names), len(classical[0]) + 1, 64, 64)
