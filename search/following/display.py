"""The output of a run in the terminal, notebook or pipe that it was started in.

A terminal has one live table, a notebook one output that is drawn again and again, a log one line a trial that ends.
With `--quiet` there is nothing but errors and, at the end, the path of the leaderboard. With `--json` standard output
has one JSON object a line and nothing else. Each has `event` and `time` (seconds since 1970), and

    message     text (what a person would read)
    searching   run, networks ({study: trials}), ended (trials of earlier sessions), seconds (limit, or null)
    started     trial, network, windows (planned), known_windows (of earlier sessions), config
    interim     network, and all of `records.tables.Interim`: trial, windows, epoch, val_gap_l1, seconds, ...
    ended       trial, network, state, epochs (done), val_gap_l1, error
    retraining  trial, network, seed, epochs (planned), seconds (limit, or null)
    retrained   network, and all of `records.tables.RetrainInterim`: a report of a winner
    finished    folder, leaderboard (the page), scores (the rows of leaderboard.csv)
    stopped     reason, code (the exit code), go_on (the command that goes on with the run, or "")

where a number that is not finite is null.
"""

from __future__ import annotations

import io
import json
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.live import Live

from records.files import read_retraining
from records.tables import Interim, RetrainInterim, Trial
from search.following.view import Training, View, ended_line, picture

if TYPE_CHECKING:
    from search.tuning.sampler import Proposal


class _Console(Console):
    """A console whose reader may leave: the run goes on in silence, where rich would end it."""

    def on_broken_pipe(self) -> None:
        """Write to nowhere from now on."""
        _to_nowhere(sys.stdout)
        self.quiet = True


def _to_nowhere(stream: TextIO) -> None:
    """Let the rest of what is written to a stream vanish, also what is flushed at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


NOTEBOOK = Console().is_jupyter
"""Whether this process is the kernel of a notebook."""
# There rich would make an HTML block of every line, and take the kernel's streams for a terminal.
console = _Console(highlight=False, force_jupyter=False, force_terminal=False if NOTEBOOK else None)

NOTEBOOK_WIDTH, NOTEBOOK_PAUSE = 100, 0.5

_as_json = False


def choose(*, quiet: bool = False, as_json: bool = False) -> None:
    """Show nothing, or JSON lines; else what a person reads."""
    global _as_json
    console.quiet = quiet or as_json
    _as_json = as_json


def say(text: str) -> None:
    """Tell a person a line."""
    write(text)
    tell("message", text=text)


def write(text: str) -> None:
    """Print a line as it is: not wrapped, its brackets not read as markup."""
    console.print(text, markup=False, soft_wrap=True)


@contextmanager
def status(text: str) -> Iterator[Callable[[str], None]]:
    """Say on a terminal what is being done, as long as it is; the block may say how far it is."""
    tell("message", text=text)
    if not console.is_interactive:
        yield lambda how_far: None
        return
    with console.status(text) as shown:
        yield lambda how_far: shown.update(f"{text}: {how_far}")


def tell(event: str, **facts: Any) -> None:
    """Write an event as a line of JSON, where that is wanted."""
    if not _as_json:
        return
    line = json.dumps(_finite({"event": event, "time": round(time.time(), 3), **facts}), allow_nan=False)
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _to_nowhere(sys.stdout)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def shown(look: Callable[[], View]) -> Iterator[Callable[[], None]]:
    """Show a view while a block runs, live on a terminal or in a notebook; call what it gives after each change."""
    if console.quiet:
        yield lambda: None
    elif console.is_interactive:
        live = Live(
            get_renderable=lambda: picture(look(), time.time(), console.width),
            console=console,
            refresh_per_second=2,
            transient=True,
        )
        with live:
            yield lambda: None
    elif NOTEBOOK:
        output = _NotebookOutput(look)
        try:
            yield output.changed
        finally:
            output.draw()
    else:
        yield lambda: None


class _NotebookOutput:
    """One output of a cell, drawn again: by the events of a run, for rich needs a widget library for it."""

    def __init__(self, look: Callable[[], View]) -> None:
        from IPython.display import display  # type: ignore[import-not-found]

        self.look = look
        self.drawn = time.monotonic()
        self.handle = display(self._bundle(), raw=True, display_id=True)

    def changed(self) -> None:
        """Draw it again, unless that was a moment ago."""
        if time.monotonic() - self.drawn > NOTEBOOK_PAUSE:
            self.draw()

    def draw(self) -> None:
        """Draw it again."""
        self.drawn = time.monotonic()
        self.handle.update(self._bundle(), raw=True)

    def _bundle(self) -> dict[str, str]:
        paper = Console(file=io.StringIO(), record=True, width=NOTEBOOK_WIDTH, force_jupyter=False, highlight=False)
        paper.print(picture(self.look(), time.time(), NOTEBOOK_WIDTH))
        html = paper.export_html(code_format="<pre>{code}</pre>", inline_styles=True, clear=False)
        return {"text/plain": paper.export_text(), "text/html": html}


class SearchDisplay:
    """A search as it goes on."""

    def __init__(
        self, run: str, planned: dict[str, int], epoch: int, earlier: list[Trial], seconds: float | None
    ) -> None:
        """Show a search of so many trials of each network, some of which an earlier session did.

        `epoch` is the number of windows of the training set.
        """
        self.epoch = epoch
        self.view = View(
            stage=f"{run}: searching {', '.join(planned)}",
            total=sum(planned.values()),
            ended=tuple(Training.of(trial, None) for trial in earlier),
            deadline=None if seconds is None else time.time() + seconds,
        )
        self.stack = ExitStack()
        tell("searching", run=run, networks=planned, ended=len(earlier), seconds=seconds)

    def __enter__(self) -> SearchDisplay:
        self.changed = self.stack.enter_context(shown(lambda: self.view))
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    def started(self, proposal: Proposal, network: str) -> None:
        """A trial was handed to a worker."""
        row = Training(
            proposal.trial, network, proposal.windows / self.epoch, epoch=proposal.known_windows / self.epoch
        )
        self.view = self.view.with_running(row)
        facts = {"windows": proposal.windows, "known_windows": proposal.known_windows, "config": proposal.config}
        tell("started", trial=proposal.trial, network=network, **facts)
        self.changed()

    def interim(self, interim: Interim) -> None:
        """A trial reported."""
        row = self.view.running[interim.trial].after(interim)
        self.view = self.view.with_running(row)
        tell("interim", network=row.network, **asdict(interim))
        self.changed()

    def ended(self, trial: int, state: str, error: str) -> None:
        """A trial ended."""
        row = replace(self.view.running[trial], state=state, error=error)
        self.view = self.view.with_ended(row)
        facts = {"epochs": row.epoch, "val_gap_l1": row.gap_l1, "error": error}
        tell("ended", trial=trial, network=row.network, state=state, **facts)
        if not (console.is_interactive or NOTEBOOK):
            write(ended_line(row, self.view))
        self.changed()


class RetrainDisplay:
    """Winners as they are retrained, read from their records: these are written by other processes."""

    def __init__(
        self,
        run: str,
        records: Path,
        trainings: Sequence[tuple[Trial, int]],
        epochs: Mapping[int, int],
        seconds: float | None,
    ) -> None:
        """Show trainings of winners, each with a seed, for so many epochs by trial and at most so many seconds."""
        self.records, self.seconds = records, seconds
        self.rows = {
            (winner.trial, seed): Training(winner.trial, winner.network, epochs[winner.trial])
            for winner, seed in trainings
        }
        self.told = {(one.trial, one.seed, one.windows) for one in self._advance()}
        self.view = View(stage=f"{run}: retraining", total=None)
        self._draw()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.stack = ExitStack()
        for (trial, seed), row in self.rows.items():
            tell("retraining", trial=trial, network=row.network, seed=seed, epochs=row.epochs, seconds=seconds)

    def __enter__(self) -> RetrainDisplay:
        self.changed = self.stack.enter_context(shown(lambda: self.view))
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.thread.join()
        ended = tuple(replace(row, state="over") for row in self.rows.values())
        self.view = replace(self.view, running={}, ended=ended)
        self.stack.close()

    def _follow(self) -> None:
        last = False
        while not last:
            # Once more after the end, for what was written since.
            last = self.over.wait(0.5)
            new = [one for one in self._advance() if (one.trial, one.seed, one.windows) not in self.told]
            for one in new:
                self.told.add((one.trial, one.seed, one.windows))
                tell("retrained", network=self.rows[one.trial, one.seed].network, **asdict(one))
            if new:
                self._draw()
                self.changed()

    def _advance(self) -> list[RetrainInterim]:
        """Take in the records so far, and return those of these trainings."""
        own = [one for one in read_retraining(self.records) if (one.trial, one.seed) in self.rows]
        for one in own:
            self.rows[one.trial, one.seed] = self.rows[one.trial, one.seed].after(one)
        return own

    def _draw(self) -> None:
        spent = min((row.seconds for row in self.rows.values()), default=0.0)
        # Their time runs from when the workers are there.
        limited = self.seconds is not None and spent > 0
        deadline = time.time() + (self.seconds or 0.0) - spent if limited else None
        self.view = replace(self.view, running=dict(enumerate(self.rows.values())), deadline=deadline)
