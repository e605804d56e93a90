"""Ends from outside what does not end by itself: trials that hang, or are in an epoch when the time is over."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from search.ledger import Ledger

PATIENCE = 600.0
"""Seconds without a word after which a trial counts as hung; longer where it says that its epochs take long."""

HANGS = 2
"""Times that a trial may hang before it is given up: a file system may have stalled."""

GRACE = 0.05
"""Share of the time by which trials may end their epoch late."""


class Watchdog(tune.Callback):
    """Looks after the processes of running trials.

    Tune itself waits for a report, however long; from here a process can only be killed. Tune then takes the trial up
    again, from its last checkpoint, unless it is given up.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.heard: dict[int, float] = {}
        """When each running trial was last heard of, or its process began."""
        self.patience: dict[int, float] = {}
        self.hangs: Counter[int] = Counter()

    def __getstate__(self) -> dict[str, Any]:
        """Give nothing of ours to Tune's snapshots."""
        return {}

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """Note that a trial lives."""
        self.heard[result["trial"]] = time.monotonic()
        self.patience[result["trial"]] = result.get("patience", PATIENCE)

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        """End what must be ended; called several times a second."""
        for trial in trials:
            number, actor = trial.config["trial"], trial.temporary_state.ray_actor
            if trial.status != TuneTrial.RUNNING or actor is None:
                self.heard.pop(number, None)
            elif self._hangs(number) or self.ledger.is_over(GRACE):
                if number in self.ledger.failures or self.ledger.is_over():
                    trial.max_failures = 0
                ray.kill(actor)

    def _hangs(self, trial: int) -> bool:
        """Whether a trial has been silent for too long; one that does so again is given up."""
        patience = self.patience.get(trial, PATIENCE)
        if time.monotonic() - self.heard.setdefault(trial, time.monotonic()) <= patience:
            return False
        del self.heard[trial]
        self.hangs[trial] += 1
        if self.hangs[trial] == HANGS:
            log = self.ledger.log(trial)
            self.ledger.failures[trial] = f"reported nothing for {patience:.0f} s, {HANGS} times: see {log}"
        return True
