"""What a person sees while a run works: one bar, the best so far, the time left."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from search.records import Epoch, Trial, read_lines

if TYPE_CHECKING:
    from search.sampler import Proposal

console = Console(highlight=False)


def say(text: str) -> None:
    """Print a line as it is: not wrapped, its brackets not read as markup."""
    console.print(text, markup=False, soft_wrap=True)


class SearchDisplay:
    """A live line on a terminal; a line for each trial that ends elsewhere (logs, CI)."""

    def __init__(self, planned: dict[str, int], earlier: list[Trial], seconds: float | None) -> None:
        """Show a search of so many trials of each network, some of which an earlier session did."""
        self.total = sum(planned.values())
        self.many = len(planned) > 1
        self.deadline = None if seconds is None else time.monotonic() + seconds
        self.running: dict[int, tuple[str, int, int]] = {}
        """Name, epochs done and epochs planned."""
        self.ends = Counter(trial.state for trial in earlier)
        scored = [(trial.val_gap_l1, trial.trial) for trial in earlier if trial.val_gap_l1 is not None]
        self.best: tuple[float, int] | None = min(scored, default=None)
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        title = f"searching {', '.join(planned)}"
        self.task = self.progress.add_task(title, total=self.total, status="starting Ray workers")

    def __enter__(self) -> SearchDisplay:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def started(self, proposal: Proposal, network: str) -> None:
        """A trial was handed to a worker."""
        name = f"{network} trial {proposal.trial}" if self.many else f"trial {proposal.trial}"
        self.running[proposal.trial] = (name, proposal.known_epochs, proposal.epochs)
        self._refresh()

    def epoch(self, epoch: Epoch) -> None:
        """A trial finished an epoch."""
        name, _, planned = self.running[epoch.trial]
        self.running[epoch.trial] = (name, epoch.epoch, planned)
        found = (epoch.val_gap_l1, epoch.trial)
        self.best = found if self.best is None else min(self.best, found)
        self._refresh()

    def ended(self, trial: int, state: str, value: float | None) -> None:
        """A trial ended."""
        name, epochs, planned = self.running.pop(trial)
        self.ends[state] += 1
        if not console.is_terminal:
            words = {"stopped": "stopped early"}.get(state, state)
            score = "" if value is None else f", gap L1 {value * 1e3:.2f}e-3"
            done = f"[{self.ends.total()}/{self.total}]"
            say(f"  {name} {words} after {epochs} of {planned} epochs{score} {done}")
        self._refresh()

    def _refresh(self) -> None:
        parts = [f"{len(self.running)} running", f"{self.ends['finished']} done"]
        parts += [f"{self.ends['stopped']} stopped early"]
        if self.ends["failed"]:
            parts.append(f"{self.ends['failed']} failed")
        if self.best is not None:
            parts.append(f"best gap L1 {self.best[0] * 1e3:.2f}e-3 (trial {self.best[1]})")
        if self.deadline is not None:
            left = max(0.0, self.deadline - time.monotonic())
            parts.append(f"{left / 60:.1f} min left")
        self.progress.update(self.task, completed=self.ends.total(), status=", ".join(parts))


class RetrainDisplay:
    """A bar over the epochs of a retrained winner, or over its time; read from its records."""

    def __init__(self, records: Path, winner: Trial, epochs: int, seconds: float | None) -> None:
        self.records, self.winner, self.seconds = records, winner, seconds
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn(f"retraining {winner.network}, trial {winner.trial}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        total = epochs if seconds is None else seconds
        self.task = self.progress.add_task("", total=total, status="starting workers")
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> RetrainDisplay:
        self.progress.start()
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self.thread.join()
        self.progress.stop()

    def _follow(self) -> None:
        while not self.over.wait(0.5):
            if done := [epoch for epoch in read_lines(self.records) if epoch.trial == self.winner.trial]:
                last = done[-1]
                reached = last.epoch if self.seconds is None else min(last.seconds, self.seconds)
                status = f"epoch {last.epoch}, gap L1 {last.val_gap_l1 * 1e3:.2f}e-3"
                self.progress.update(self.task, completed=reached, status=status)
