"""Asynchronous successive halving (ASHA, Li et al. 2020, arXiv:1810.05934), one bracket.

The rule is that of Ray's AsyncHyperBandScheduler, and a test holds the two equal. What Ray's cannot do is go
on after a restart: here the rungs are what the recorded epochs make them, whoever replays them.
"""

from __future__ import annotations

import numpy as np


class SuccessiveHalving:
    """Stops trials that are not among the best 1 / `reduction` of those that reached a rung before them.

    Rungs lie at `grace` * reduction**k epochs, below `epochs`. Trials are compared after equal epochs or, with
    `compare_at` "seconds", after equal training time, in units of the first epoch that was recorded: networks whose
    epochs take longer are compared after fewer. Smaller values are better.

    Defaults as in benchmarks/results/search_efficiency.md: among good configurations the error after one epoch
    says nothing of the last one (rank correlation 0.1, after two 0.3). Reductions of 2 and 4 did as well as 3.
    """

    def __init__(self, epochs: int, grace: int = 2, reduction: int = 3, compare_at: str = "epochs") -> None:
        self.epochs = epochs
        self.reduction = reduction
        self.unit = 1.0 if compare_at == "epochs" else None
        """Epochs or seconds from one place on the ladder to the next; None before the first epoch."""
        self.compare_at = compare_at
        self.rungs: dict[int, dict[int, float]] = {}
        rung = grace
        while rung < epochs:
            self.rungs[rung] = {}
            rung *= reduction
        self.stopped: set[int] = set()

    def record(self, trial: int, epoch: int, value: float, seconds: float = 0.0) -> bool:
        """Take in a trial's value after an epoch and its seconds so far; True when the trial is to stop here."""
        if self.unit is None:
            self.unit = seconds / epoch
        place = (epoch if self.compare_at == "epochs" else seconds) / self.unit
        reached = max((rung for rung in self.rungs if rung <= place), default=None)
        # A trial is judged once at a rung; one that ends here has nothing left to save.
        if reached is None or trial in self.rungs[reached] or epoch >= self.epochs:
            return False
        rung = self.rungs[reached]
        # The first trial at a rung has nothing to be measured against and passes.
        loses = bool(rung) and value > np.percentile(list(rung.values()), 100 / self.reduction)
        rung[trial] = value
        if loses:
            self.stopped.add(trial)
        return bool(loses)
