"""Optuna, told the truth: what was proposed, every value on the way, and how each trial ended.

Ray's own OptunaSearch reports trials that ASHA stopped as complete with their early value, and leaves trials
that diverged running for ever. Here a trial stopped early is PRUNED with all its values, one too large for the
memory PRUNED with a constraint that it breaks, a failed one FAIL. The study is a journal file in the run folder: what
a search goes on from after a restart.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState

from records.tables import Config, Interim

optuna.logging.set_verbosity(optuna.logging.WARNING)

LOCK_SECONDS = 10
"""Age at which the journal's lock counts as left by a killed session; a living one holds it for milliseconds."""
# That the lock was taken over is no news for the user.
warnings.filterwarnings("ignore", message="The existing lock file has not been released")

STARTUP_TRIALS = 6
"""Random trials before TPE has enough to learn from; 3 and 10 did as well (benchmarks/LOG.md)."""

TRAINING_ONLY = ("batch_size", "learning_rate")
"""Parameters that change nothing in what a single window takes of the memory."""


class First(NamedTuple):
    """A trial that a study begins with."""

    config: Config
    """Parameters that it lacks are random."""
    windows: int
    """How many it is trained on, unless it is stopped early."""
    model: int | None = None
    """Its number in the paper's table; None for a configuration that is not the paper's."""


class Known(NamedTuple):
    """The study's knowledge of a trial."""

    config: Config
    windows: int
    """Planned."""
    state: str
    """finished, stopped, infeasible, failed or interrupted, which it is until it ends."""
    error: str
    parameters: int | None
    """Learnable parameters; None before it trains, as what follows."""
    micro_batch: int | None
    memory: int | None
    point: int | None
    """Number of the paper's model; None for a proposal."""


class Refusal(NamedTuple):
    """The reason why a configuration is not tried."""

    headroom: int
    """Bytes, below 0: the memory that is missing."""
    reason: str


@dataclass
class Proposal:
    """A trial to run: new, or begun in an earlier session."""

    trial: int
    config: Config
    windows: int
    """How many it is trained on, unless it is stopped early."""
    known_windows: int = 0


@dataclass
class Sampler:
    """One study: propose, record, conclude.

    Several studies share the numbers of a run's trials: trial `place` + k * `studies` is trial k of this one.
    """

    study: optuna.Study
    space: dict[str, BaseDistribution]
    trials: int
    """How many there may be in all."""
    windows: int
    """Of a proposal that is not stopped early."""
    seed: int = 0
    place: int = 0
    studies: int = 1
    refuses: Callable[[Config], Refusal | None] = lambda config: None
    """Tells of a configuration, before it is tried, that its network is too large."""
    unfinished: list[Proposal] = field(default_factory=list)
    running: dict[int, optuna.Trial] = field(default_factory=dict)
    """Optuna's handles of the trials that have no end yet, by their numbers in the run."""

    def propose(self) -> Proposal | None:
        """Return the next trial; None when all have been proposed."""
        if self.unfinished:
            return self.unfinished.pop(0)
        while len(self._proposed()) < self.trials:
            self._reseed(len(self._proposed()))
            proposal = self._take(self.study.ask(self.space))
            refusal = self._refusal(proposal.config)
            if refusal is None:
                return proposal
            self.describe(proposal.trial, headroom=refusal.headroom)
            self.conclude(proposal.trial, "infeasible", refusal.reason)
        return None

    def _refusal(self, config: Config) -> Refusal | None:
        """Return the reason why a configuration is not worth a trial, if there is one."""
        twin = self._infeasible_twin(config)
        if twin is None:
            return self.refuses(config)
        return Refusal(self._trial(twin).user_attrs["headroom"], f"too large, as trial {twin} was")

    def take_back(self, number: int, known_windows: int) -> None:
        """Have a trial proposed again that is not over, though its process is."""
        known = self.known()[number]
        self.unfinished.append(Proposal(number, known.config, known.windows, known_windows))

    def _take(self, trial: optuna.Trial) -> Proposal:
        """Keep the handle of a trial that is to run, and return its proposal."""
        number = self.place + trial.number * self.studies
        self.running[number] = trial
        return Proposal(number, dict(trial.params), trial.user_attrs.get("windows", self.windows))

    def resume(self, trial: FrozenTrial) -> Proposal:
        """Return the proposal of a trial that an earlier session began, perhaps without all of its parameters."""
        self._reseed(trial.number)
        # The handle that `ask` gives of a new trial; Optuna has no public way to one of a trial that it knows.
        begun = optuna.Trial(self.study, trial._trial_id)
        for name, distribution in self.space.items():
            begun._suggest(name, distribution)
        return self._take(begun)

    def describe(self, number: int, *, headroom: int, **facts: int) -> None:
        """Take in the cost of a training, or only the bytes left beside a single window."""
        trial = self._trial(number)
        for name, value in {**facts, "headroom": headroom}.items():
            if trial.user_attrs.get(name) != value:
                self.running[number].set_user_attr(name, value)

    def record(self, interim: Interim) -> None:
        """Take in an interim result of a running trial; one that is recorded already keeps its value."""
        if interim.windows not in self._trial(interim.trial).intermediate_values:
            self.running[interim.trial].report(interim.val_gap_l1, interim.windows)

    def conclude(self, number: int, state: str, reason: str = "") -> None:
        """End a trial as finished, stopped, interrupted, infeasible or failed; its last value is its value."""
        handle, trial = self.running.pop(number), self._trial(number)
        handle.set_user_attr("state", state)
        handle.set_user_attr("error", reason)
        headroom, values = trial.user_attrs.get("headroom"), trial.intermediate_values
        # At the end, for Optuna keeps the first value of a constraint: memory may run out after all.
        if headroom is not None and not trial.constraints:
            handle.set_constraint("memory_gb", -headroom / 1e9)
        if state == "finished":
            self.study.tell(trial.number, values[max(values)])
        elif state == "infeasible" or (values and state != "failed"):
            self.study.tell(trial.number, state=TrialState.PRUNED)
        else:
            self.study.tell(trial.number, state=TrialState.FAIL)

    def known(self) -> dict[int, Known]:
        """Return every trial proposed so far, by its number, whatever became of it."""
        return {
            self.place + trial.number * self.studies: Known(
                dict(trial.params),
                trial.user_attrs.get("windows", self.windows),
                trial.user_attrs.get("state", "interrupted"),
                trial.user_attrs.get("error", ""),
                *(trial.user_attrs.get(name) for name in ("parameters", "micro_batch", "memory", "point")),
            )
            for trial in self._proposed()
        }

    def _proposed(self) -> list[FrozenTrial]:
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]

    def _infeasible_twin(self, config: Config) -> int | None:
        """Return a trial that was too large and differs from this configuration only in how it is trained."""
        for number, known in self.known().items():
            if known.state == "infeasible" and all(
                known.config[name] == value for name, value in config.items() if name not in TRAINING_ONLY
            ):
                return number
        return None

    def _trial(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[(number - self.place) // self.studies]

    def _reseed(self, number: int) -> None:
        """Draw each trial from a random stream of its own: a resumed study proposes what it would have proposed."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.study.sampler = optuna.samplers.TPESampler(
                n_startup_trials=STARTUP_TRIALS,
                multivariate=True,
                constant_liar=True,
                seed=self.seed * 1_000_003 + number,
            )


def draw(space: dict[str, BaseDistribution], count: int) -> list[Config]:
    """Draw configurations from a space, each as likely as any; always the same."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [dict(study.ask(space).params) for _ in range(count)]


def open_storage(journal: Path, lock_seconds: int = LOCK_SECONDS) -> JournalStorage:
    """Open a run's journal, in whatever state a killed session left it."""
    _drop_torn_line(journal)
    path = str(journal.resolve())
    return JournalStorage(JournalFileBackend(path, JournalFileSymlinkLock(path, lock_seconds)))


def open_study(
    storage: JournalStorage,
    name: str,
    space: dict[str, BaseDistribution],
    first: Sequence[First],
    *,
    trials: int,
    windows: int,
    seed: int,
    progress: Sequence[Interim],
    place: int = 0,
    studies: int = 1,
    refuses: Callable[[Config], Refusal | None] = lambda config: None,
) -> Sampler:
    """Open a study, new or begun earlier; `progress` are the interim results recorded so far.

    After the `first` trials TPE proposes. Equal seeds give equal first proposals.
    """
    study = optuna.create_study(storage=storage, study_name=name, direction="minimize", load_if_exists=True)
    offset = len(study.get_trials(deepcopy=False))
    for trial in first[offset:]:
        study.enqueue_trial(trial.config, user_attrs={"windows": trial.windows, "point": trial.model})
    opened = Sampler(study, space, trials, windows, seed, place, studies, refuses)
    for running in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        # It may have been interrupted while it was proposed, or between its record here and in the run's files.
        proposal = opened.resume(running)
        for interim in progress:
            if interim.trial == proposal.trial:
                opened.record(interim)
                proposal.known_windows = interim.windows
        opened.unfinished.append(proposal)
    return opened


def _drop_torn_line(journal: Path) -> None:
    """Drop a last line that a crash cut short: Optuna would append to it, and never read the journal again."""
    if journal.exists():
        whole = journal.read_bytes()
        end = whole.rfind(b"\n") + 1
        if end < len(whole):
            os.truncate(journal, end)
