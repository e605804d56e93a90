"""Searches replayed on stored learning curves: workers with a virtual clock, no training and no Ray."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from benchmarks.search_efficiency.curves import Curve
from benchmarks.search_efficiency.mapping import Bank
from records.tables import Config


class Report(NamedTuple):
    """A trial after an epoch, as a search learns of it."""

    trial: int
    epoch: int
    value: float
    seconds: float
    """Of the trial so far."""


class Search(Protocol):
    """A way to search: which trial to run next, and which to stop."""

    def propose(self) -> tuple[int, Config] | None:
        """Return number and configuration of a new trial, or of a stopped one to go on with; None: nothing now."""

    def report(self, report: Report) -> bool:
        """Take in an epoch; True when the trial is to stop here."""

    def end(self, report: Report, state: str) -> None:
        """Take in that a trial has finished, failed, or been stopped."""


class Step(NamedTuple):
    """The state of a search after an epoch."""

    spent: float
    """Device seconds of all epochs so far."""
    epochs: int
    incumbent: float
    """Full-length value of the trial that the search would hand to retraining."""


@dataclass
class _Trial:
    number: int
    curve: Curve
    cost: float
    epochs: int = 0
    state: str = "interrupted"

    def rank(self) -> tuple[float, int]:
        """Rank as `search.winners.ranked` does: by the last error, whether a trial finished or was cut short."""
        return self.curve.values[self.epochs - 1], self.number


def replay(search: Search, bank: Bank, *, workers: int, epochs: int, budget: float) -> list[Step]:
    """Run a search on so many workers until `budget` device seconds are spent, or it has nothing more to do."""
    trials: dict[int, _Trial] = {}
    met: list[int] = []
    running: list[tuple[float, int]] = []
    now, steps = 0.0, [Step(0.0, 0, math.inf)]
    while steps[-1].spent < budget:
        while len(running) < workers and (proposal := search.propose()) is not None:
            number, config = proposal
            if number not in trials:
                met.append(bank.nearest(config, met))
                trials[number] = _Trial(number, bank.curves[met[-1]], bank.costs[met[-1]])
            trials[number].state = "interrupted"
            heapq.heappush(running, (now + trials[number].cost, number))
        if not running:
            break
        now, number = heapq.heappop(running)
        trial = trials[number]
        state = _advance(search, trial, epochs)
        if state is None:
            heapq.heappush(running, (now + trial.cost, number))
        else:
            trial.state = state
        spent, done, _ = steps[-1]
        steps.append(Step(spent + trial.cost, done + 1, _incumbent(trials, epochs)))
    return steps


def _advance(search: Search, trial: _Trial, epochs: int) -> str | None:
    """Train a trial for an epoch; return how it ended, if it did."""
    trial.epochs += 1
    diverged = trial.epochs > len(trial.curve.values)
    value = math.nan if diverged else trial.curve.values[trial.epochs - 1]
    report = Report(trial.number, trial.epochs, value, trial.epochs * trial.cost)
    if diverged:
        state = "failed"
    elif search.report(report) and trial.epochs < epochs:
        state = "stopped"
    elif trial.epochs == epochs:
        state = "finished"
    else:
        return None
    search.end(report, state)
    return state


def _incumbent(trials: dict[int, _Trial], epochs: int) -> float:
    ranks = [trial.rank() for trial in trials.values() if trial.epochs and trial.state != "failed"]
    if not ranks:
        return math.inf
    *_, number = min(ranks)
    values = trials[number].curve.values
    return values[epochs - 1] if len(values) >= epochs else math.inf


def value_at(steps: Sequence[Step], spent: float) -> float:
    """Return the incumbent when so many device seconds were spent."""
    return steps[bisect_right(steps, spent, key=lambda step: step.spent) - 1].incumbent


def reached(steps: Sequence[Step], value: float) -> float:
    """Return the device seconds until the incumbent was as good as `value`; infinite if it never was."""
    return next((step.spent for step in steps if step.incumbent <= value), math.inf)
