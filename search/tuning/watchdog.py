"""Ends from outside what does not end by itself: trials that hang, or are still training when the time is over."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from search.following.display import say
from search.tuning.ledger import Ledger
from search.tuning.proposals import Hook, Proposals
from trainables.messages import Started, from_report

HANGS = 2
"""Times that a trial may hang before it is given up: a file system may have stalled."""

ROOM = 60.0
"""Seconds after which it is said that no trial has found a place."""

GRACE = 0.05
"""Share of the time by which trials may come to their next report late."""


class Watchdog(Hook, tune.Callback):
    """Looks after the processes of running trials.

    Tune itself waits for a report, however long; from here a process can only be killed. Its trial is then taken up
    again, from its last report, unless it is given up.
    """

    def __init__(self, ledger: Ledger, proposals: Proposals) -> None:
        self.ledger, self.proposals = ledger, proposals
        self.heard: dict[int, float] = {}
        """When each running trial was last heard of, or its process began."""
        self.patience: dict[int, float] = {}
        self.hangs: Counter[int] = Counter()
        self.idle = time.monotonic()
        """Since when no trial runs, though some would."""
        self.told = False

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """Note that a trial lives."""
        message = from_report(result)
        self.heard[message.trial] = time.monotonic()
        if isinstance(message, Started):
            self.patience[message.trial] = message.patience

    def on_step_begin(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:
        """End what must be ended; called several times a second."""
        self._see_who_waits(trials)
        for trial in trials:
            if trial.is_finished():  # type: ignore[no-untyped-call]
                self.proposals.notice_dropped(trial.trial_id)
                continue
            number, actor = trial.config["trial"], trial.temporary_state.ray_actor
            if trial.status != TuneTrial.RUNNING or actor is None:
                self.heard.pop(number, None)
            elif self._hangs(number) or self.ledger.is_late(number, GRACE):
                ray.kill(actor)

    def _see_who_waits(self, trials: list[TuneTrial]) -> None:
        """Say once what all trials wait for; once the time is over, they wait in vain."""
        states = {trial.status for trial in trials}
        if TuneTrial.RUNNING in states or TuneTrial.PENDING not in states:
            self.idle = time.monotonic()
            return
        for_long = time.monotonic() - self.idle > ROOM
        # Without any result, those whose process is just starting may come to one.
        self.ledger.abandoned = self.ledger.is_over(GRACE) and (bool(self.ledger.last) or for_long)
        if for_long and not self.told:
            self.told = True
            need = self.ledger.resources
            say(
                f"for {ROOM:.0f} s no machine has had room for a trial "
                f"(CPU cores: {need.cpus}, GPUs: {need.gpus:g}): waiting until one comes or is free"
            )

    def _hangs(self, trial: int) -> bool:
        """Tell whether a trial has been silent for too long; one that does so again is given up."""
        patience = self.patience.get(trial, self.proposals.patience)
        if time.monotonic() - self.heard.setdefault(trial, time.monotonic()) <= patience:
            return False
        del self.heard[trial]
        self.hangs[trial] += 1
        if self.hangs[trial] == HANGS:
            log = self.ledger.run.log(trial)
            self.ledger.failures[trial] = f"reported nothing for {patience:.0f} s, {HANGS} times: see {log}"
        return True
