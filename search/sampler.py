"""Optuna, told the truth: what was proposed, every value on the way, and how each trial ended.

Ray's own OptunaSearch reports trials that ASHA stopped as complete with their early value, and leaves trials
that diverged running for ever. Here a trial stopped early is PRUNED with all its values, a failed one FAIL. The
study is a journal file in the run folder: what a search goes on from after a restart.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from search.records import Config, Epoch

optuna.logging.set_verbosity(optuna.logging.WARNING)

STARTUP_TRIALS = 6
"""Random trials before TPE has enough to learn from."""

STATES = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "interrupted": TrialState.PRUNED}


class First(NamedTuple):
    """What one of the first trials is given; the rest of its parameters is random."""

    config: Config
    epochs: int | None = None
    """How long it is trained, where that is not what the search gives every trial."""


class Known(NamedTuple):
    """What the study knows of a trial."""

    config: Config
    epochs: int
    state: str
    """finished, stopped, failed or interrupted, which it is until it ends."""
    error: str


@dataclass
class Proposal:
    """A trial to run: new, or begun in an earlier session."""

    trial: int
    config: Config
    epochs: int
    """How many it is trained for, unless it is stopped early."""
    known_epochs: int = 0


@dataclass
class Sampler:
    """One network's study: propose, record, conclude.

    Several studies share the numbers of a run's trials: trial `place` + k * `studies` is trial k of this one.
    """

    study: optuna.Study
    space: dict[str, BaseDistribution]
    trials: int
    """How many there may be in all."""
    epochs: int
    place: int = 0
    studies: int = 1
    unfinished: list[Proposal] = field(default_factory=list)

    def propose(self) -> Proposal | None:
        """Return the next trial; None when all have been proposed."""
        if self.unfinished:
            return self.unfinished.pop(0)
        if len(self._proposed()) >= self.trials:
            return None
        return self.proposal(self.study.ask())

    def proposal(self, trial: optuna.Trial, known_epochs: int = 0) -> Proposal:
        """What is to be done of a trial of the study; parameters that it lacks are chosen."""
        for name, distribution in self.space.items():
            trial._suggest(name, distribution)
        number = self.place + trial.number * self.studies
        return Proposal(number, dict(trial.params), trial.user_attrs.get("epochs", self.epochs), known_epochs)

    def record(self, epoch: Epoch) -> None:
        """Take in one epoch of a running trial."""
        trial = self._running(epoch.trial)
        with warnings.catch_warnings():
            # An epoch that is recorded already keeps its value.
            warnings.filterwarnings("ignore", "The reported value is ignored")
            trial.report(epoch.val_gap_l1, epoch.epoch)

    def conclude(self, number: int, state: str, reason: str = "") -> None:
        """End a trial as finished, stopped, interrupted or failed; its last value is its value."""
        trial = self._running(number)
        trial.set_user_attr("state", state)
        if reason:
            trial.set_user_attr("error", reason)
        values = self.study.get_trials(deepcopy=False)[trial.number].intermediate_values
        if state == "failed" or not values:
            self.study.tell(trial, state=TrialState.FAIL)
        elif state == "finished":
            self.study.tell(trial, values[max(values)])
        else:
            self.study.tell(trial, state=STATES[state])

    def known(self) -> dict[int, Known]:
        """Return every trial proposed so far, by its number, whatever became of it."""
        return {
            self.place + trial.number * self.studies: Known(
                dict(trial.params),
                trial.user_attrs.get("epochs", self.epochs),
                trial.user_attrs.get("state", "interrupted"),
                trial.user_attrs.get("error", ""),
            )
            for trial in self._proposed()
        }

    def _proposed(self) -> list[optuna.trial.FrozenTrial]:
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]

    def _running(self, number: int) -> optuna.Trial:
        trial = self.study.get_trials(deepcopy=False)[(number - self.place) // self.studies]
        return optuna.Trial(self.study, trial._trial_id)


def open_study(
    journal: Path,
    name: str,
    space: dict[str, BaseDistribution],
    first: Sequence[First],
    *,
    trials: int,
    epochs: int,
    seed: int,
    progress: list[Epoch],
    place: int = 0,
    studies: int = 1,
) -> Sampler:
    """Open the study of a network, new or begun earlier; `progress` are the epochs recorded so far.

    The `first` trials are given; then TPE proposes. Equal seeds give equal first proposals.
    """
    _drop_torn_line(journal)
    storage = JournalStorage(JournalFileBackend(str(journal)))
    begun = name in optuna.get_all_study_names(storage)
    # Going on with the same random stream would propose the first trials again.
    offset = len(optuna.load_study(study_name=name, storage=storage).get_trials(deepcopy=False)) if begun else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True, seed=seed + offset
        )
    study = optuna.create_study(
        storage=storage, study_name=name, sampler=sampler, direction="minimize", load_if_exists=True
    )
    for point in first[offset:]:
        study.enqueue_trial(point.config, user_attrs={"epochs": point.epochs} if point.epochs else None)
    opened = Sampler(study, space, trials, epochs, place, studies)
    reached = {epoch.trial: epoch.epoch for epoch in progress}
    for running in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        # It may have been interrupted while it was proposed.
        known = reached.get(place + running.number * studies, 0)
        opened.unfinished.append(opened.proposal(optuna.Trial(study, running._trial_id), known))
    return opened


def _drop_torn_line(journal: Path) -> None:
    """Drop a last line that a crash cut short: Optuna would append to it, and never read the journal again."""
    if journal.exists():
        whole = journal.read_bytes()
        end = whole.rfind(b"\n") + 1
        if end < len(whole):
            os.truncate(journal, end)


def first_trials(space: dict[str, BaseDistribution], defaults: Config) -> list[First]:
    """Return what a search begins with: the defaults, and the defaults with the other task.

    Blind networks need far more epochs than residual ones. One of them shows where they stand, and the random
    start-up trials beside it stay with the default task; TPE is free to return to the other.
    """
    given = {name: value for name, value in defaults.items() if name in space}
    tasks = space["task"]
    assert isinstance(tasks, CategoricalDistribution)
    others = [task for task in tasks.choices if task != given["task"]]
    same: Config = {"task": given["task"]}
    points = [given, same, *({**given, "task": str(task)} for task in others)]
    return [First(point) for point in points + [same] * (STARTUP_TRIALS - len(points))]


def fixed(space: dict[str, BaseDistribution], **values: Any) -> dict[str, BaseDistribution]:
    """Return the space with some parameters fixed to one value."""
    return {**space, **{name: CategoricalDistribution((value,)) for name, value in values.items()}}
