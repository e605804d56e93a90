"""Every search replayed at every budget, and the results as a page."""

from __future__ import annotations

import importlib.util
import logging
import math
import statistics
import warnings
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from benchmarks.search_efficiency.curves import CURVES, EPOCHS, Curve, read
from benchmarks.search_efficiency.figure import figure
from benchmarks.search_efficiency.mapping import DEFAULTS, SPACE, Bank, fitted_costs
from benchmarks.search_efficiency.replay import Step, reached, replay, value_at
from benchmarks.search_efficiency.searches import OURS, QUARTER, SEARCHES, STOCK
from benchmarks.search_efficiency.train import FRAMES, SIZE
from scattering import provenance
from scattering.files import replacing

BUDGETS = (5, 10, 25)
"""Compute of so many full trainings. With 25 a search sees some hundred configurations, half of the table: further on
every search ends with the best of it."""

WORKERS = (2, 8)

RESULTS = Path("benchmarks/results/search_efficiency.md")

FIGURE = RESULTS.with_suffix(".svg")

SHARE = 0.75
"""Of the curves that there are for a seed, drawn at random: no result hangs on a few lucky configurations."""

REDRAWN = 2000
"""Bootstrap samples."""

SHOWN = (OURS, f"{OURS}, without its first trials", STOCK, f"{STOCK}, our first trials", "random search", QUARTER)
"""In the figure."""

Runs = dict[tuple[str, int, int], list[list[Step]]]
"""(search, workers, budget) -> the steps of each seed."""


def write(seeds: int) -> None:
    """Replay everything and write the page."""
    unit = training_seconds(stored_bank())
    if not _has_syne_tune():
        print("Syne Tune is left out, it is not installed: python -m pip install -e '.[benchmarks]'")
    names = [name for name in SEARCHES if _has_syne_tune() or not name.startswith("Syne Tune")]
    # A plan is made for a budget; other searches go through the smaller budgets on their way to the largest.
    jobs = [(*job, seed) for job in product(names, WORKERS, BUDGETS) for seed in range(seeds)
            if job[2] == BUDGETS[-1] or QUARTER in job[0]]  # fmt: skip
    runs: Runs = {}
    with ProcessPoolExecutor() as pool:
        for (name, workers, budget, _), steps in zip(jobs, pool.map(_run, jobs, chunksize=4), strict=True):
            for smaller in (budget,) if QUARTER in name else BUDGETS:
                runs.setdefault((name, workers, smaller), []).append(steps)
    with replacing(RESULTS) as temporary:
        temporary.write_text("\n".join(page(read(CURVES), runs, unit, seeds)) + "\n", encoding="utf-8")
    with replacing(FIGURE) as temporary:
        shown = {name: runs[name, WORKERS[0], BUDGETS[-1]] for name in SHOWN}
        temporary.write_text(figure(shown, unit, BUDGETS[-1]), encoding="utf-8")
    print(RESULTS.read_text(encoding="utf-8"))


def training_seconds(bank: Bank) -> float:
    """Return the device seconds of one full training: the mean of the residual quasi-random ones."""
    return EPOCHS * statistics.mean(
        cost
        for curve, cost in zip(bank.curves, bank.costs, strict=True)
        if curve.source == "quasi" and curve.config["task"] == "residual"
    )


def stored_bank(seed: int | None = None) -> Bank:
    """Return the bank of the stored curves, or of those three in four that a seed draws."""
    curves = [curve for curve in read(CURVES) if curve.source != "repeat"]
    costs = fitted_costs(SPACE, curves)
    if seed is not None:
        drawn = np.random.default_rng((seed, 2)).random(len(curves)) < SHARE
        kept = [number for number, curve in enumerate(curves) if drawn[number] or curve.source == "first"]
        curves, costs = [curves[number] for number in kept], [costs[number] for number in kept]
    return Bank(SPACE, curves, costs)


def _run(job: tuple[str, int, int, int]) -> list[Step]:
    """Replay a search; a job of a worker process."""
    name, workers, budget, seed = job
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    bank = stored_bank(seed)
    search = SEARCHES[name](bank.space, DEFAULTS, EPOCHS, seed, budget)
    return replay(search, bank, workers=workers, epochs=EPOCHS, budget=budget * training_seconds(stored_bank()))


def page(curves: Sequence[Curve], runs: Runs, unit: float, seeds: int) -> list[str]:
    """Return the lines of the results."""
    lines = [*_heading(curves, unit, seeds), "", *_answers(runs, unit), "", _landscape(curves)]
    for workers in WORKERS:
        lines += ["", f"## {workers} workers", "", *_table(runs, workers, unit)]
    lines += ["", f"![Median error against compute, {WORKERS[0]} workers]({FIGURE.name})", ""]
    return lines + [f"- {limit}" for limit in LIMITS]


LIMITS = (
    "What the figures do not say: one network, simulated frames, a shrunk data set; other curves may rank the ways "
    "to search differently, small differences certainly.",
    "Where the first rung lies was chosen on this same table; the rows of stock with our rungs and first trials tell "
    "what of ours anyone has by setting them. Seeds of one configuration differ by more than the better searches do.",
    "Errors are those of validation frames, which chose the winner; the search's last step, retraining, costs every "
    "search the same and is not counted, nor is the time in which a sampler thinks or Ray starts a trial.",
    "Kind to Ray: no proposal is made ahead of its worker, trials that diverge would be errors, and early stopping "
    "survives, for no session is interrupted.",
)


def _heading(curves: Sequence[Curve], unit: float, seeds: int) -> list[str]:
    versions, machine = provenance.versions(), provenance.machine()
    packages = [f"{name} {versions[name]}" for name in ("python", "torch", "ray", "optuna", "numpy")]
    if _has_syne_tune():
        packages.append(f"syne-tune {version('syne-tune')}")
    kinds = Counter(curve.source for curve in curves)
    return [
        "# Does the search earn its keep?",
        "",
        "- Command: `python -m benchmarks.search_efficiency train`, then "
        f"`python -m benchmarks.search_efficiency replay --seeds {seeds}`",
        f"- Date: {date.today()}. Machine: {machine['cores']} CPU cores ({machine['processor']}), shared. "
        f"Versions: {', '.join(packages)}",
        f"- {len(curves)} trainings of TUNet in the space of the quick preset ([curves_tunet.csv]({CURVES.name})): "
        f"{', '.join(f'{count} {source}' for source, count in kinds.items())}. Shrunk against the preset: {SIZE} x "
        f"{SIZE} px instead of 256 x 256, {FRAMES} simulated frames instead of 240; {EPOCHS} epochs instead of 6, so "
        "that there are two rungs, after 2 and 6.",
        "- An epoch costs processor seconds, as fitted over all trainings (a quadratic in the configuration): "
        f"single ones are stretched by what else runs on the machine. One training is {unit:.1f} s, the mean "
        "of the residual quasi-random ones. Trials run asynchronously, on workers with a virtual clock.",
        "- A proposed configuration trains as the nearest in the table does, of the same task and not yet met in "
        "that search: in earnest, too, nearly the same configuration trains a little differently.",
        f"- {seeds} seeds of each search; each seed draws {SHARE:.0%} of the table, the same for all searches. "
        "Errors are the full-length validation gap L1 (1e-3) of the trial that would be retrained, the best so far, "
        "finished or not: median over the seeds and its 95 % bootstrap interval.",
    ]


def _answers(runs: Runs, unit: float) -> list[str]:
    """Say how much of stock's compute ours needs, and whether it beats one epoch and the best quarter."""
    lines = []
    for workers, budget in product(WORKERS, BUDGETS):
        ours, stock = runs[OURS, workers, budget], runs[STOCK, workers, budget]
        shares = compute_ratio(ours, stock, budget * unit)
        strict = compute_ratio(ours, stock, budget * unit, own=True)
        mine, theirs = (_found(runs, name, workers, budget, unit) for name in (OURS, QUARTER))
        gain, least, most = interval(theirs - mine)
        verdict = "beats" if least > 0 else "loses to" if most < 0 else "is not told apart from"
        lines.append(
            f"- {workers} workers, {budget} trainings: ours reaches stock's final best at {_cell(shares)} of its "
            f"compute{'' if shares[0] <= 0.7 else ', not within 70 %'}, that is at {_cell(strict)} of what stock "
            f"took to find it. It {verdict} one epoch and the best quarter (L1 lower by {gain:.3f} "
            f"[{least:.3f}, {most:.3f}])."
        )
    return lines


def compute_ratio(
    ours: Sequence[Sequence[Step]], stock: Sequence[Sequence[Step]], budget: float, own: bool = False
) -> tuple[float, float, float]:
    """Return the compute until ours is as good as stock's final best, over stock's: median over the seeds.

    With its 95 % bootstrap interval. Stock's compute is the budget or, `own`, what it had spent when it found its
    best. Infinite where ours never gets there.
    """
    ratios = []
    for mine, theirs in zip(ours, stock, strict=True):
        best = value_at(theirs, budget)
        ratios.append(reached(mine, best) / (reached(theirs, best) if own else budget))
    return interval(np.array(ratios))


def interval(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the median of the seeds and its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(values, (REDRAWN, len(values))), axis=1)
    low, high = np.quantile(medians, (0.025, 0.975), method="nearest")
    return float(np.median(values)), float(low), float(high)


def _found(runs: Runs, name: str, workers: int, budget: int, unit: float) -> npt.NDArray[np.float64]:
    """Return what each seed of a search has found (1e-3)."""
    return 1e3 * np.array([value_at(steps, budget * unit) for steps in runs[name, workers, budget]])


def _cell(shares: tuple[float, float, float]) -> str:
    return "{} [{}, {}]".format(*map(_share, shares))


def _share(ratio: float) -> str:
    return f"{100 * ratio:.0f} %" if math.isfinite(ratio) else "–"


def _landscape(curves: Sequence[Curve]) -> str:
    """Say how far early epochs foretell late ones, and how far seeds differ."""
    single = [curve for curve in curves if len(curve.values) == EPOCHS and curve.source != "repeat"]
    values = 1e3 * np.array([curve.values for curve in single if curve.config["task"] == "residual"])
    final = values[:, -1]
    near = values[final <= np.quantile(final, 0.25)]
    foretold = ", ".join(
        f"{spearmanr(values[:, epoch - 1], final).statistic:.2f} and "
        f"{spearmanr(near[:, epoch - 1], near[:, -1]).statistic:.2f} after {epoch}"
        for epoch in (1, 2, 3, 6)
    )
    seeds: dict[str, list[float]] = {}
    for curve in curves:
        seeds.setdefault(str(curve.config), []).append(1e3 * curve.values[-1])
    spread = [float(np.var(same, ddof=1)) for same in seeds.values() if len(same) > 1]
    blind = min(curve.values[-1] for curve in single if curve.config["task"] == "blind")
    return (
        f"The curves: residual ones end at {final.min():.3f} (best), {np.median(final):.3f} (median), "
        f"{final.max():.3f} (worst), the best blind one at {1e3 * blind:.2f}; "
        f"{sum(len(curve.values) < EPOCHS for curve in curves)} diverged. Rank correlation "
        "(Spearman) of early errors with the last, of all residual ones and of their best quarter: "
        f"{foretold}. Seeds of one configuration differ by {np.sqrt(np.mean(spread)):.3f} (standard deviation, "
        f"{len(spread)} configurations)."
    )


def _table(runs: Runs, workers: int, unit: float) -> list[str]:
    """Return errors at each budget and, at the middle one, the compute to reach stock's final best."""
    middle = BUDGETS[len(BUDGETS) // 2]
    rows = [
        f"| | {' | '.join(f'{budget} trainings' for budget in BUDGETS)} | stock's best of {middle}: at so much of "
        "the budget | and of what stock took to find it |",
        "|" + "---|" * (len(BUDGETS) + 3),
    ]
    for name in SEARCHES:
        if (name, workers, middle) not in runs:
            continue
        cells = [
            "{:.3f} [{:.3f}, {:.3f}]".format(*interval(_found(runs, name, workers, budget, unit)))
            for budget in BUDGETS
        ]
        for own in (False, True):
            shares = compute_ratio(runs[name, workers, middle], runs[STOCK, workers, middle], middle * unit, own)
            cells.append(_cell(shares))
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def _has_syne_tune() -> bool:
    return importlib.util.find_spec("syne_tune") is not None
