"""What a search has done so far: every report and every end of a trial comes here, and is written down at once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from search import sampler
from search.display import SearchDisplay
from search.halving import SuccessiveHalving
from search.records import Config, Epoch, Trial, append_line, read_lines, read_table, write_table, write_text
from search.sampler import Proposal, Sampler
from search.settings import Settings
from spaces import DEFAULTS, SPACES


class Ledger:
    """The study, the rungs of early stopping and the run's records, kept in step.

    The rungs are replayed from the recorded epochs, so a resumed search halves as if it had never stopped.
    """

    def __init__(self, settings: Settings, study: Sampler, deadline: float | None = None) -> None:
        self.settings = settings
        self.sampler = study
        self.deadline = deadline
        self.progress = settings.folder / "progress.jsonl"
        self.halving = SuccessiveHalving(settings.epochs)
        self.display: SearchDisplay | None = None
        self.last: dict[int, Epoch] = {}
        self.failures: dict[int, str] = {}
        self.broken: OSError | None = None
        """Why nothing can be written any more; the search ends with it."""
        earlier = read_table(settings.folder / "trials.csv", Trial)
        self.parameters = {trial.trial: trial.parameters for trial in earlier if trial.parameters is not None}
        for epoch in read_lines(self.progress):
            self.last[epoch.trial] = epoch
            self.halving.record(epoch.trial, epoch.epoch, epoch.val_gap_l1)
        # Ended, but the session ended before that was written down.
        for proposal in list(study.unfinished):
            if proposal.trial in self.halving.stopped or proposal.known_epochs >= settings.epochs:
                study.unfinished.remove(proposal)
                self.conclude(proposal.trial)

    def job(self, proposal: Proposal, threads: int) -> dict[str, Any]:
        """What `train_trial` needs to know of a proposal."""
        return {
            "trial": proposal.trial,
            "network": self.settings.network,
            "config": proposal.config,
            "epochs": self.settings.epochs,
            "schedule": self.settings.schedule,
            "seed": self.settings.seed,
            "threads": threads,
            "checkpoint": str(self.checkpoint(proposal.trial).resolve()),
            "known_epochs": proposal.known_epochs,
        }

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
        self.parameters[trial] = result["parameters"]
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
        self.sampler.record(epoch)
        if self.display is not None:
            self.display.epoch(epoch)
        return self.halving.record(trial, epoch.epoch, epoch.val_gap_l1)

    def crashed(self, trial: int, story: str, reason: str) -> None:
        """Take in the error that ended a trial."""
        self.failures[trial] = reason
        write_text(self.checkpoint(trial).with_suffix(".error.txt"), story)

    def conclude(self, trial: int) -> None:
        """Take in the end of a trial: the study, the tables, the display; its weights are not kept."""
        last, failure = self.last.get(trial), self.failures.get(trial, "")
        if failure or last is None:
            state = "failed"
        elif last.epoch >= self.settings.epochs:
            state = "finished"
        else:
            state = "stopped" if trial in self.halving.stopped else "interrupted"
        self.sampler.conclude(trial, state, failure)
        self.checkpoint(trial).unlink(missing_ok=True)
        self.write_trials()
        if self.display is not None:
            self.display.ended(trial, state, None if last is None else last.val_gap_l1)

    def write_trials(self) -> list[Trial]:
        """Write trials.csv and return its rows: finished before stopped, best first."""
        configs, states = self.sampler.configs(), self.sampler.states()
        trials = [self._trial(number, config, *states[number]) for number, config in configs.items()]
        order = ("finished", "stopped", "interrupted", "failed")
        trials.sort(key=lambda trial: (order.index(trial.state), trial.val_gap_l1 or 0.0, trial.trial))
        write_table(self.settings.folder / "trials.csv", trials)
        return trials

    def _trial(self, number: int, config: Config, state: str, error: str) -> Trial:
        last = self.last.get(number)
        return Trial(
            trial=number,
            network=self.settings.network,
            state=state,
            epochs=0 if last is None else last.epoch,
            val_gap_l1=None if last is None else last.val_gap_l1,
            val_gap_cc=None if last is None else last.val_gap_cc,
            val_loss=None if last is None else last.val_loss,
            train_loss=None if last is None else last.train_loss,
            parameters=self.parameters.get(number),
            seconds=0.0 if last is None else last.seconds,
            config=config,
            error=error,
        )


def open_sampler(settings: Settings) -> Sampler:
    """Open the study of a run with the space of its network; `--task` leaves no choice of task."""
    space, defaults = SPACES[settings.network](settings.preset), DEFAULTS[settings.network]
    if settings.task is not None:
        space = sampler.fixed(space, task=settings.task)
        defaults = {**defaults, "task": settings.task}
    return sampler.open_study(
        settings.folder / "optuna.journal",
        settings.network,
        space,
        defaults,
        trials=settings.trials,
        seed=settings.seed,
        progress=read_lines(settings.folder / "progress.jsonl"),
    )
