import itertools
import math
import random

import pytest

from reports.figures import axes


@pytest.mark.parametrize("log", [False, True])
def test_ticks_are_round_few_and_within_the_range(log):
    draws = random.Random(0)
    for _ in range(2000):
        low = 10 ** draws.uniform(-6, 6)
        high = low * 10 ** draws.uniform(0.001, 9)
        values = axes.ticks(low, high, log)
        assert 2 <= len(values) <= 5
        assert low <= values[0] and values[-1] <= high
        assert all(before < after for before, after in itertools.pairwise(values))
        rounded = [float(f"{value:.{2 if high / low > 1.5 else 6}g}") for value in values]
        assert values == pytest.approx(rounded) or max(values) / (high - low) > 10


def test_ticks_of_wide_logarithmic_axes_are_powers_of_ten():
    assert axes.ticks(1e-4, 1, log=True) == [1e-4, 1e-3, 1e-2, 0.1, 1]
    assert all(math.log10(value) == pytest.approx(round(math.log10(value))) for value in axes.ticks(1, 1e9, True))


def test_ticks_of_one_value_are_that_value():
    assert axes.ticks(3, 3) == axes.ticks(3, 3, log=True) == [3]


@pytest.mark.parametrize("log", [False, True])
def test_an_axis_holds_its_ends_also_when_they_are_equal(log):
    for low, high in ((2, 2), (2, 300)):
        start, end = axes.axis(low, high, log)["range"]
        assert start < (math.log10(low) if log else low)
        assert end > (math.log10(high) if log else high)


def test_short_values_say_thousands_and_millions():
    values = {8_556_401: "8.56M", 11_577: "11.6k", 5e-4: "0.0005", 2.0: "2", 1e-5: "1e−5", 0: "0", 1000: "1000"}
    assert {value: axes.short(value) for value in values} == values
