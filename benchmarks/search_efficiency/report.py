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

FIGURE = RESULTS.with_suffix(".svg")

STOCK = "stock Ray + Optuna + ASHA"
OURS = "ours"

QUARTER = "one epoch, then the best quarter"

Make = Callable[[Space, Config, int, int, int], Search]
"""space, defaults, epochs, seed, budget in full trainings -> a search."""


def known(space: Space, defaults: Config, epochs: int, seed: int) -> list[Config]:
    """Return what our search begins with, parameters that a point lacks drawn at random."""
    rng = np.random.default_rng((seed, 1))  # apart from the draws that follow
    return [{**draw(space, rng), **point.config} for point in first_trials(space, defaults, epochs)]


SEARCHES: dict[str, Make] = {
    "the paper's grid, blind": lambda space, defaults, epochs, seed, budget: Listed(grid_points()[:12]),
    "the same grid, residual": lambda space, defaults, epochs, seed, budget: Listed(grid_points()[12:]),
    "random search": lambda space, defaults, epochs, seed, budget: random_search(space, seed),
    # Compute of `budget` trainings: three epochs for each configuration, one and a quarter of the other eight.
    QUARTER: lambda space, defaults, epochs, seed, budget: (
        TopK(space, seed, epochs * budget // 3, epochs * budget // 12)
    ),
    f"{QUARTER}, our first trials": lambda space, defaults, epochs, seed, budget: (
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


Runs = dict[tuple[str, int, int], list[list[Step]]]
"""(search, workers, budget) -> the steps of each seed."""


def write(seeds: int) -> None:
    """Replay everything and write the page."""
    curves = read(CURVES)
    absent = importlib.util.find_spec("syne_tune") is None
    if absent:
        print("Syne Tune is left out, it is not installed: python -m pip install -e '.[benchmarks]'")
    names = [name for name in SEARCHES if not (absent and name.startswith("Syne Tune"))]
    jobs = [(name, workers, budget) for workers in WORKERS for budget in BUDGETS for name in names]
    runs: Runs = {}
    with ProcessPoolExecutor() as pool:
        repeated = [(*job, seed) for job in jobs for seed in range(seeds)]
        for job, steps in zip(repeated, pool.map(_run, repeated, chunksize=4), strict=True):
            runs.setdefault(job[:3], []).append(steps)
    with replacing(RESULTS) as temporary:
        temporary.write_text("\n".join(page(curves, runs, seeds)) + "\n", encoding="utf-8")
    with replacing(FIGURE) as temporary:
        temporary.write_text(figure(runs, training_seconds(curves)), encoding="utf-8")
    print(RESULTS.read_text(encoding="utf-8"))


def training_seconds(curves: Sequence[Curve]) -> float:
    """Return the device seconds of one full training: the mean of a random residual configuration."""
    return EPOCHS * statistics.mean(c.cost for c in curves if c.source == "quasi" and c.config["task"] == "residual")


def _run(job: tuple[str, int, int, int]) -> list[Step]:
    """Replay a search; a job of a worker process."""
    name, workers, budget, seed = job
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    curves = read(CURVES)
    bank = Bank(space("quick"), [curve for curve in curves if curve.source != "repeat"])
    search = SEARCHES[name](bank.space, DEFAULTS, EPOCHS, seed, budget)
    return replay(search, bank, workers=workers, epochs=EPOCHS, budget=budget * training_seconds(curves))


def page(curves: Sequence[Curve], runs: Runs, seeds: int) -> list[str]:
    """Return the lines of the results."""
    unit = training_seconds(curves)
    lines = [*_heading(curves, unit, seeds), "", *_answer(runs, unit), "", *_curves(curves)]
    for workers in WORKERS:
        lines += ["", f"## {workers} workers", "", *_table(runs, workers, unit)]
    return [*lines, "", *LIMITS]


def _heading(curves: Sequence[Curve], unit: float, seeds: int) -> list[str]:
    versions, machine = provenance.versions(), provenance.machine()
    packages = [f"{name} {versions[name]}" for name in ("python", "torch", "ray", "optuna", "numpy")]
    if importlib.util.find_spec("syne_tune") is not None:
        packages.append(f"syne-tune {version('syne-tune')}")
    kinds = {source: len(list(group)) for source, group in groupby(sorted(curves, key=_source), key=_source)}
    return [
        "# Does the search earn its keep?",
        "",
        "- Command: `python -m benchmarks.search_efficiency train`, then `python -m benchmarks.search_efficiency replay "
        f"--seeds {seeds}`",
        f"- Date: {date.today()}. Machine: {machine['cores']} CPU cores ({machine['processor']}, "
        f"{platform.system()}), shared. Versions: {', '.join(packages)}",
        f"- {len(curves)} trainings of TUNet in the space of the quick preset (`curves_tunet.csv`): "
        + ", ".join(f"{count} {source}" for source, count in kinds.items())
        + f". Shrunk against the preset: {SIZE} x {SIZE} px instead of 256 x 256, {FRAMES} simulated frames instead of "
        f"240; {EPOCHS} epochs instead of 6, so that the rungs lie at 1 and 3.",
        f"- A search pays for each epoch the processor seconds that it took (median over the epochs of that training, "
        f"which other programs on the machine disturb little). One training = {unit:.1f} s, the mean of the residual "
        "quasi-random ones. Trials run asynchronously on workers with a virtual clock.",
        "- A proposed configuration trains as the nearest one in the table does, of the same task and not met before in "
        "that search (in earnest, too, nearly the same configuration trains a little differently).",
        f"- {seeds} seeds. Error: full-length validation gap L1 (1e-3) of the trial that would be retrained, median and "
        "95 % bootstrap interval of the median.",
    ]


def _source(curve: Curve) -> str:
    return curve.source


def _answer(runs: Runs, unit: float) -> list[str]:
    """Say whether ours needs at most 70 % of stock's compute, and whether it beats one epoch and the best quarter."""
    lines = []
    for workers in WORKERS:
        for budget in BUDGETS:
            ours, stock = runs[OURS, workers, budget], runs[STOCK, workers, budget]
            ratio, low, high = compute_ratio(ours, stock, budget * unit)
            mine, other = (
                np.array([value_at(steps, budget * unit) for steps in runs[name, workers, budget]])
                for name in (OURS, QUARTER)
            )
            gain, least, most = _interval(lambda a, b: float(np.median(b) - np.median(a)), mine, other)
            beats = "beats" if least > 0 else "loses to" if most < 0 else "is not told apart from"
            lines.append(
                f"- {workers} workers, {budget} trainings: ours reaches stock's final best at {_share(ratio)} "
                f"[{_share(low)}, {_share(high)}] of its compute"
                f"{'' if ratio <= 0.7 else ' – not within 70 %'}; it {beats} {QUARTER} "
                f"(by {gain * 1e3:.3f} [{least * 1e3:.3f}, {most * 1e3:.3f}])."
            )
    return lines


def compute_ratio(
    ours: Sequence[Sequence[Step]], stock: Sequence[Sequence[Step]], budget: float, own: bool = False
) -> tuple[float, float, float]:
    """Return the compute until ours is as good as stock's final best, over stock's: median over all pairs of seeds.

    With its 95 % bootstrap interval over the seeds of both. Stock's compute is the budget or, `own`, what it had spent
    when it found its best. Infinite where ours does not get there within the budget.
    """
    bests = [value_at(steps, budget) for steps in stock]
    spent = [reached(steps, best) if own else budget for steps, best in zip(stock, bests, strict=True)]
    pairs = np.array([[reached(mine, best) for best in bests] for mine in ours]) / np.array(spent)
    rng = np.random.default_rng(0)
    medians = [
        np.median(pairs[rng.integers(len(ours), size=len(ours))][:, rng.integers(len(stock), size=len(stock))])
        for _ in range(2000)
    ]
    low, high = np.quantile(medians, (0.025, 0.975), method="nearest")
    return float(np.median(pairs)), float(low), float(high)


def _interval(
    statistic: Callable[..., float], *samples: npt.NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return a statistic with its 95 % bootstrap interval, each sample redrawn by itself."""
    rng = np.random.default_rng(0)
    drawn = [statistic(*(values[rng.integers(len(values), size=len(values))] for values in samples))
             for _ in range(2000)]  # fmt: skip
    low, high = np.quantile(drawn, (0.025, 0.975), method="nearest")
    return statistic(*samples), float(low), float(high)


def _share(ratio: float) -> str:
    return f"{100 * ratio:.0f} %" if math.isfinite(ratio) else "more than 100 %"


def _curves(curves: Sequence[Curve]) -> list[str]:
    """Say how far early epochs foretell late ones, and how far seeds differ."""
    whole = [c for c in curves if len(c.values) == EPOCHS and c.source != "repeat" and c.config["task"] == "residual"]
    values = np.array([c.values for c in whole])
    foretell = [f"{spearmanr(values[:, epoch - 1], values[:, -1]).statistic:.2f} ({epoch})" for epoch in (1, 2, 3, 6)]
    finals = values[:, -1] * 1e3
    repeats: dict[str, list[float]] = {}
    for curve in curves:
        repeats.setdefault(str(curve.config), []).append(curve.values[-1] * 1e3)
    spread = [np.var(same, ddof=1) for same in repeats.values() if len(same) > 1]
    blind = min(c.values[-1] for c in curves if c.config["task"] == "blind") * 1e3
    diverged = sum(len(c.values) < EPOCHS for c in curves)
    return [
        f"Of the residual curves: best {finals.min():.3f}, median {np.median(finals):.3f}, worst {finals.max():.3f}; the "
        f"best blind one {blind:.2f}; diverged: {diverged}. Rank correlation (Spearman) of the error after an epoch with "
        f"that after {EPOCHS}, residual: {', '.join(foretell)}. Seeds of one configuration differ by "
        f"{np.sqrt(np.mean(spread)):.3f} (standard deviation, {len(spread)} configurations of 3 seeds).",
    ]


def _table(runs: Runs, workers: int, unit: float) -> list[str]:
    rows = [
        f"| L1 (1e-3) after compute of | {' | '.join(f'{budget} trainings' for budget in BUDGETS)} | compute to reach "
        f"stock's final best at {BUDGETS[1]}: of stock's budget | of what stock needed for it |",
        "|" + "---|" * (len(BUDGETS) + 3),
    ]
    for name in SEARCHES:
        if (name, workers, BUDGETS[0]) not in runs:
            continue
        cells = [name]
        for budget in BUDGETS:
            found = np.array([value_at(steps, budget * unit) for steps in runs[name, workers, budget]])
            middle, low, high = _interval(lambda values: float(np.median(values)), found * 1e3)
            cells.append(f"{middle:.3f} [{low:.3f}, {high:.3f}]")
        for own in (False, True):
            budget = BUDGETS[1]
            shares = compute_ratio(
                runs[name, workers, budget], runs[STOCK, workers, budget], budget * unit, own
            )
            middle, low, high = map(_share, shares)
            cells.append(f"{middle} [{low}, {high}]")
        rows.append(f"| {' | '.join(cells)} |")
    return rows
