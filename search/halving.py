"""Asynchronous successive halving (ASHA, Li et al. 2020, arXiv:1810.05934), one bracket.

The rule is that of Ray's AsyncHyperBandScheduler, and a test holds the two equal. What Ray's cannot do is go
on after a restart: here the rungs are what the recorded epochs make them, whoever replays them.
"""

from __future__ import annotations

import numpy as np


class SuccessiveHalving:
    """Stops trials that are not among the best 1 / `reduction` of those that reached a rung before them.

    Rungs lie at `grace` * reduction**k epochs, below `epochs`. Smaller values are better.
    """

    def __init__(self, epochs: int, grace: int = 1, reduction: int = 3) -> None:
        self.epochs = epochs
        self.reduction = reduction
        self.rungs: dict[int, dict[int, float]] = {}
        rung = grace
        while rung < epochs:
            self.rungs[rung] = {}
            rung *= reduction
        self.stopped: set[int] = set()

    def record(self, trial: int, epoch: int, value: float) -> bool:
        """Take in a trial's value after an epoch; True when the trial is to stop here."""
        rung = self.rungs.get(epoch)
        if rung is None or trial in rung:
            return False
        # The first trial at a rung has nothing to be measured against and passes.
        loses = bool(rung) and value > np.percentile(list(rung.values()), 100 / self.reduction)
        rung[trial] = value
        if loses:
            self.stopped.add(trial)
        return bool(loses)
