"""The search space as a unit cube: draws from it, and the trained configuration nearest to any other."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from benchmarks.search_efficiency.curves import Curve
from records.tables import Config
from spaces import tunet

Space = dict[str, BaseDistribution]


SPACE: Space = {name: of for name, of in tunet.space("quick").items() if name != "geometry"}
"""Of the stored curves: networks that do not look at rings."""

DEFAULTS: Config = {name: value for name, value in tunet.DEFAULTS.items() if name != "geometry"}


class Bank:
    """Stands for training: gives a proposed configuration the curve of the nearest trained one.

    Categories are met exactly; over the others the distance is Euclidean in the unit cube.
    """

    def __init__(self, space: Space, curves: Sequence[Curve], costs: Sequence[float], once: bool = True) -> None:
        self.space = space
        self.curves = list(curves)
        self.costs = list(costs)
        """Seconds of an epoch of each."""
        self.once = once
        """Whether a search meets each curve at most once, as long as there are others: in earnest, too, nearly the
        same configuration trains a little differently. Else what is proposed twice costs twice and brings nothing."""
        self._places = np.array([place(space, curve.config) for curve in self.curves])

    def nearest(self, config: Config, used: Collection[int] = ()) -> int:
        """Return the number of the curve that stands for a configuration; `used` are those already met."""
        away = np.abs(self._places - place(self.space, config))
        # No two values of a category are near.
        away[:, self._categories()] *= 1e6
        distance = (away**2).sum(axis=1)
        # A used curve of the right category is nearer than an unused one of the wrong one.
        distance[list(used)] += 1e3 * self.once
        return int(np.argmin(distance))

    def _categories(self) -> list[int]:
        return [axis for axis, of in enumerate(self.space.values()) if isinstance(of, CategoricalDistribution)]


def place(space: Space, config: Config) -> npt.NDArray[np.float64]:
    """Return where a configuration lies in the unit cube."""
    return np.array([_share(of, config[name]) for name, of in space.items()])


def fitted_costs(space: Space, curves: Sequence[Curve]) -> list[float]:
    """Return the seconds of an epoch of each curve: their logarithm is a quadratic in the unit cube, fitted to all.

    Measured one by one they would say what else ran on the machine that day.
    """
    places = np.array([place(space, curve.config) for curve in curves])
    rows, columns = np.triu_indices(places.shape[1])
    terms = np.column_stack([np.ones(len(places)), places, places[:, rows] * places[:, columns]])
    measured = np.log([np.median(curve.seconds) for curve in curves])
    return [float(cost) for cost in np.exp(terms @ np.linalg.lstsq(terms, measured, rcond=None)[0])]


def at(distribution: BaseDistribution, share: float) -> int | float | str:
    """Return the value below which a share of a distribution lies, as Optuna draws it."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(share * len(distribution.choices))]  # type: ignore[return-value]
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if step is None:
        return float(low * (high / low) ** share if distribution.log else low + share * (high - low))
    # Each value stands for the half step to either side of it.
    below, above = low - step / 2, high + step / 2
    value = below * (above / below) ** share if distribution.log else below + share * (above - below)
    value = low + step * round((value - low) / step)
    value = min(max(value, low), high)
    return int(value) if isinstance(distribution, IntDistribution) else float(value)


def _share(distribution: BaseDistribution, value: int | float | str) -> float:
    """Return where a value lies between the ends of its distribution, from 0 to 1."""
    if isinstance(distribution, CategoricalDistribution):
        return float(distribution.choices.index(value))
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, value = distribution.low, distribution.high, float(value)
    return math.log(value / low) / math.log(high / low) if distribution.log else (value - low) / (high - low)


def draw(space: Space, rng: np.random.Generator) -> Config:
    """Return a random configuration, as Optuna's random sampler draws it."""
    return {name: at(of, rng.random()) for name, of in space.items()}
