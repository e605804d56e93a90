"""Space + trainable + budget -> a Ray Tune search -> records in the run folder."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from scattering.dataset import Dataset
from search import sampler
from search.cluster import node_size, total_cpus, total_gpus
from search.display import SearchDisplay
from search.halving import SuccessiveHalving
from search.records import Config, Epoch, Trial, append_line, read_lines, read_table, write_table, write_text
from search.sampler import Sampler
from search.settings import Settings
from spaces import DEFAULTS, SPACES
from trainables.trial import train_trial


def search(settings: Settings, data: tuple[Dataset, Dataset], seconds: float | None) -> list[Trial]:
    """Search the space of one network on (train, validation) frames and return every trial, best first.

    Goes on from what the run folder already holds. `seconds` limits the time; trials that it cuts short are
    `interrupted`. Ray must be running.
    """
    folder = settings.folder
    deadline = None if seconds is None else time.monotonic() + seconds
    book = Book(settings, open_sampler(settings), deadline)
    threads, gpus = resources()
    trainable = tune.with_resources(tune.with_parameters(train_trial, data=data), {"cpu": threads, "gpu": gpus})
    with SearchDisplay(settings.network, settings.trials, settings.epochs, seconds) as display:
        book.display = display
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=Proposals(book, threads),
                scheduler=Halving(book),
                num_samples=-1,
                # One proposal at a time and place: a proposal made ahead knows less.
                max_concurrent_trials=total_gpus() if gpus else total_cpus(),
                # Workers keep torch imported and the data mapped: 1.5 s a trial instead of 7.6 s.
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(folder.resolve()),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=1),
            ),
        )
        tuner.fit()
    if book.broken is not None:
        raise book.broken
    shutil.rmtree(folder / "tune", ignore_errors=True)
    return book.write_trials()


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


def resources() -> tuple[int, float]:
    """CPU cores and GPUs for one trial: a GPU with its share of the cores, or one core without GPUs."""
    cpus, gpus = node_size()
    return (max(1, cpus // gpus), 1.0) if gpus else (1, 0.0)


class Book:
    """What Tune's three hooks share: the study, ASHA's rungs, and the run's records.

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

    def job(self, proposal: sampler.Proposal, threads: int) -> dict[str, Any]:
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


class _Hook:
    """Tune pickles its hooks into snapshots that we never read: nothing of ours goes there."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Proposals(_Hook, Searcher):
    """Tune's searcher: proposals of the study."""

    def __init__(self, book: Book, threads: int) -> None:
        super().__init__()
        self.book, self.threads = book, threads
        self.numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str:  # type: ignore[override]
        """Return the job of the next trial, or say that there is none."""
        proposal = None if self.book.is_over() else self.book.sampler.propose()
        if proposal is None:
            finished: str = Searcher.FINISHED
            return finished
        self.numbers[trial_id] = proposal.trial
        if self.book.display is not None:
            self.book.display.started(proposal.trial)
        return self.book.job(proposal, self.threads)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Conclude a trial, however it ended; Tune calls this once a trial."""
        if self.book.broken is not None:
            return  # it stays unfinished: a resumed run goes on with it
        try:
            self.book.conclude(self.numbers[trial_id])
        except OSError as error:
            self.book.broken = error

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is the state."""


class Halving(_Hook, FIFOScheduler):
    """Tune's scheduler: a trial stops where ASHA stops it."""

    def __init__(self, book: Book) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.book = book

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        """Record a report and decide."""
        stops = False
        try:
            stops = self.book.record(result)
        except OSError as error:
            self.book.broken = error
        return TrialScheduler.STOP if stops or self.book.is_over() else TrialScheduler.CONTINUE

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:
        """Forget the crash of a trial that is tried again."""
        self.book.failures.pop(trial.config["trial"], None)

    def on_trial_error(self, tune_controller: Any, trial: TuneTrial) -> None:
        """Keep why a trial crashed: the whole story beside its checkpoint, the last line in the tables."""
        number = trial.config["trial"]
        story = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
        lines = [line.strip() for line in story.splitlines() if line.strip()]
        self.book.crashed(number, story, lines[-1] if lines else "crashed without a message")
