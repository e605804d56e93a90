"""Statistics of means and differences: intervals and tests over groups of frames, pure functions of numbers.

Frames of one sample or series resemble each other, so the group is the unit: its frames are drawn together, and a
test sees one number of it. Values that are None or NaN are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Value = float | None

LEVEL = 0.05
MIN_GROUPS = 8
"""Fewer give no interval. It would hold the truth nearly as often, but by its width: of frames that spread over a
decade in 6 groups, one interval of ten has its ends a factor of 35 apart, in 8 groups of 8 (benchmarks/LOG.md)."""
RESAMPLES = 1999
FLIPS = 9999
"""Random sign patterns of a test; all patterns are tried where they are fewer."""


class Interval(NamedTuple):
    """Both ends of a 95 % interval."""

    low: float
    high: float


class Mean(NamedTuple):
    """A mean over frames."""

    value: float | None
    """None without a frame."""
    interval: Interval | None
    """None with fewer than `MIN_GROUPS` groups."""
    frames: int
    groups: int


class Difference(NamedTuple):
    """One method against another on the same frames."""

    change: float | None
    """exp(mean over groups of the mean log ratio of errors) - 1: -0.02 where the first one's error is 2 % lower in
    the typical group; None without a frame that both have."""
    interval: Interval | None
    p: float | None
    """Two-sided, of the hypothesis that neither is better; None with fewer than two groups."""
    frames: int
    groups: int


def mean(values: Sequence[Value], groups: Sequence[str]) -> Mean:
    """Mean of errors over frames, with an interval over groups."""
    numbers, members = _known(np.array(values, dtype=np.float64), groups)
    if not numbers.size:
        return Mean(None, None, 0, 0)
    counts = np.bincount(members).astype(np.float64)
    sums = np.bincount(members, numbers).astype(np.float64)
    interval = bootstrap(sums, counts, positive=bool((numbers > 0).all()))
    return Mean(float(numbers.mean()), interval, numbers.size, counts.size)


def compare(first: Sequence[Value], second: Sequence[Value], groups: Sequence[str]) -> Difference:
    """Compare the errors of two methods on the same frames; where one of them is 0, there is no ratio."""
    own, other = np.array([first, second], dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(own == other, 0.0, np.log(own) - np.log(other))
    ratios, members = _known(logs, groups)
    if not ratios.size:
        return Difference(None, None, None, 0, 0)
    values = np.bincount(members, ratios) / np.bincount(members)
    found = bootstrap(values, np.ones_like(values))
    interval = Interval(math.expm1(found.low), math.expm1(found.high)) if found else None
    p = sign_flip(values) if values.size > 1 else None
    return Difference(math.expm1(float(values.mean())), interval, p, ratios.size, values.size)


def _known(values: Floats, groups: Sequence[str]) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Values that are numbers, and the number of the group of each."""
    finite = np.isfinite(values)
    chosen = [group for group, known in zip(groups, finite, strict=True) if known]
    numbers = {group: number for number, group in enumerate(dict.fromkeys(chosen))}
    return values[finite], np.array([numbers[group] for group in chosen], dtype=np.int64)


def bootstrap(sums: Floats, counts: Floats, *, positive: bool = False) -> Interval | None:
    """95 % interval of sums / counts by the studentised bootstrap over groups; None with too few of them.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 12.5; of the logarithm where all values are
    positive. Means of skewed errors over a dozen groups are held more often than by the percentile and BCa methods
    (benchmarks/LOG.md).
    """
    if counts.size < MIN_GROUPS:
        return None
    value = sums.sum() / counts.sum()
    rest = sums - value * counts
    moments = np.stack([rest, counts, rest**2, rest * counts, counts**2], axis=1)
    shift_total, total, squares, products, sizes = (_draws(counts.size) @ moments).T
    shift = shift_total / total
    variance = np.maximum(squares - 2 * shift * products + shift**2 * sizes, 0) * counts.size / (counts.size - 1)
    ratio, error = value + shift, np.sqrt(variance) / total
    if positive:
        ratio, error = np.log(ratio), error / ratio
    # Resamples of one group over and over have no error of their own.
    usable = error > 1e-6 * error[0]
    pivots = (ratio[usable] - ratio[0]) / error[usable] if error[0] > 0 else np.zeros(1)
    low, high = (float(ratio[0] - end * error[0]) for end in np.quantile(pivots, (1 - LEVEL / 2, LEVEL / 2)))
    return Interval(math.exp(low), math.exp(high)) if positive else Interval(low, high)


@lru_cache(maxsize=2)
def _draws(count: int) -> Floats:
    """Return the number of times that each group is in each resample; the first one is the sample itself."""
    random = np.random.default_rng(0)
    drawn = random.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)
    return np.vstack([np.ones(count), drawn])


def sign_flip(values: Floats) -> float:
    """Two-sided p that values are as likely below 0 as above: how often random signs bring their mean as far from 0.

    It tests the mean that is reported, and holds its level for few groups (benchmarks/LOG.md compares it with
    Wilcoxon's test and the t test).
    """
    sums = np.abs(_signs(values.size) @ values)
    return float((sums >= sums[0] - 1e-9 * np.abs(values).sum()).mean())


@lru_cache(maxsize=2)
def _signs(count: int) -> Floats:
    """Patterns of signs, first the one that was measured; of opposite patterns, which say the same, only one."""
    if 2 ** (count - 1) <= FLIPS + 1:
        bits = np.arange(2 ** (count - 1))[:, None] >> np.arange(count)
        return np.where(bits & 1, -1.0, 1.0)
    signs = np.random.default_rng(0).choice((-1.0, 1.0), (FLIPS + 1, count))
    signs[0] = 1
    return signs


def smallest_p(groups: int) -> float:
    """Return the smallest p that so many groups can give."""
    return 1 / min(2.0 ** (groups - 1), FLIPS + 1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p of several tests for their number (Holm 1979): chance brings one below 0.05 in 5 % of cases."""
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for place, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[number]))
        corrected[number] = largest
    return corrected
