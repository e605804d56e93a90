"""The ledger of a search: takes in each message and each end of a trial, and writes it down at once."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import asdict, replace

from records.tables import Interim, Ladder, Trial
from search.following.display import SearchDisplay
from search.machines.resources import Resources
from search.settings import UNLIMITED, Budget, Settings
from search.tuning.halving import SuccessiveHalving
from search.tuning.sampler import Known, Proposal, Sampler
from trainables.job import Job
from trainables.messages import Failed, Infeasible, Message, Started, StorageLost

RETRIES = 3
"""Times that a trial whose process died is taken up again: machines come and go."""


class Ledger:
    """The studies, the rungs of early stopping and the run's records, kept in step.

    The rungs are replayed from the records, so a resumed search halves as if it had never stopped.
    """

    def __init__(
        self,
        settings: Settings,
        ladders: dict[str, Ladder],
        samplers: dict[str, Sampler],
        resources: Resources,
        budget: Budget = UNLIMITED,
    ) -> None:
        self.settings = settings
        self.ladders = ladders
        self.samplers = samplers
        self.studies = tuple(samplers)
        self.resources = resources
        self.budget = budget
        self.started = time.monotonic()
        self.run = settings.files
        # Studies differ in what a window brings.
        self.halving = {
            name: SuccessiveHalving(ladder.length, ladder.first_rung, compare_at=settings.compare_at)
            for name, ladder in ladders.items()
        }
        self.display: SearchDisplay | None = None
        self.last: dict[int, Interim] = {}
        self.began: dict[int, float] = {}
        self.took: dict[int, float] = {}
        self.crashes: dict[int, str] = {}
        """What is known of a process that died, until its trial reports again."""
        self.deaths: Counter[int] = Counter()
        self.failures: dict[int, str] = {}
        self.infeasible: dict[int, str] = {}
        self.abandoned = False
        """Whether the time is over and no trial runs; those that wait for room wait in vain."""
        self.broken: OSError | None = None
        """Why nothing can be written any more; the search ends with it."""
        for interim in self.run.progress.read():
            self.last[interim.trial] = interim
            self._halve(interim)
        # Ended, but the session ended before that was written down.
        for name, sampler in samplers.items():
            for proposal in list(sampler.unfinished):
                if proposal.trial in self.halving[name].stopped or proposal.known_windows >= proposal.windows:
                    sampler.unfinished.remove(proposal)
                    self.conclude(proposal.trial)

    def study(self, trial: int) -> str:
        """Name of the study that a trial is of: they take turns in its numbers."""
        return self.studies[trial % len(self.studies)]

    def network(self, trial: int) -> str:
        """Return the network of a trial."""
        return self.settings.studies[trial % len(self.studies)].network

    def planned(self) -> dict[str, int]:
        """Return the planned number of trials of each study."""
        return {name: sampler.trials for name, sampler in self.samplers.items()}

    def propose(self) -> Proposal | None:
        """Return the next trial, of the study that has had the least time so far; None when all are proposed."""
        now = time.monotonic()
        spent = dict.fromkeys(self.studies, 0.0)
        begun = dict.fromkeys(self.studies, 0)
        for trial, seconds in self.seconds().items():
            spent[self.study(trial)] += seconds
            begun[self.study(trial)] += 1
        for name in sorted(self.studies, key=lambda name: (spent[name], begun[name])):
            proposal = self.samplers[name].propose()
            if proposal is not None:
                earlier = self.last.get(proposal.trial)
                self.began[proposal.trial] = now - (earlier.seconds if earlier else 0.0)
                return proposal
        return None

    def seconds(self) -> dict[int, float]:
        """Return the seconds for which each trial has had its resources so far."""
        now = time.monotonic()
        return {
            trial: max(
                self.last[trial].seconds if trial in self.last else 0.0,
                now - self.began[trial] if trial in self.began else 0.0,
                self.took.get(trial, 0.0),
            )
            for trial in self.last.keys() | self.began.keys() | self.took.keys()
        }

    def job(self, proposal: Proposal, patience: float) -> Job:
        """Return the job of a proposal."""
        number = proposal.trial
        job = self.settings.job(
            number,
            self.network(number),
            proposal.config,
            (proposal.windows, self.ladders[self.study(number)].interval),
            self.resources,
            self.run.checkpoint(number),
        )
        log = str(self.run.log(number).resolve())
        return replace(job, known_windows=proposal.known_windows, log=log, patience=patience)

    def is_over(self, grace: float = 0.0) -> bool:
        """Tell whether the search has had its budget, and a share `grace` of it beyond, or cannot write any more."""
        if self.broken is not None:
            return True
        budget = self.budget
        if budget.seconds is not None and time.monotonic() - self.started >= budget.seconds * (1 + grace):
            return True
        if budget.gpu_seconds is None:
            return False
        return sum(self.seconds().values()) * self.resources.gpus >= budget.gpu_seconds * (1 + grace)

    def is_late(self, trial: int, grace: float = 0.0) -> bool:
        """Tell whether the time is over; without any result of its network a trial may still come to one."""
        study = self.study(trial)
        return self.is_over(grace) and any(self.study(other) == study for other in self.last)

    def record(self, message: Message) -> bool:
        """Take in a message of a trial; returns True when the trial stops there."""
        trial = message.trial
        sampler = self.samplers[self.study(trial)]
        match message:
            case StorageLost():
                self.broken = OSError(message.errno, message.strerror, message.path)
                return True
            case Failed():
                self.failures[trial] = message.reason
                return False
            case Infeasible():
                self.infeasible[trial] = message.reason
                sampler.describe(trial, headroom=message.headroom)
                return False
        self.crashes.pop(trial, None)
        sampler.describe(trial, **asdict(message.cost))
        known = self.last.get(trial)
        if isinstance(message, Started) or (known is not None and message.metrics["windows"] <= known.windows):
            return False
        interim = Interim(trial=trial, **message.metrics)  # type: ignore[arg-type]
        self.last[trial] = interim
        self.run.progress.append(interim)
        sampler.record(interim)
        if self.display is not None:
            self.display.interim(interim)
        return self._halve(interim)

    def _halve(self, interim: Interim) -> bool:
        halving = self.halving[self.study(interim.trial)]
        return halving.record(interim.trial, interim.windows, interim.val_gap_l1, interim.seconds)

    def crashed(self, trial: int, story: str) -> None:
        """Take in what is known of a process that died."""
        self.crashes[trial] = story
        self.run.log(trial).parent.mkdir(exist_ok=True)
        with self.run.log(trial).open("a", encoding="utf-8") as log:
            log.write(story + "\n")

    def conclude(self, trial: int) -> None:
        """Take in the end of a trial: the study, the tables, the display; its weights are not kept.

        One whose process died is proposed again instead, from its last report, up to `RETRIES` times.
        """
        last, sampler = self.last.get(trial), self.samplers[self.study(trial)]
        if trial in self.began:
            # A trial that crashed before its first report has taken time, too.
            self.took[trial] = time.monotonic() - self.began.pop(trial)
        if self._is_taken_up_again(trial):
            sampler.take_back(trial, 0 if last is None else last.windows)
            return
        state, reason = self._end(trial, last, sampler)
        sampler.conclude(trial, state, reason)
        self.run.checkpoint(trial).unlink(missing_ok=True)
        self.write_trials()
        if self.display is not None:
            self.display.ended(trial, state, reason)

    def _is_taken_up_again(self, trial: int) -> bool:
        """Tell whether a trial ended for no fault of its own, and not too often."""
        if trial not in self.crashes or trial in self.failures or trial in self.infeasible or self.is_over():
            return False
        self.deaths[trial] += 1
        return self.deaths[trial] <= RETRIES

    def _end(self, trial: int, last: Interim | None, sampler: Sampler) -> tuple[str, str]:
        """Return the state in which a trial ended, and the reason if there is one."""
        if trial in self.infeasible:
            return "infeasible", self.infeasible[trial]
        if trial in self.failures:
            return "failed", self.failures[trial]
        if last is not None and last.windows >= sampler.known()[trial].windows:
            return "finished", ""
        if trial in self.halving[self.study(trial)].stopped:
            return "stopped", ""
        if self.is_over() or (last is not None and trial not in self.crashes):
            return "interrupted", ""
        story = self.crashes.get(trial, "")
        if "OutOfMemoryError" in story:
            sampler.describe(trial, headroom=-1)
            return "infeasible", "its process was ended for lack of memory on its node"
        lines = [line.strip() for line in story.splitlines() if line.strip()]
        return "failed", lines[-1][:200] if lines else "ended without a word"

    def write_trials(self) -> list[Trial]:
        """Write trials.csv and return its rows."""
        trials = self.trials()
        self.run.trials.write(trials)
        return trials

    def trials(self) -> list[Trial]:
        """Return every trial proposed so far: finished before stopped, best first."""
        known = {number: trial for sampler in self.samplers.values() for number, trial in sampler.known().items()}
        trials = [self._trial(number, trial) for number, trial in known.items()]
        order = ("finished", "stopped", "interrupted", "infeasible", "failed")

        def place(trial: Trial) -> tuple[int, float, int]:
            value = math.inf if trial.val_gap_l1 is None else trial.val_gap_l1
            return order.index(trial.state), value, trial.trial

        return sorted(trials, key=place)

    def ended(self) -> list[Trial]:
        """Return the trials that an earlier session ended."""
        unfinished = {proposal.trial for sampler in self.samplers.values() for proposal in sampler.unfinished}
        return [trial for trial in self.trials() if trial.trial not in unfinished]

    def _trial(self, number: int, known: Known) -> Trial:
        last = self.last.get(number)
        return Trial(
            trial=number,
            network=self.network(number),
            state=known.state,
            epochs=0 if last is None else last.epoch,
            val_gap_l1=None if last is None else last.val_gap_l1,
            val_gap_cc=None if last is None else last.val_gap_cc,
            val_loss=None if last is None else last.val_loss,
            train_loss=None if last is None else last.train_loss,
            parameters=known.parameters,
            seconds=0.0 if last is None else last.seconds,
            config=known.config,
            error=known.error,
            micro_batch=known.micro_batch,
            memory=known.memory,
            point=known.point,
        )
