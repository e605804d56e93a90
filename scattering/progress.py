"""The progress of a command through its frames."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def shown(total: int, doing: str) -> Iterator[Callable[[int], None]]:
    """Show how many frames of a command are done: a bar on a terminal, else a line about every tenth."""
    if not sys.stdout.isatty():
        yield _Lines(total)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(doing), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    speed = _Speed()
    with Progress(*columns) as bar:
        task = bar.add_task("", total=total, rate="")
        yield lambda done: bar.update(task, completed=done, rate=speed(done))


class _Speed:
    """Frames a second, in words, from when the first ones of this time were done: workers take a while to start."""

    def __init__(self) -> None:
        self._marks: list[tuple[int, float]] = []

    def __call__(self, done: int) -> str:
        now = time.monotonic()
        self._marks = [*self._marks[:2], (done, now)]
        if len(self._marks) < 3:
            return ""
        first, since = self._marks[1]
        return f"{(done - first) / (now - since):.1f} frames/s"


class _Lines:
    """Prints a line about every tenth of all frames."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._tenth = 0
        self._speed = _Speed()

    def __call__(self, done: int) -> None:
        speed = self._speed(done)
        tenth = 10 * done // self._total
        if tenth > self._tenth:
            self._tenth = tenth
            print(f"{done} of {self._total} frames {speed}".rstrip(), flush=True)
