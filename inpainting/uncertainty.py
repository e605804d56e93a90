"""The uncertainty of filled pixels: intervals calibrated on validation pixels, whatever the distribution of errors.

Everything is in transformed intensity, y = log1p(counts) / log1p(full_scale). Arrays are of any one shape:

- `spread`: standard deviation between the members of the ensemble, 0 with one member;
- `contrast`: of the linear interpolation, as `scattering.filling.texture` gives it;
- `noise`: standard deviation of a count at this pixel: `counting_noise`;
- `distance`: pixels of the working grid to the nearest observed one, rounded.

The variance of the error is taken to be noise^2 + A spread^2 + B_d contrast^2. The noise has no coefficient: it is
known, and at another pixel size it is another one while A and B_d stay. A is above 1 where the members share a part
of their error; B_d is what they all miss, which grows with the distance d and with how much the surroundings vary.
Errors divided by the root of this have tails of their own. Quantiles of them on validation pixels, at each distance
on its own, make the intervals hold whether or not the variance is right: split conformal prediction (Lei et al. 2018,
doi:10.1080/01621459.2017.1307116), Mondrian by distance (Vovk et al. 2003). What must hold is that new frames are
like the validation frames; pixels of one frame resemble each other, so single frames stray more than their pixels'
number says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from scattering.arrays import Reals
from scattering.preprocessing import to_counts

Integers = npt.NDArray[np.integer]

LEVELS = (0.68, 0.95)
"""Shares of the truth that intervals are to hold."""

ENOUGH = 200
"""Validation pixels at a distance from which it is calibrated: found shares are then off by 1.5 % at 95 %, were the
pixels independent."""

SMALLEST = 1e-4
"""Scale of the error at least; a count where there is none is 0.05 with a full scale of 2**20."""

MOST = 200_000
"""Pixels that decide A and B at most: they are few numbers."""

MANY = 100.0
"""Expected photons from which the logarithm is linear over their noise: to a hundredth."""


@dataclass(frozen=True)
class Uncertainty:
    """The result of `fit` on validation pixels; JSON can hold it."""

    spread: float
    """A."""
    distances: list[int]
    """Ascending: the calibrated ones. Pixels between two of them count as the farther one."""
    contrast: list[float]
    """B, at each of the distances."""
    levels: list[float]
    factors: list[list[float]]
    """Half-widths of the intervals in units of the scale: for each level, at each of the distances."""
    pixels: list[int]
    """Validation pixels that each distance rests on."""

    @property
    def reach(self) -> int:
        """The farthest calibrated distance: pixels beyond it have no interval and are to be left unfilled."""
        return self.distances[-1]

    def scale(self, spread: Reals, contrast: Reals, noise: Reals, distance: Integers) -> Reals:
        """Return the scale of the error; NaN beyond the reach."""
        at_distance = self._at(self.contrast, distance)
        variance = noise**2 + self.spread * spread**2 + at_distance * contrast**2
        return np.maximum(np.sqrt(variance), SMALLEST)

    def half_width(self, level: float, scale: Reals, distance: Integers) -> Reals:
        """Return half the width of the interval about the fill that holds the truth with probability `level`.

        One of `levels`; NaN beyond the reach.
        """
        return scale * self._at(self.factors[self.levels.index(level)], distance)

    def _at(self, values: list[float], distance: Integers) -> Reals:
        return np.array([*values, np.nan])[np.searchsorted(self.distances, distance)]


def fit(error: Reals, spread: Reals, contrast: Reals, noise: Reals, distance: Integers) -> Uncertainty | None:
    """Calibrate on validation pixels, all (pixels,); `error` is fill - truth.

    None where no distance has enough of them.
    """
    distances = np.flatnonzero(np.bincount(distance) >= ENOUGH) if distance.size else np.zeros(0, np.int64)
    if not distances.size:
        return None
    near = distance <= distances[-1]
    distance = distance[near]
    error, spread, contrast, noise = (values[near].astype(np.float64) for values in (error, spread, contrast, noise))
    place = np.searchsorted(distances, distance)
    few = np.random.default_rng(0).choice(place.size, MOST) if place.size > MOST else slice(None)
    share, at_distance = _weights(error[few], spread[few], contrast[few], noise[few], place[few], distances.size)
    pixels = np.bincount(place)
    found = Uncertainty(
        share, distances.tolist(), at_distance.tolist(), list(LEVELS), [[1.0] * distances.size] * 2, pixels.tolist()
    )
    scores = np.abs(error) / found.scale(spread, contrast, noise, distance)
    factors = [_quantiles(scores[place == number]) for number in range(distances.size)]
    return Uncertainty(
        spread=share,
        distances=found.distances,
        contrast=found.contrast,
        levels=found.levels,
        factors=[list(column) for column in zip(*factors, strict=True)],
        pixels=found.pixels,
    )


def _weights(
    error: Reals, spread: Reals, contrast: Reals, noise: Reals, place: Integers, classes: int
) -> tuple[float, Reals]:
    """Return A and B of each class, at or above 0: those that make sum(log s + sqrt(pi / 2) |error| / s) smallest.

    s is the root of the variance. For Gaussian errors s is then their standard deviation; outliers count by their
    size, not by its square. Both parts of the sum are bounded from above by functions that touch them at the current
    values, the logarithm by its tangent and 1 / s by Jensen's inequality (Hunter and Lange 2004,
    doi:10.1198/0003130042836): each step multiplies by a ratio to the power 2 / 3, and the sum never grows.
    """
    size = math.sqrt(math.pi / 2) * np.abs(error)
    squares = spread**2, contrast**2
    share, at_distance = float(spread.any()), np.ones(classes)
    for _ in range(300):
        variance = np.maximum(noise**2 + share * squares[0] + at_distance[place] * squares[1], SMALLEST**2)
        falls, grows = size * variance**-1.5, 1 / variance
        step = _ratio(np.sum(falls * squares[0]), np.sum(grows * squares[0])) ** (2 / 3)
        tops, bottoms = (np.bincount(place, part * squares[1], minlength=classes) for part in (falls, grows))
        steps = _ratio(tops, bottoms) ** (2 / 3)
        share, at_distance = float(share * step), at_distance * steps
        if max(abs(step - 1) * (share > 0), *np.abs(steps - 1)) < 1e-4:
            break
    return share, at_distance


def _ratio(top: npt.ArrayLike, bottom: npt.ArrayLike) -> Reals:
    """Divide; 1 where there is nothing to go by."""
    tops, bottoms = np.asarray(top, np.float64), np.asarray(bottom, np.float64)
    return np.asarray(np.divide(tops, bottoms, out=np.ones_like(tops), where=bottoms > 0))


def _quantiles(scores: Reals) -> list[float]:
    """Of each level the score that a further one stays below: ceil((n + 1) level)-th."""
    ranks = [math.ceil((scores.size + 1) * level) - 1 for level in LEVELS]
    return [float(score) for score in np.partition(scores, ranks)[ranks]]


def spread(fills: Reals) -> Reals:
    """Return the standard deviation between the fills of several models (models, ...): 0 of one."""
    alone = np.zeros(fills.shape[1:], fills.dtype)
    return np.asarray(fills.std(axis=0, ddof=1, dtype=np.float64)) if len(fills) > 1 else alone


def counting_noise(filled: Reals, full_scale: float, footprint: float) -> Reals:
    """Return the standard deviation of a count, in y, where `filled` is expected.

    A pixel is the mean of `footprint` detector pixels (`scattering.preprocessing.footprint`), its sum is Poisson: for
    few photons the variance of the logarithm is summed over what may be counted, for many it is that of its tangent.
    """
    expected = np.maximum(to_counts(filled.astype(np.float64), full_scale), 0) * footprint
    few = np.interp(np.sqrt(expected), *_few_photons(footprint))
    deviation = np.where(expected < MANY, few, np.sqrt(expected) / (footprint + expected))
    return np.asarray(deviation / math.log1p(full_scale))


@lru_cache(maxsize=8)
def _few_photons(footprint: float) -> tuple[Reals, Reals]:
    """Root of the expected number up to `MANY`, and the standard deviation of log1p(photons / footprint) there."""
    roots = np.linspace(0, math.sqrt(MANY), 201)
    photons = np.arange(2 * int(MANY) + 1)
    factorials = np.concatenate(([0.0], np.cumsum(np.log(photons[1:]))))
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = 2 * photons * np.log(roots)[:, None]
    terms[0, 0] = 0  # 0 * log(0)
    shares = np.exp(terms - roots[:, None] ** 2 - factorials)
    values = np.log1p(photons / footprint)
    mean = shares @ values
    return roots, np.sqrt(np.maximum(shares @ values**2 - mean**2, 0))
