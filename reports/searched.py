"""The search in plain sentences, on the page and at the end of a run: whether it happened, and what it gained."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from records.networks import TITLES
from records.tables import Trial, in_epochs
from reports.folder import Run


def sentences(run: Run) -> list[str]:
    """Say of each network where a search hardly happened, and what it gained over the default configuration."""
    found = []
    for network in dict.fromkeys(trial.network for trial in run.trials if trial.network in TITLES):
        own = sorted((t for t in run.trials if t.network == network and t.point is None), key=lambda t: t.trial)
        if own and run.winners:
            found += [_hardly(run, network, own) or _gain(run, network, own)]
    return list(filter(None, found))


def _hardly(run: Run, network: str, trials: Sequence[Trial]) -> str:
    """Say that fewer than half of the trials planned came to an end, or none to its own."""
    settings = run.info.settings
    planned = settings.get("trials", len(trials)) * (2 if settings.get("task") == "both" else 1)
    begun = sum(trial.epochs > 0 or trial.state != "interrupted" for trial in trials)
    ended = sum(trial.state != "interrupted" for trial in trials)
    finished = sum(trial.state == "finished" for trial in trials)
    if finished and 2 * ended >= planned:
        return ""
    return (
        f"This was hardly a search of {TITLES[network]}: {begun} of {planned} trials began, "
        f"{finished or 'none'} finished; go on with: python -m search.run {run.info.network} "
        f"--name {run.info.name} --resume --minutes 30"
    )


def _gain(run: Run, network: str, trials: Sequence[Trial]) -> str:
    """Compare the winner with the first trial, the default configuration, after equal training."""
    title, default = TITLES[network], trials[0]
    winner = next((one for one in run.winners if one.network == network and one.point is None), None)
    if winner is None:
        return ""
    if winner.trial == default.trial:
        return f"The search found nothing better for {title} than its default configuration."
    curves = {
        trial: {one.windows: one for one in run.progress if one.trial == trial}
        for trial in (default.trial, winner.trial)
    }
    shared = set.intersection(*map(set, curves.values()))
    if not shared:
        return ""
    first, best = (curve[max(shared)] for curve in curves.values())
    change = best.val_gap_l1 / first.val_gap_l1 - 1
    size = f"{abs(change) * 100:.1f} % {'lower' if change < 0 else 'higher'}"
    return (
        f"After {in_epochs(best.epoch)} epoch{'s' * (best.epoch != 1)} the error of {title}'s winner on the "
        f"validation frames is {size} than that of the default configuration{_scatter(run, winner)}."
    )


def _scatter(run: Run, winner: Trial) -> str:
    """Say how much the seeds of one configuration differ, where there are several."""
    lowest: dict[int, float] = {}
    for one in run.retraining:
        if one.trial == winner.trial:
            lowest[one.seed] = min(one.val_gap_l1, lowest.get(one.seed, one.val_gap_l1))
    if len(lowest) < 2:
        return ""
    spread = statistics.stdev(lowest.values()) / statistics.fmean(lowest.values())
    return f"; seeds of one configuration scatter by {spread * 100:.1f} % (standard deviation)"
