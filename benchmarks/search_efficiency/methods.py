"""Ways to search, each by its own code: ours and Ray's by the classes that a search runs with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from optuna.storages import InMemoryStorage

from benchmarks.search_efficiency.mapping import Space, draw
from benchmarks.search_efficiency.replay import Report
from records.tables import Config, Interim
from search.tuning.halving import SuccessiveHalving
from search.tuning.sampler import First, open_study
from search.tuning.studies import first_trials

ENDLESS = 10**6
"""Trials; the budget ends every search."""


class Listed:
    """Configurations in a given order, each to full length."""

    def __init__(self, configs: Iterable[Config]) -> None:
        self.configs = enumerate(configs)

    def propose(self) -> tuple[int, Config] | None:
        """Return the next of the list."""
        return next(self.configs, None)

    def report(self, report: Report) -> bool:
        """Stop nothing."""
        return False

    def end(self, report: Report, state: str) -> None:
        """Learn nothing."""


class Halved(Listed):
    """Configurations in a given order, stopped as our search stops them."""

    def __init__(self, configs: Iterable[Config], epochs: int) -> None:
        super().__init__(configs)
        self.halving = SuccessiveHalving(epochs, epochs // 9)

    def report(self, report: Report) -> bool:
        """Ask our rule."""
        return self.halving.record(*report)


def random_search(space: Space, seed: int) -> Listed:
    """Return random search without early stopping."""
    return Listed(draws(space, seed))


def draws(space: Space, seed: int) -> Iterator[Config]:
    """Yield random configurations without end."""
    rng = np.random.default_rng(seed)
    while True:
        yield draw(space, rng)


class TopK:
    """Random configurations trained for one epoch each; then the best go on to full length, one after the other."""

    def __init__(self, space: Space, seed: int, count: int, keep: int, first: Sequence[Config] = ()) -> None:
        rng = np.random.default_rng(seed)
        self.configs = dict(enumerate([*first, *(draw(space, rng) for _ in range(count - len(first)))]))
        self.waiting = list(self.configs)
        self.keep = keep
        self.values: dict[int, float] = {}
        self.ended = 0
        self.chosen = False

    def propose(self) -> tuple[int, Config] | None:
        """Return the next new trial, then the best of all; None while some are in their first epoch."""
        if not self.waiting and not self.chosen and self.ended == len(self.configs):
            self.chosen = True
            self.waiting = sorted(self.values, key=self.values.__getitem__)[: self.keep]
        if not self.waiting:
            return None
        number = self.waiting.pop(0)
        return number, self.configs[number]

    def report(self, report: Report) -> bool:
        """Stop after the first epoch."""
        self.values[report.trial] = report.value
        return report.epoch == 1

    def end(self, report: Report, state: str) -> None:
        """Count, until all have had an epoch."""
        self.ended += 1


class Ours:
    """The search of this project: its study, its first trials, its early stopping."""

    def __init__(
        self, space: Space, defaults: Config, epochs: int, seed: int, known: bool = True, **halving: Any
    ) -> None:
        points = [First(config, epochs) for config in first_trials(space, defaults)] if known else []
        self.sampler = open_study(
            InMemoryStorage(), "replay", space, points, trials=ENDLESS, windows=epochs, seed=seed, progress=[]
        )  # type: ignore[arg-type]
        self.halving = SuccessiveHalving(epochs, **{"first_rung": epochs // 9, **halving})

    def propose(self) -> tuple[int, Config] | None:
        """Ask the study."""
        proposal = self.sampler.propose()
        return None if proposal is None else (proposal.trial, proposal.config)

    def report(self, report: Report) -> bool:
        """Record as the search's ledger does."""
        trial, epoch, value, seconds = report
        self.sampler.record(Interim(trial, epoch, epoch, value, value, value, 0.0, 0.0, seconds))
        return self.halving.record(trial, epoch, value, seconds)

    def end(self, report: Report, state: str) -> None:
        """Tell the study."""
        self.sampler.conclude(report.trial, state)


class Stock:
    """Ray Tune's OptunaSearch with its AsyncHyperBandScheduler, called in the order of Tune's controller.

    Kind to it: no proposal is made ahead of its worker, and a trial that diverges is an error, not a NaN for ever.
    """

    def __init__(
        self,
        space: Space,
        epochs: int,
        seed: int,
        first: Sequence[Config] = (),
        grace: int = 1,
        reduction: int = 4,
    ) -> None:
        from ray.tune.schedulers import AsyncHyperBandScheduler
        from ray.tune.search.optuna import OptunaSearch

        metric = {"metric": "val_gap_l1", "mode": "min"}
        self.searcher = OptunaSearch(space, points_to_evaluate=list(first) or None, seed=seed, **metric)
        self.scheduler = AsyncHyperBandScheduler(
            max_t=epochs, grace_period=grace, reduction_factor=reduction, **metric
        )
        self.trials: list[Any] = []

    def propose(self) -> tuple[int, Config] | None:
        """Ask the searcher."""
        number = len(self.trials)
        self.trials.append(SimpleNamespace(trial_id=str(number)))
        self.scheduler.on_trial_add(None, self.trials[-1])
        return number, self.searcher.suggest(str(number))

    def report(self, report: Report) -> bool:
        """Ask the scheduler; the searcher learns of what is not stopped."""
        from ray.tune.schedulers import TrialScheduler

        result = self._result(report)
        stops = self.scheduler.on_trial_result(None, self.trials[report.trial], result) == TrialScheduler.STOP
        if not stops:
            self.searcher.on_trial_result(str(report.trial), result)
        return bool(stops)

    def end(self, report: Report, state: str) -> None:
        """Tell both how Tune sees it: a stopped trial is a complete one."""
        trial, result = self.trials[report.trial], self._result(report)
        if state == "failed":
            self.scheduler.on_trial_remove(None, trial)
            self.searcher.on_trial_complete(trial.trial_id, error=True)
        else:
            self.scheduler.on_trial_complete(None, trial, result)
            self.searcher.on_trial_complete(trial.trial_id, result=result)

    @staticmethod
    def _result(report: Report) -> dict[str, Any]:
        return {"training_iteration": report.epoch, "val_gap_l1": report.value}
