"""The state of a run under way, and its picture: one table, the same live and from the run's files."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from dataclasses import dataclass, field, replace

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from records.tables import Interim, Trial, in_epochs

NARROW = 70
"""Columns below which the table leaves out networks, times and reasons."""
RUNNING_ROWS, ENDED_ROWS = 16, 4
WORDS = {"stopped": "stopped early"}


@dataclass(frozen=True)
class Training:
    """One trial, or the retraining of a winner."""

    trial: int
    network: str
    epochs: float | None
    """Planned; None where that is not known."""
    state: str = "running"
    """running, or how it ended: see `records.tables.Trial`."""
    epoch: float = 0.0
    """Epochs done."""
    gap_l1: float | None = None
    seconds: float = 0.0
    """On its device, of all sessions together."""
    error: str = ""

    @classmethod
    def of(cls, trial: Trial, epochs: float | None) -> Training:
        """Return a row of trials.csv as a training of so many epochs."""
        done = (trial.epochs, trial.val_gap_l1, trial.seconds)
        return cls(trial.trial, trial.network, epochs, trial.state, *done, trial.error)

    def after(self, interim: Interim) -> Training:
        """Return it after a report."""
        value = interim.val_gap_l1 if math.isfinite(interim.val_gap_l1) else None
        return replace(self, epoch=interim.epoch, gap_l1=value, seconds=interim.seconds)

    def seconds_left(self, usual: float) -> float:
        """Return how long it may still take, where one like it usually takes so long."""
        if self.seconds > usual and self.epochs is not None and self.epoch:
            return self.seconds / self.epoch * (self.epochs - self.epoch)
        return max(0.0, usual - self.seconds)

    @property
    def reason(self) -> str:
        """The reason of its end, in a few words, where its state does not tell."""
        states = {"stopped": "not in the best third", "interrupted": "out of time"}
        return textwrap.shorten(self.error, 160, placeholder=" ...") or states.get(self.state, "")


@dataclass(frozen=True)
class View:
    """The state of a run."""

    stage: str
    """The first words of the picture."""
    total: int | None
    """Trainings that there are to be; None where that is not known."""
    running: dict[int, Training] = field(default_factory=dict)
    ended: tuple[Training, ...] = ()
    """In the order of their ends."""
    deadline: float | None = None
    """When the time of this stage is over, in seconds since 1970."""
    quiet: str = ""
    """What is said of a run that nobody writes to any more."""

    def with_running(self, row: Training) -> View:
        """Return it with a training begun, or further than it was."""
        return replace(self, running={**self.running, row.trial: row})

    def with_ended(self, row: Training) -> View:
        """Return it with a training ended."""
        running = {trial: other for trial, other in self.running.items() if trial != row.trial}
        return replace(self, running=running, ended=(*self.ended, row))

    @property
    def best(self) -> tuple[float, int] | None:
        """The smallest gap L1 that a training has now, and which one."""
        rows = (*self.ended, *self.running.values())
        scored = [(row.gap_l1, row.trial) for row in rows if row.gap_l1 is not None and row.state != "failed"]
        return min(((value, trial) for value, trial in scored if math.isfinite(value)), default=None)

    def seconds_left(self, now: float) -> float | None:
        """Return how long this stage may still take; None as long as nothing tells.

        Trials are taken to last as long as those that ended did on average, one that has outlived that to go to its
        end, and as many to run side by side as do now.
        """
        if self.quiet or len(self.ended) == self.total:
            return None
        limits = [] if self.deadline is None else [max(0.0, self.deadline - now)]
        if self.total is not None and self.ended and self.running:
            usual = sum(row.seconds for row in self.ended) / len(self.ended)
            begun = [row.seconds_left(usual) for row in self.running.values()]
            to_come = max(0, self.total - len(self.ended) - len(begun))
            limits.append(max(*begun, (usual * to_come + sum(begun)) / len(begun)))
        return min(limits, default=None)


def picture(view: View, now: float, width: int) -> RenderableType:
    """Draw a view as it is `now`, in seconds since 1970, so many columns wide."""
    running = sorted(view.running.values(), key=lambda row: row.trial)
    rows = [*running[:RUNNING_ROWS], *view.ended[: -ENDED_ROWS - 1 : -1]]
    parts: list[RenderableType] = [Text(_headline(view, now))]
    if view.total:
        under_way = sum(min(1.0, row.epoch / row.epochs) for row in running if row.epochs)
        bar = ProgressBar(view.total, len(view.ended) + under_way, width=min(40, width))
        # A bar alone does not end its line.
        parts.append(Padding(bar, 0))
    if rows:
        parts.append(_table(rows, wide=width >= NARROW))
    if len(running) > RUNNING_ROWS:
        parts.append(Text(f"and {len(running) - RUNNING_ROWS} more running"))
    if view.quiet:
        parts.append(Text(view.quiet, style="yellow"))
    return Group(*parts)


def _headline(view: View, now: float) -> str:
    parts = [view.stage]
    if view.running:
        parts.append(f"{len(view.running)} running")
    if view.total is not None or view.ended:
        of = "" if view.total is None else f" of {view.total}"
        states = Counter(WORDS.get(row.state, row.state) for row in view.ended)
        parts.append(f"{len(view.ended)}{of} ended")
        parts += [f"{count} {state}" for state, count in states.items()]
    if view.best is not None:
        parts.append(f"best gap L1 {view.best[0] * 1e3:.2f}e-3 (trial {view.best[1]})")
    if (left := view.seconds_left(now)) is not None:
        parts.append(f"about {duration(left)} left")
    return " · ".join(parts)


def _table(rows: list[Training], *, wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("trial", justify="right", no_wrap=True)
    if wide:
        table.add_column("network", no_wrap=True)
    table.add_column("epoch", justify="right", no_wrap=True)
    table.add_column("gap L1 (1e-3)" if wide else "L1, 1e-3", justify="right", no_wrap=True)
    if wide:
        table.add_column("device time", justify="right", no_wrap=True)
    table.add_column("state", overflow="fold" if wide else "ellipsis", no_wrap=not wide)
    for row in rows:
        state, reason = WORDS.get(row.state, row.state), row.reason
        epoch = in_epochs(row.epoch) + ("" if row.epochs is None else f"/{in_epochs(row.epochs)}")
        score = "" if row.gap_l1 is None else f"{row.gap_l1 * 1e3:.2f}"
        if wide:
            spent = duration(row.seconds) if row.epoch else ""
            cells = [str(row.trial), row.network, epoch, score, spent, f"{state}: {reason}" if reason else state]
        else:
            cells = [str(row.trial), epoch, score, state]
        style = {"running": "", "failed": "red"}.get(row.state, "dim")
        table.add_row(*map(Text, cells), style=style)
    return table


def ended_line(row: Training, view: View) -> str:
    """Return the line of a log that says how a trial of a view ended."""
    words = WORDS.get(row.state, row.state)
    planned = "" if row.epochs is None else f" of {in_epochs(row.epochs)}"
    score = "" if row.gap_l1 is None else f", gap L1 {row.gap_l1 * 1e3:.2f}e-3"
    why = f" ({row.reason})" if row.error else ""
    of = "" if view.total is None else f"/{view.total}"
    return (
        f"  {row.network} trial {row.trial} {words} after {in_epochs(row.epoch)}{planned} epochs{score}{why} "
        f"[{len(view.ended)}{of}]"
    )


def duration(seconds: float) -> str:
    """Write a time in its largest unit, or two."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 59.95 else f"{round(minutes) // 60} h {round(minutes) % 60:02d} min"
