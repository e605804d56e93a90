"""What a search has done so far: every report and every end of a trial comes here, and is written down at once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from search.display import SearchDisplay
from search.halving import SuccessiveHalving
from search.records import Epoch, Trial, append_line, read_lines, write_table, write_text
from search.sampler import Known, Proposal, Sampler
from search.settings import Settings


class Ledger:
    """The studies, the rungs of early stopping and the run's records, kept in step.

    The rungs are replayed from the recorded epochs, so a resumed search halves as if it had never stopped.
    """

    def __init__(self, settings: Settings, samplers: dict[str, Sampler], deadline: float | None = None) -> None:
        self.settings = settings
        self.samplers = samplers
        self.networks = tuple(samplers)
        self.deadline = deadline
        self.progress = settings.folder / "progress.jsonl"
        # Networks differ in what an epoch brings. The paper's points alone have no rungs: nothing is stopped early.
        epochs = settings.epochs if settings.proposes else None
        self.halving = {name: SuccessiveHalving(epochs or 0) for name in samplers}
        self.display: SearchDisplay | None = None
        self.last: dict[int, Epoch] = {}
        self.began: dict[int, float] = {}
        self.took: dict[int, float] = {}
        self.failures: dict[int, str] = {}
        self.broken: OSError | None = None
        """Why nothing can be written any more; the search ends with it."""
        for epoch in read_lines(self.progress):
            self.last[epoch.trial] = epoch
            self.halving[self.network(epoch.trial)].record(epoch.trial, epoch.epoch, epoch.val_gap_l1)
        # Ended, but the session ended before that was written down.
        for name, sampler in samplers.items():
            for proposal in list(sampler.unfinished):
                if proposal.trial in self.halving[name].stopped or proposal.known_epochs >= proposal.epochs:
                    sampler.unfinished.remove(proposal)
                    self.conclude(proposal.trial)

    def network(self, trial: int) -> str:
        """Which network a trial is of: they take turns in its numbers."""
        return self.networks[trial % len(self.networks)]

    def planned(self) -> dict[str, int]:
        """How many trials of each network there are to be."""
        return {name: sampler.trials for name, sampler in self.samplers.items()}

    def propose(self) -> Proposal | None:
        """Return the next trial, of the network that has had the least time so far; None when all are proposed."""
        now = time.monotonic()
        spent = dict.fromkeys(self.networks, 0.0)
        begun = dict.fromkeys(self.networks, 0)
        for trial in self.last.keys() | self.began.keys() | self.took.keys():
            recorded = self.last[trial].seconds if trial in self.last else 0.0
            running = now - self.began[trial] if trial in self.began else 0.0
            spent[self.network(trial)] += max(recorded, running, self.took.get(trial, 0.0))
            begun[self.network(trial)] += 1
        for name in sorted(self.networks, key=lambda name: (spent[name], begun[name])):
            proposal = self.samplers[name].propose()
            if proposal is not None:
                earlier = self.last.get(proposal.trial)
                self.began[proposal.trial] = now - (earlier.seconds if earlier else 0.0)
                return proposal
        return None

    def job(self, proposal: Proposal, threads: int) -> dict[str, Any]:
        """What `train_trial` needs to know of a proposal."""
        number = proposal.trial
        job = self.settings.job(
            number, self.network(number), proposal.config, proposal.epochs, threads, self.checkpoint(number)
        )
        return {**job, "known_epochs": proposal.known_epochs}

    def checkpoint(self, trial: int) -> Path:
        """Where a trial keeps its training state."""
        return self.settings.folder / "trials" / f"{trial:04d}.pt"

    def is_over(self) -> bool:
        """Whether the search has had its time, or cannot write any more."""
        late = self.deadline is not None and time.monotonic() >= self.deadline
        return late or self.broken is not None

    def record(self, result: dict[str, Any]) -> bool:
        """Take in one report of a trial; True when ASHA stops it there."""
        trial = result["trial"]
        if "storage" in result:
            self.broken = OSError(*result["storage"])
            return True
        if "failure" in result:
            self.failures[trial] = result["failure"]
            return False
        # It reports again: an earlier crash was retried with success.
        self.failures.pop(trial, None)
        known = self.last.get(trial)
        if known is not None and result["epoch"] <= known.epoch:
            return False
        epoch = Epoch(**{name: result[name] for name in Epoch.__dataclass_fields__})
        self.last[trial] = epoch
        append_line(self.progress, epoch)
        network = self.network(trial)
        self.samplers[network].record(epoch, result["parameters"])
        if self.display is not None:
            self.display.epoch(epoch)
        return self.halving[network].record(trial, epoch.epoch, epoch.val_gap_l1)

    def crashed(self, trial: int, story: str, reason: str) -> None:
        """Take in the error that ended a trial."""
        self.failures[trial] = reason
        write_text(self.checkpoint(trial).with_suffix(".error.txt"), story)

    def conclude(self, trial: int) -> None:
        """Take in the end of a trial: the study, the tables, the display; its weights are not kept."""
        last, failure = self.last.get(trial), self.failures.get(trial, "")
        network = self.network(trial)
        sampler = self.samplers[network]
        if failure or last is None:
            state = "failed"
        elif last.epoch >= sampler.known()[trial].epochs:
            state = "finished"
        else:
            state = "stopped" if trial in self.halving[network].stopped else "interrupted"
        sampler.conclude(trial, state, failure)
        if trial in self.began:
            # A trial that crashed before its first epoch has taken time, too.
            self.took[trial] = time.monotonic() - self.began.pop(trial)
        self.checkpoint(trial).unlink(missing_ok=True)
        self.write_trials()
        if self.display is not None:
            self.display.ended(trial, state, failure)

    def write_trials(self) -> list[Trial]:
        """Write trials.csv and return its rows."""
        trials = self.trials()
        write_table(self.settings.folder / "trials.csv", trials)
        return trials

    def trials(self) -> list[Trial]:
        """Return every trial proposed so far: finished before stopped, best first."""
        known = {number: trial for sampler in self.samplers.values() for number, trial in sampler.known().items()}
        trials = [self._trial(number, trial) for number, trial in known.items()]
        order = ("finished", "stopped", "interrupted", "failed")
        return sorted(trials, key=lambda trial: (order.index(trial.state), trial.val_gap_l1 or 0.0, trial.trial))

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
        )
