"""Answers to Ray Tune: the trials to run, and when to stop them. All that Tune reports goes to the ledger."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import Stopper

from search.tuning.ledger import Ledger
from trainables.messages import from_report

PATIENCE = 600.0
"""Seconds without a word after which a trial counts as hung; longer where it says that its reports take long."""


class Hook:
    """Tune pickles its hooks into snapshots that we never read: nothing of ours goes there."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Proposals(Hook, Searcher):
    """Tune's searcher: proposals of the study."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger
        self.patience = PATIENCE
        self.numbers: dict[str, int] = {}
        """Of the trials that Tune has, by its names for them."""

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """Return the job of the next trial, nothing while there is none, or say that there will be none."""
        if len(self.numbers) == self.ledger.resources.parallel:
            return None  # a proposal made ahead knows less
        proposal = None if self.ledger.is_over() else self.ledger.propose()
        if proposal is None:
            # One that runs may yet have to be taken up again.
            finished: str | None = None if self.numbers else Searcher.FINISHED
            return finished
        self.numbers[trial_id] = proposal.trial
        if self.ledger.display is not None:
            self.ledger.display.started(proposal, self.ledger.network(proposal.trial))
        return asdict(self.ledger.job(proposal, self.patience))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Conclude a trial, however it ended; Tune calls this once a trial."""
        number = self.numbers.pop(trial_id)
        if self.ledger.broken is not None:
            return  # it stays unfinished: a resumed run goes on with it
        try:
            self.ledger.conclude(number)
        except OSError as error:
            self.ledger.broken = error

    def conclude_all(self) -> None:
        """Conclude the trials that never came to run."""
        for trial_id in list(self.numbers):
            self.on_trial_complete(trial_id)

    def notice_dropped(self, trial_id: str) -> None:
        """Conclude a trial that Tune is done with and has said nothing of.

        So it ends one whose process is still busy with the trial before (tune_controller.py: _on_trial_reset).
        """
        if trial_id in self.numbers:
            self.ledger.crashed(self.numbers[trial_id], "its process did not begin with it")
            self.on_trial_complete(trial_id, error=True)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is the state."""


class Closing(Hook, Stopper):
    """Tune's stopper: a search whose time is over does not wait for machines."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no single trial: that is said elsewhere."""
        return False

    def stop_all(self) -> bool:
        """Tell whether nothing that runs is left and nothing may begin."""
        return self.ledger.abandoned


class Halving(Hook, FIFOScheduler):
    """Tune's scheduler: a trial stops where ASHA stops it."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ledger = ledger

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        """Record a report and decide."""
        message, stops = from_report(result), False
        try:
            stops = self.ledger.record(message)
        except OSError as error:
            self.ledger.broken = error
        ends = stops or self.ledger.broken is not None or self.ledger.is_late(message.trial)
        return TrialScheduler.STOP if ends else TrialScheduler.CONTINUE

    def on_trial_error(self, tune_controller: Any, trial: TuneTrial) -> None:
        """Keep why a process died."""
        story = Path(trial.error_file).read_text(encoding="utf-8") if trial.error_file else ""
        try:
            self.ledger.crashed(trial.config["trial"], story)
        except OSError as error:
            self.ledger.broken = error
