"""The searches that are compared, by name."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import numpy as np

from benchmarks.search_efficiency.mapping import Space, draw
from benchmarks.search_efficiency.methods import Halved, Listed, Ours, Stock, TopK, draws, random_search
from benchmarks.search_efficiency.replay import Search
from benchmarks.search_efficiency.syne import SyneTune
from benchmarks.search_efficiency.train import grid_points
from records.tables import Config
from search.tuning.studies import first_trials

STOCK = "stock Ray + Optuna + ASHA"
OURS = "ours"

QUARTER = "one epoch, then the best quarter"

Make = Callable[[Space, Config, int, int, int], Search]
"""space, defaults, epochs, seed, budget in full trainings -> a search."""


def known(space: Space, defaults: Config, seed: int) -> list[Config]:
    """Return what our search begins with, parameters that a point lacks drawn at random."""
    rng = np.random.default_rng((seed, 1))  # apart from the draws that follow
    return [{**draw(space, rng), **config} for config in first_trials(space, defaults)]


SEARCHES: dict[str, Make] = {
    "the paper's grid, blind": lambda space, defaults, epochs, seed, budget: Listed(grid_points()[:12]),
    "the same grid, residual": lambda space, defaults, epochs, seed, budget: Listed(grid_points()[12:]),
    "random search": lambda space, defaults, epochs, seed, budget: random_search(space, seed),
    # Compute of `budget` trainings: three epochs for each configuration, one and a quarter of the other eight.
    QUARTER: lambda space, defaults, epochs, seed, budget: TopK(
        space, seed, epochs * budget // 3, epochs * budget // 12
    ),
    f"{QUARTER}, our first trials": lambda space, defaults, epochs, seed, budget: TopK(
        space, seed, epochs * budget // 3, epochs * budget // 12, known(space, defaults, seed)
    ),
    "Syne Tune ASHA": lambda space, defaults, epochs, seed, budget: SyneTune("ASHA", space, epochs, seed),
    "Syne Tune BOHB": lambda space, defaults, epochs, seed, budget: SyneTune("BOHB", space, epochs, seed),
    STOCK: lambda space, defaults, epochs, seed, budget: Stock(space, epochs, seed),
    f"{STOCK}, our first trials": lambda space, defaults, epochs, seed, budget: Stock(
        space, epochs, seed, known(space, defaults, seed)
    ),
    f"{STOCK}, our rungs": lambda space, defaults, epochs, seed, budget: Stock(
        space, epochs, seed, grace=2, reduction=3
    ),
    f"{STOCK}, our first trials and rungs": lambda space, defaults, epochs, seed, budget: Stock(
        space, epochs, seed, known(space, defaults, seed), grace=2, reduction=3
    ),
    f"{OURS}, without its first trials": lambda space, defaults, epochs, seed, budget: Ours(
        space, defaults, epochs, seed, known=False
    ),
    OURS: lambda space, defaults, epochs, seed, budget: Ours(space, defaults, epochs, seed),
    f"{OURS}, random instead of TPE": lambda space, defaults, epochs, seed, budget: Halved(
        chain(known(space, defaults, seed), draws(space, seed)), epochs
    ),
    f"{OURS}, first rung after 2 epochs, no first trials": lambda space, defaults, epochs, seed, budget: Ours(
        space, defaults, epochs, seed, known=False, first_rung=2
    ),
    f"{OURS}, first rung after 2 epochs": lambda space, defaults, epochs, seed, budget: Ours(
        space, defaults, epochs, seed, first_rung=2
    ),
    f"{OURS}, reduction 2": lambda space, defaults, epochs, seed, budget: Ours(
        space, defaults, epochs, seed, reduction=2
    ),
    f"{OURS}, reduction 4": lambda space, defaults, epochs, seed, budget: Ours(
        space, defaults, epochs, seed, reduction=4
    ),
    f"{OURS}, compared after equal time": lambda space, defaults, epochs, seed, budget: Ours(
        space, defaults, epochs, seed, compare_at="seconds"
    ),
}
