"""Space + trainable + budget -> a Ray Tune search -> records in the run folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from scattering.dataset import Dataset
from search import watchdog
from search.display import SearchDisplay
from search.ledger import Ledger
from search.records import Trial
from search.resources import Resources
from search.settings import UNLIMITED, Budget, Settings
from search.studies import open_studies
from search.tracking import callbacks
from trainables.trial import train_trial


def search(
    settings: Settings,
    data: ray.ObjectRef[tuple[Dataset, Dataset]],
    resources: Resources,
    budget: Budget = UNLIMITED,
) -> list[Trial]:
    """Search the spaces of a run's networks on (train, validation) frames and return every trial, best first.

    Goes on from what the run folder already holds. Trials that the budget cuts short are `interrupted`. Ray must be
    running.
    """
    folder = settings.folder
    ledger = Ledger(settings, open_studies(settings), resources, budget)
    # Tune gives a trial what the reference stands for.
    trainable = tune.with_resources(
        tune.with_parameters(train_trial, data=data), {"cpu": resources.cpus, "gpu": resources.gpus}
    )
    with SearchDisplay(settings.name, ledger.planned(), ledger.ended(), budget.seconds) as display:
        ledger.display = display
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=Proposals(ledger),
                scheduler=Halving(ledger),
                num_samples=-1,
                # One proposal at a time and place: a proposal made ahead knows less.
                max_concurrent_trials=resources.parallel,
                # Workers keep torch imported and the data mapped: 1.5 s a trial instead of 7.6 s.
                reuse_actors=True,
                trial_name_creator=lambda trial: f"trial {trial.config['trial']}",
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(folder.resolve()),
                verbose=0,
                # Silent at that; the one that Tune takes in a notebook clears the cell.
                progress_reporter=tune.CLIReporter(),
                callbacks=[watchdog.Watchdog(ledger), *callbacks(settings.track, folder)],
            ),
        )
        tuner.fit()
    if ledger.broken is not None:
        raise ledger.broken
    shutil.rmtree(folder / "tune", ignore_errors=True)
    for left in (folder / "trials").glob("*.pt"):
        # Of a trial whose end was known before its training state was deleted.
        left.unlink()
    return ledger.write_trials()


class _Hook:
    """Tune pickles its hooks into snapshots that we never read: nothing of ours goes there."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Proposals(_Hook, Searcher):
    """Tune's searcher: proposals of the study."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger
        self.numbers: dict[str, int] = {}
        """Of the trials that Tune runs, by its names for them."""

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """Return the job of the next trial, nothing while there is none, or say that there will be none."""
        proposal = None if self.ledger.is_over() else self.ledger.propose()
        if proposal is None:
            # One that runs may yet have to be taken up again.
            finished: str | None = None if self.numbers else Searcher.FINISHED
            return finished
        self.numbers[trial_id] = proposal.trial
        if self.ledger.display is not None:
            self.ledger.display.started(proposal, self.ledger.network(proposal.trial))
        return {**self.ledger.job(proposal), "patience": watchdog.PATIENCE}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Conclude a trial, however it ended; Tune calls this once a trial."""
        number = self.numbers.pop(trial_id)
        if self.ledger.broken is not None:
            return  # it stays unfinished: a resumed run goes on with it
        try:
            self.ledger.conclude(number)
        except OSError as error:
            self.ledger.broken = error

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is the state."""


class Halving(_Hook, FIFOScheduler):
    """Tune's scheduler: a trial stops where ASHA stops it."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ledger = ledger

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        """Record a report and decide."""
        stops = False
        try:
            stops = self.ledger.record(result)
        except OSError as error:
            self.ledger.broken = error
        return TrialScheduler.STOP if stops or self.ledger.is_over() else TrialScheduler.CONTINUE

    def on_trial_error(self, tune_controller: Any, trial: TuneTrial) -> None:
        """Keep why a process died."""
        story = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
        try:
            self.ledger.crashed(trial.config["trial"], story)
        except OSError as error:
            self.ledger.broken = error
