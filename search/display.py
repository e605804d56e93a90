"""What a person sees while a run works: one bar, the best so far, the time left."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from search.records import Epoch, read_lines
from search.settings import Settings

console = Console(highlight=False)


def say(text: str) -> None:
    """Print a line as it is: not wrapped, its brackets not read as markup."""
    console.print(text, markup=False, soft_wrap=True)


class SearchDisplay:
    """A live line on a terminal; a line for each trial that ends elsewhere (logs, CI)."""

    def __init__(self, network: str, trials: int, epochs: int, seconds: float | None) -> None:
        self.trials, self.epochs = trials, epochs
        self.deadline = None if seconds is None else time.monotonic() + seconds
        self.running: dict[int, int] = {}
        self.ends: dict[str, int] = {}
        self.best: Epoch | None = None
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self.task = self.progress.add_task(f"searching {network}", total=trials, status="starting Ray workers")

    def __enter__(self) -> SearchDisplay:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def started(self, trial: int) -> None:
        """A trial was handed to a worker."""
        self.running[trial] = 0
        self._refresh()

    def epoch(self, epoch: Epoch) -> None:
        """A trial finished an epoch."""
        self.running[epoch.trial] = epoch.epoch
        if self.best is None or epoch.val_gap_l1 < self.best.val_gap_l1:
            self.best = epoch
        self._refresh()

    def ended(self, trial: int, state: str, value: float | None) -> None:
        """A trial ended."""
        epochs = self.running.pop(trial, 0)
        self.ends[state] = self.ends.get(state, 0) + 1
        if not console.is_terminal:
            words = {"stopped": "stopped early"}.get(state, state)
            score = "" if value is None else f", gap L1 {value * 1e3:.2f}e-3"
            done = sum(self.ends.values())
            console.print(
                f"  trial {trial} {words} after {epochs} of {self.epochs} epochs{score} [{done}/{self.trials}]"
            )
        self._refresh()

    def _refresh(self) -> None:
        parts = [f"{len(self.running)} running", f"{self.ends.get('finished', 0)} done"]
        parts += [f"{self.ends.get('stopped', 0)} stopped early"]
        if self.ends.get("failed"):
            parts.append(f"{self.ends['failed']} failed")
        if self.best is not None:
            parts.append(f"best gap L1 {self.best.val_gap_l1 * 1e3:.2f}e-3 (trial {self.best.trial})")
        if self.deadline is not None:
            left = max(0.0, self.deadline - time.monotonic())
            parts.append(f"{left / 60:.1f} min left")
        self.progress.update(self.task, completed=sum(self.ends.values()), status=", ".join(parts))


class RetrainDisplay:
    """A bar over the epochs of the retrained winner, or over its time; read from its records."""

    def __init__(self, settings: Settings, trial: int, seconds: float | None) -> None:
        self.seconds, self.records = seconds, settings.folder / "retraining.jsonl"
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn(f"retraining {settings.network}, trial {trial}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        total = settings.retrain_epochs if seconds is None else seconds
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
            if done := read_lines(self.records):
                last = done[-1]
                reached = last.epoch if self.seconds is None else min(last.seconds, self.seconds)
                status = f"epoch {last.epoch}, gap L1 {last.val_gap_l1 * 1e3:.2f}e-3"
                self.progress.update(self.task, completed=reached, status=status)
