"""Every search replayed at every budget, and the results as a page."""

from __future__ import annotations

import importlib.util
import logging
import math
import platform
import statistics
import warnings
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from benchmarks.search_efficiency.curves import CURVES, EPOCHS, Curve, read
from benchmarks.search_efficiency.mapping import Bank, Space, draw
from benchmarks.search_efficiency.methods import Listed, Ours, Stock, TopK, random_search
from benchmarks.search_efficiency.replay import Search, Step, replay
from benchmarks.search_efficiency.syne import SyneTune
from benchmarks.search_efficiency.train import FRAMES, SIZE, grid_points
from scattering.files import replacing
from search import provenance
from search.records import Config
from search.studies import first_trials
from spaces.tunet import DEFAULTS, space

BUDGETS = (8, 25, 50)
"""Compute of so many full trainings: the quick preset's trials, and a standard search's at the most."""

WORKERS = (2, 8)

RESULTS = Path("benchmarks/results/search_efficiency.md")

STOCK = "stock Ray + Optuna + ASHA"
OURS = "ours"

Make = Callable[[Space, Config, int, int, int], Search]
"""space, defaults, epochs, seed, budget in full trainings -> a search."""


def known(space: Space, defaults: Config, epochs: int, seed: int) -> list[Config]:
    """Return what our search begins with, parameters that a point lacks drawn at random."""
    rng = np.random.default_rng(seed)
    return [{**draw(space, rng), **point.config} for point in first_trials(space, defaults, epochs)]


SEARCHES: dict[str, Make] = {
    "the paper's grid, blind": lambda space, defaults, epochs, seed, budget: Listed(grid_points()[:12]),
    "the same grid, residual": lambda space, defaults, epochs, seed, budget: Listed(grid_points()[12:]),
    "random search": lambda space, defaults, epochs, seed, budget: random_search(space, seed),
    # Compute of `budget` trainings: three epochs for each configuration, one and a quarter of the other eight.
    "one epoch, then the best quarter": lambda space, defaults, epochs, seed, budget: (
        TopK(space, seed, epochs * budget // 3, epochs * budget // 12)
    ),
    "one epoch, then the best quarter, our first trials": lambda space, defaults, epochs, seed, budget: (
        TopK(space, seed, epochs * budget // 3, epochs * budget // 12, known(space, defaults, epochs, seed))
    ),
    "Syne Tune ASHA": lambda space, defaults, epochs, seed, budget: SyneTune("ASHA", space, epochs, seed),
    "Syne Tune BOHB": lambda space, defaults, epochs, seed, budget: SyneTune("BOHB", space, epochs, seed),
    STOCK: lambda space, defaults, epochs, seed, budget: Stock(space, epochs, seed),
    f"{STOCK}, reduction 3": lambda space, defaults, epochs, seed, budget: Stock(space, epochs, seed, reduction=3),
    f"{STOCK}, our first trials": lambda space, defaults, epochs, seed, budget: (
        Stock(space, epochs, seed, known(space, defaults, epochs, seed))
    ),
    f"{OURS}, without its first trials": lambda space, defaults, epochs, seed, budget: (
        Ours(space, defaults, epochs, seed, known=False)
    ),
    OURS: lambda space, defaults, epochs, seed, budget: Ours(space, defaults, epochs, seed),
}


def value_at(steps: Sequence[Step], spent: float) -> float:
    """Return the incumbent when so many device seconds were spent."""
    return steps[bisect_right(steps, spent, key=lambda step: step.spent) - 1].incumbent


def reached(steps: Sequence[Step], value: float) -> float:
    """Return the device seconds until the incumbent was as good as `value`; infinite if it never was."""
    return next((step.spent for step in steps if step.incumbent <= value), math.inf)
