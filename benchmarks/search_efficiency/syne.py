"""Syne Tune's ASHA and BOHB (https://github.com/syne-tune/syne-tune), driven as its tuner drives them."""

from __future__ import annotations

import datetime
import random
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from benchmarks.search_efficiency.mapping import Space
from benchmarks.search_efficiency.replay import Report
from records.tables import Config


class SyneTune:
    """A scheduler of Syne Tune with its own defaults; `name` is ASHA or BOHB."""

    def __init__(self, name: str, space: Space, epochs: int, seed: int) -> None:
        from syne_tune.optimizer import baselines

        # Its scheduler draws brackets, and parts of its searchers, from the global streams.
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        self.scheduler = getattr(baselines, name)(
            {key: _domain(of) for key, of in space.items()},
            metric="val_gap_l1", time_attr="epoch", max_t=epochs, do_minimize=True, random_seed=seed,
        )  # fmt: skip
        self.trials: list[Any] = []

    def propose(self) -> tuple[int, Config] | None:
        """Ask the scheduler."""
        from syne_tune.backend.trial_status import Trial

        suggestion = self.scheduler.suggest()
        assert suggestion.spawn_new_trial_id
        trial = Trial(len(self.trials), suggestion.config, datetime.datetime.now())
        self.trials.append(trial)
        self.scheduler.on_trial_add(trial)
        return trial.trial_id, trial.config

    def report(self, report: Report) -> bool:
        """Tell the scheduler, which decides."""
        result = {"epoch": report.epoch, "val_gap_l1": report.value}
        decision: str = self.scheduler.on_trial_result(self.trials[report.trial], result)
        return decision == "STOP"

    def end(self, report: Report, state: str) -> None:
        """Tell of failures; the rest it knows, for it stopped them."""
        if state == "failed":
            self.scheduler.on_trial_error(self.trials[report.trial])


def _domain(distribution: BaseDistribution) -> Any:
    from syne_tune import config_space

    if isinstance(distribution, CategoricalDistribution):
        return config_space.choice(list(distribution.choices))
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high, step = distribution.low, distribution.high, distribution.step
    if isinstance(distribution, IntDistribution):
        return config_space.lograndint(low, high) if distribution.log else config_space.randint(low, high)
    if step is not None:
        return config_space.finrange(low, high, round((high - low) / step) + 1)
    return config_space.loguniform(low, high) if distribution.log else config_space.uniform(low, high)
