"""Intervals hold what they state: for errors of any shape, on pixels like those they were fitted on."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from inpainting.uncertainty import ENOUGH, LEVELS, SMALLEST, Uncertainty, counting_noise, fit, spread
from scattering.arrays import Reals
from scattering.preprocessing import FULL_SCALE, to_intensity

NORMAL = {0.68: 0.9945, 0.95: 1.9600}
"""Half-widths in standard deviations."""


class Pixels(NamedTuple):
    error: Reals
    spread: Reals
    contrast: Reals
    noise: Reals
    distance: npt.NDArray[np.int64]


def drawn(count: int, seed: int, tails: str = "normal", members: int = 5) -> Pixels:
    """Errors with variance noise^2 + 2 spread^2 + 0.1 distance contrast^2, of one shape or another."""
    rng = np.random.default_rng(seed)
    own, contrast, noise = (rng.gamma(2, size, count) for size in (1e-3, 5e-3, 1e-3))
    own *= members > 1
    distance = rng.integers(1, 5, count)
    sigma = np.sqrt(noise**2 + 2 * own**2 + 0.1 * distance * contrast**2)
    shape = {
        "normal": lambda: rng.standard_normal(count),
        "Cauchy": lambda: rng.standard_cauchy(count),
        "skewed": lambda: rng.exponential(1, count) - 1,
    }[tails]
    return Pixels(sigma * shape(), own, contrast, noise, distance)


def fitted(pixels: Pixels) -> Uncertainty:
    found = fit(*pixels)
    assert found is not None
    return found


def inside(uncertainty: Uncertainty, level: float, pixels: Pixels) -> npt.NDArray[np.bool_]:
    scale = uncertainty.scale(pixels.spread, pixels.contrast, pixels.noise, pixels.distance)
    return np.asarray(np.abs(pixels.error) <= uncertainty.half_width(level, scale, pixels.distance))


def test_the_parts_of_the_variance_are_found() -> None:
    # Standard errors, over 40 seeds: 0.02 of A, 0.003 of B. Six of them: fails once in 10^8 seeds.
    found = fitted(drawn(100_000, seed=0))
    assert found.spread == pytest.approx(2, abs=0.15)
    assert found.contrast == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.02)
    for level, factors in zip(found.levels, found.factors, strict=True):
        assert factors == pytest.approx([NORMAL[level]] * 4, rel=0.05)


@pytest.mark.parametrize("tails", ["normal", "Cauchy", "skewed"])
@pytest.mark.parametrize("members", [1, 5])
def test_intervals_hold_at_every_distance_whatever_the_errors_are_like(tails: str, members: int) -> None:
    count = 20_000
    found = fitted(drawn(count, seed=1, tails=tails, members=members))
    new = drawn(count, seed=2, tails=tails, members=members)
    for level in LEVELS:
        held = inside(found, level, new)
        for distance in found.distances:
            own = held[new.distance == distance]
            # Binomial error of the new pixels and of the quantile together; five of it: 6e-7 an assertion.
            error = np.sqrt(level * (1 - level) * 2 / own.size)
            assert own.mean() == pytest.approx(level, abs=5 * error)


def test_the_guarantee_is_exact_for_exchangeable_errors() -> None:
    """Over draws of few pixels the mean share within is level to level + 1 / (n + 1): Lei et al. 2018."""
    shares = {level: [] for level in LEVELS}
    for seed in range(400):
        rng = np.random.default_rng(seed)
        ones = np.ones(ENOUGH)
        error, new = rng.standard_t(2, (2, ENOUGH)) * 1e-2
        found = fitted(Pixels(error, 0 * ones, 1e-2 * ones, 1e-3 * ones, ones.astype(int)))
        for level in LEVELS:
            held = inside(found, level, Pixels(new, 0 * ones, 1e-2 * ones, 1e-3 * ones, ones.astype(int)))
            shares[level].append(held.mean())
    for level, own in shares.items():
        error = np.std(own) / np.sqrt(len(own))
        assert level - 5 * error < np.mean(own) < level + 1 / (ENOUGH + 1) + 5 * error  # 6e-7


def test_half_widths_are_the_ranks_that_few_pixels_call_for() -> None:
    error = np.random.default_rng(2).permutation(np.arange(1, 201) * 1e-3) * np.tile([1, -1], 100)
    ones = np.ones(200)
    found = fitted(Pixels(error, 0 * ones, 1e-2 * ones, 1e-3 * ones, ones.astype(int)))
    scale = found.scale(0 * ones, 1e-2 * ones, 1e-3 * ones, ones.astype(int))
    # Of 201 errors, the new one among them: ceil(201 * 0.68) and ceil(201 * 0.95).
    for level, rank in ((0.68, 137), (0.95, 191)):
        assert found.half_width(level, scale, ones.astype(int))[0] == pytest.approx(rank * 1e-3)


def test_one_member_has_no_part_in_the_scale() -> None:
    found = fitted(drawn(5000, seed=3, members=1))
    assert found.spread == 0
    assert np.isfinite(found.factors).all()


def test_outliers_change_the_scale_little() -> None:
    pixels = drawn(20_000, seed=4)
    spoilt = pixels._replace(error=np.where(np.arange(20_000) % 500 == 0, 1.0, pixels.error))
    before, after = (fitted(p).scale(p.spread, p.contrast, p.noise, p.distance) for p in (pixels, spoilt))
    # One pixel in 500 errs two hundredfold: by mean squares the scale would grow eightfold, by mean sizes by half.
    assert np.median(after / before) < 2


def test_brighter_noise_widens_the_intervals_without_a_new_fit() -> None:
    """At another pixel size the noise is another one, the rest stays."""
    found, pixels = fitted(drawn(20_000, seed=5)), drawn(20_000, seed=6)
    more = pixels._replace(noise=4 * pixels.noise)
    rng = np.random.default_rng(7)
    extra = np.sqrt(15) * pixels.noise * rng.standard_normal(20_000)
    noisy = more._replace(error=pixels.error + extra)
    for level in LEVELS:
        # Its own error 0.5 %, that of the fitted factors as much; the failure rate is below 1e-6.
        assert inside(found, level, noisy).mean() == pytest.approx(level, abs=0.03)
        assert inside(found, level, noisy._replace(noise=pixels.noise)).mean() < level - 0.05


def test_nothing_that_varies_still_gives_intervals() -> None:
    nothing = np.zeros(ENOUGH)
    rng = np.random.default_rng(8)
    found = fitted(Pixels(rng.normal(0, 1e-3, ENOUGH), nothing, nothing, nothing, nothing.astype(int) + 1))
    scale = found.scale(nothing, nothing, nothing, nothing.astype(int) + 1)
    assert np.all(scale == SMALLEST)
    assert found.half_width(0.68, scale, nothing.astype(int) + 1)[0] == pytest.approx(1e-3, rel=0.5)
    assert fitted(Pixels(nothing, nothing, nothing, nothing, nothing.astype(int) + 1)).factors == [[0], [0]]


def test_too_few_pixels_are_no_calibration() -> None:
    pixels = drawn(ENOUGH - 1, seed=9)._replace(distance=np.ones(ENOUGH - 1, int))
    assert fit(*pixels) is None
    assert fit(*(values[:0] for values in pixels)) is None


def test_far_pixels_that_were_few_have_no_interval_and_near_ones_count_as_farther() -> None:
    pixels = drawn(4000, seed=10)
    distance = np.repeat([1, 2, 3, 9], [2000, ENOUGH - 1, 4000 - 2000 - ENOUGH + 1 - 5, 5])
    found = fitted(pixels._replace(distance=distance))
    assert (found.distances, found.reach) == ([1, 3], 3)
    assert found.pixels == [2000, 1995]
    ones = np.ones(4)
    scale = found.scale(ones, ones, ones, np.array([2, 3, 4, 9]))
    assert scale[0] == scale[1]
    assert np.isnan(scale[2:]).all()
    assert np.isnan(found.half_width(0.95, scale, np.array([2, 3, 4, 9]))).tolist() == [False, False, True, True]


def test_it_is_read_from_json_as_it_was() -> None:
    found = fitted(drawn(5000, seed=11))
    assert Uncertainty(**json.loads(json.dumps(asdict(found)))) == found


def test_spread_is_between_members() -> None:
    fills = np.array([[1.0, 2.0], [3.0, 2.0]])
    np.testing.assert_allclose(spread(fills), [np.sqrt(2), 0])
    np.testing.assert_array_equal(spread(fills[:1]), [0, 0])


@pytest.mark.parametrize("footprint", [1.0, 14.2])
@pytest.mark.parametrize("expected", [0.05, 1.0, 6.0, 50.0, 5e3])
def test_counting_noise_is_that_of_drawn_counts(expected: float, footprint: float) -> None:
    photons = np.random.default_rng(12).poisson(expected * footprint, 200_000)
    filled = to_intensity(np.array([expected]))
    deviations = to_intensity(photons / footprint).std()
    # The deviation of 200 000 draws is known to 0.3 % (five standard errors: 1.5 %; of 0.05 photons, 1 % and 5 %).
    assert counting_noise(filled, FULL_SCALE, footprint)[0] == pytest.approx(deviations, rel=0.05)


def test_nothing_expected_has_no_noise_and_the_two_formulas_meet() -> None:
    assert counting_noise(np.zeros(1), FULL_SCALE, 1.0)[0] == 0
    below, above = counting_noise(to_intensity(np.array([99.99, 100.01])), FULL_SCALE, 1.0)
    assert below == pytest.approx(above, rel=0.01)
