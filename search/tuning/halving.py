"""Asynchronous successive halving (ASHA, Li et al. 2020, arXiv:1810.05934), one bracket.

The rule is that of Ray's AsyncHyperBandScheduler, and a test holds the two equal. What Ray's cannot do is go
on after a restart: here the rungs are what the records make them, whoever replays them.
"""

from __future__ import annotations

import numpy as np

from records.tables import REDUCTION, rungs


class SuccessiveHalving:
    """Stops trials that are not among the best 1 / `reduction` of those that reached a rung before them.

    Rungs lie at `first_rung` * `reduction`**k windows, below `length`. Trials are compared after equal windows or,
    with `compare_at` "seconds", after equal training time, in units of the first window that was recorded: networks
    whose windows take longer are compared after fewer. Smaller values are better.
    """

    def __init__(self, length: int, first_rung: int, reduction: int = REDUCTION, compare_at: str = "epochs") -> None:
        self.length = length
        self.reduction = reduction
        self.unit = 1.0 if compare_at == "epochs" else None
        """Windows or seconds from one place on the ladder to the next; None before the first report."""
        self.compare_at = compare_at
        self.rungs: dict[int, dict[int, float]] = {rung: {} for rung in rungs(length, first_rung, reduction)}
        self.stopped: set[int] = set()

    def record(self, trial: int, windows: int, value: float, seconds: float = 0.0) -> bool:
        """Take in a trial's value after so many windows and seconds; True when the trial is to stop here."""
        if self.unit is None:
            self.unit = seconds / windows
        place = (windows if self.compare_at == "epochs" else seconds) / self.unit
        reached = max((rung for rung in self.rungs if rung <= place), default=None)
        # A trial is judged once at a rung; one that ends here has nothing left to save.
        if reached is None or trial in self.rungs[reached] or windows >= self.length:
            return False
        rung = self.rungs[reached]
        # The first trial at a rung has nothing to be measured against and passes.
        loses = bool(rung) and value > np.percentile(list(rung.values()), 100 / self.reduction)
        rung[trial] = value
        if loses:
            self.stopped.add(trial)
        return bool(loses)
