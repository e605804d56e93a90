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
from typing import NamedTuple

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from search.records import Config, Epoch
from spaces.paper import Point

optuna.logging.set_verbosity(optuna.logging.WARNING)

STARTUP_TRIALS = 6
"""Random trials before TPE has enough to learn from."""

STATES = {"finished": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "interrupted": TrialState.PRUNED}


class Known(NamedTuple):
    """What the study knows of a trial."""

    config: Config
    epochs: int
    parameters: int | None
    """Learnable parameters; None before its first epoch."""
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

    def proposal(self, trial: optuna.Trial) -> Proposal:
        """What is to be done of a trial of the study; parameters that it lacks are chosen."""
        for name, distribution in self.space.items():
            trial._suggest(name, distribution)
        number = self.place + trial.number * self.studies
        return Proposal(number, dict(trial.params), trial.user_attrs.get("epochs", self.epochs))

    def record(self, epoch: Epoch, parameters: int | None = None) -> None:
        """Take in one epoch of a running trial, whose network has so many parameters."""
        trial = self._running(epoch.trial)
        if parameters is not None and "parameters" not in trial.user_attrs:
            trial.set_user_attr("parameters", parameters)
        with warnings.catch_warnings():
            # An epoch that is recorded already keeps its value.
            warnings.filterwarnings("ignore", "The reported value is ignored")
            trial.report(epoch.val_gap_l1, epoch.epoch)

    def conclude(self, number: int, state: str, reason: str = "") -> None:
        """End a trial as finished, stopped, interrupted or failed; its last value is its value."""
        trial = self._running(number)
        trial.set_user_attr("state", state)
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
                trial.user_attrs.get("parameters"),
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


def open_storage(journal: Path) -> JournalStorage:
    """Open a run's journal, whatever a killed session left of it."""
    _drop_torn_line(journal)
    # The lock of a session that was killed while it wrote; optuna would wait for it for ever.
    journal.with_name(journal.name + ".lock").unlink(missing_ok=True)
    return JournalStorage(JournalFileBackend(str(journal.resolve())))


def open_study(
    storage: JournalStorage,
    name: str,
    space: dict[str, BaseDistribution],
    first: Sequence[Point],
    *,
    trials: int,
    epochs: int,
    seed: int,
    progress: Sequence[Epoch],
    place: int = 0,
    studies: int = 1,
) -> Sampler:
    """Open the study of a network, new or begun earlier; `progress` are the epochs recorded so far.

    The `first` trials are given, parameters that a point lacks are random; then TPE proposes. Equal seeds give equal
    first proposals.
    """
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
        study.enqueue_trial(point.config, user_attrs={"epochs": point.epochs})
    opened = Sampler(study, space, trials, epochs, place, studies)
    for running in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        # It may have been interrupted while it was proposed, or between its record here and in the run's files.
        proposal = opened.proposal(optuna.Trial(study, running._trial_id))
        for epoch in progress:
            if epoch.trial == proposal.trial:
                opened.record(epoch)
                proposal.known_epochs = epoch.epoch
        opened.unfinished.append(proposal)
    return opened


def _drop_torn_line(journal: Path) -> None:
    """Drop a last line that a crash cut short: Optuna would append to it, and never read the journal again."""
    if journal.exists():
        whole = journal.read_bytes()
        end = whole.rfind(b"\n") + 1
        if end < len(whole):
            os.truncate(journal, end)
