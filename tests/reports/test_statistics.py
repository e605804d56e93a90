import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from reports import statistics
from reports.statistics import compare, holm, mean, sign_flip

GROUPS, PER_GROUP = 50, 4


def planted(random: np.random.Generator, change: float) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Errors of two methods on 200 frames, the first one's lower by `change` in all.

    They spread over a decade between frames (standard deviation 0.57 of the logarithm, two thirds of its variance
    between groups); the methods' errors correlate by 0.995: their ratio scatters by 3 % between groups, 5 % within.
    """
    groups = np.repeat(np.arange(GROUPS), PER_GROUP)
    bright = random.normal(0, 0.46, GROUPS)[groups] + random.normal(0, 0.33, groups.size)
    ratio = random.normal(0, 0.03, GROUPS)[groups] + random.normal(0, 0.05, groups.size)
    second = 5e-3 * np.exp(bright)
    return second * (1 - change) * np.exp(ratio), second, [f"sample {group}" for group in groups]


def test_a_planted_improvement_of_2_percent_on_200_frames_is_found():
    """One test finds it in 95 % of cases (benchmarks/LOG.md): fewer than 32 of 40 in one draw of seeds in 5 000."""
    found = [compare(*planted(np.random.default_rng(seed), 0.02)) for seed in range(40)]
    assert sum(difference.p < 0.05 for difference in found) >= 32
    # The standard deviation of one change is 0.0056.
    assert all(abs(difference.change + 0.02) < 5 * 0.0056 for difference in found)
    assert (found[0].frames, found[0].groups) == (200, 50)


def test_a_planted_tie_is_found_different_about_as_often_as_the_level_says():
    """5 % of 400 are 20 +- 4.4: outside 5 to 40 (-3.4, +4.6 sigma) once in some thousand draws of seeds."""
    alarms = [compare(*planted(np.random.default_rng(10_000 + seed), 0.0)).p < 0.05 for seed in range(400)]
    assert 5 <= sum(alarms) <= 40


def test_intervals_of_mean_and_change_hold_the_truth_about_as_often_as_they_say():
    """93 % of 300 are 279 +- 4.4 (benchmarks/LOG.md): below 259 (-4.5 sigma) once in 100 000 draws of seeds."""
    truth = 5e-3 * np.exp((0.46**2 + 0.33**2) / 2)
    held = {"mean": 0, "change": 0}
    for seed in range(300):
        first, second, groups = planted(np.random.default_rng(20_000 + seed), 0.02)
        low, high = mean(second, groups).interval
        held["mean"] += low <= truth <= high
        low, high = compare(first, second, groups).interval
        held["change"] += low <= -0.02 <= high
    assert min(held.values()) >= 259


def test_frames_of_a_group_count_as_one_piece_of_evidence():
    """Ten copies of each frame in its group change nothing; taken for groups of their own they feign certainty."""
    first, second, groups = planted(np.random.default_rng(0), 0.0)
    once = compare(first[::PER_GROUP], second[::PER_GROUP], groups[::PER_GROUP])
    repeated = [np.repeat(values[::PER_GROUP], 10) for values in (first, second, np.array(groups))]
    again = compare(*repeated)
    assert (again.change, again.p) == pytest.approx((once.change, once.p))
    assert again.interval == pytest.approx(once.interval)
    feigned = mean(repeated[0], [str(k) for k in range(repeated[0].size)]).interval
    honest = mean(repeated[0], repeated[2]).interval
    assert honest.high - honest.low > 2 * (feigned.high - feigned.low)


@pytest.mark.parametrize("count", [2, 5, 9, 13])
def test_the_sign_flip_test_is_scipy_s_permutation_test(count):
    values = np.random.default_rng(count).normal(0.3, 1, count)
    exact = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(values) == pytest.approx(exact.pvalue, rel=1e-12)


def test_of_many_groups_random_signs_give_the_p_of_a_t_test():
    """Both are the same but for terms of 1 / groups; 10 000 signs leave 0.005 (5 sigma of 0.002 are 0.01)."""
    values = np.random.default_rng(1).normal(0.1, 1, 200)
    assert sign_flip(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=0.01)


def test_the_studentised_bootstrap_of_normal_values_is_student_s_interval():
    """Of 400 normal values they agree but for what 1999 resamples leave (5 % of the width)."""
    values = np.random.default_rng(2).normal(3, 1, 400)
    low, high = statistics.bootstrap(values, np.ones_like(values))
    expected = stats.t.interval(0.95, values.size - 1, values.mean(), stats.sem(values))
    assert (low, high) == pytest.approx(expected, abs=0.1 * (expected[1] - expected[0]))


@pytest.mark.parametrize("p_values", [[0.01, 0.04, 0.03, 0.005], [0.5], [0.02, 0.02, 0.9, 1e-6], [0.9, 0.8], []])
def test_holm_is_that_of_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1] if p_values else [])


def test_equal_errors_on_every_frame_are_a_tie():
    _, errors, groups = planted(np.random.default_rng(0), 0.0)
    assert compare(errors, errors, groups)[:3] == (0.0, (0.0, 0.0), 1.0)
    assert compare([0.0] * 9, [0.0] * 9, list("abcdefghi"))[:3] == (0.0, (0.0, 0.0), 1.0)


def test_too_few_groups_have_no_interval_and_one_group_no_test():
    few = compare([1.0, 2.0, 3.0], [2.0, 2.5, 4.0], ["a", "b", "c"])
    assert few.interval is None
    assert few.p == pytest.approx(0.25)
    one = compare([1.0, 2.0], [2.0, 3.0], ["a", "a"])
    assert (one.interval, one.p) == (None, None)
    assert one.change == pytest.approx(np.sqrt(1 / 3) - 1)
    assert mean([1.0, 2.0], ["a", "a"]) == (1.5, None, 2, 1)


def test_frames_without_a_value_are_left_out():
    nan = float("nan")
    assert compare([1.0, None, nan, 2.0], [2.0, 1.0, 1.0, None], list("abcd")) == compare([1.0], [2.0], ["a"])
    assert compare([None], [1.0], ["a"]) == (None, None, None, 0, 0)
    assert mean([None, nan], ["a", "b"]) == (None, None, 0, 0)
    assert mean([None, 4.0], ["a", "b"]).value == 4.0


def test_the_mean_is_over_frames_not_over_groups():
    assert mean([1.0, 1.0, 4.0], ["a", "a", "b"]).value == 2.0


def test_a_frame_on_which_one_method_alone_errs_by_nothing_has_no_ratio():
    assert compare([0.0, 1e-4], [1e-3, 2e-3], ["a", "b"]) == compare([1e-4], [2e-3], ["b"])


def test_the_smallest_p_is_what_one_sided_values_give():
    for groups in (2, 8, 12, 60):
        assert sign_flip(np.linspace(1, 2, groups)) == pytest.approx(statistics.smallest_p(groups))
