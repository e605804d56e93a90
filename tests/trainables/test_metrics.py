import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trainables.metrics import correlation, mean_absolute_error

PAIRS = st.integers(2, 30).flatmap(
    lambda size: st.tuples(*(arrays.arrays(np.float64, size, elements=st.floats(0, 1)) for _ in range(2)))
)


@given(PAIRS)
def test_mean_absolute_error_is_a_distance(pair):
    prediction, truth = pair
    assert mean_absolute_error(prediction, truth) == pytest.approx(np.mean(np.abs(prediction - truth)))
    assert mean_absolute_error(prediction, truth) == mean_absolute_error(truth, prediction)
    assert mean_absolute_error(truth, truth) == 0


def test_correlation_is_pearsons():
    rng = np.random.default_rng(0)
    truth = rng.random(500).astype(np.float32)
    prediction = truth + rng.normal(0, 0.1, 500).astype(np.float32)
    assert correlation(prediction, truth) == pytest.approx(
        scipy.stats.pearsonr(prediction, truth).statistic, rel=1e-6
    )


@given(st.floats(0.1, 100), st.floats(-10, 10))
def test_correlation_is_blind_to_scale_and_offset(scale, offset):
    truth = np.linspace(0, 1, 20) ** 2
    assert correlation(scale * truth + offset, truth) == pytest.approx(1, abs=1e-9)
    assert correlation(-scale * truth + offset, truth) == pytest.approx(-1, abs=1e-9)


def test_correlation_survives_a_large_offset_in_single_precision():
    truth = np.random.default_rng(0).random(10_000).astype(np.float32) * 1e-3 + 0.9
    assert correlation(truth, truth) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("values", [([], []), ([1.0], [2.0]), ([3.0, 3.0], [1.0, 2.0]), ([1.0, 2.0], [0.0, 0.0])])
def test_correlation_is_none_where_it_has_no_meaning(values):
    assert correlation(*map(np.array, values)) is None


def test_no_pixel_has_no_error():
    assert mean_absolute_error(np.zeros(0), np.zeros(0)) is None
