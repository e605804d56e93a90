"""`python -m search.watch RUN`: follow a run from another terminal, by the files in its folder."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from records.folder import RunFolder, Stage
from records.tables import Ladder, RunInfo, Trial
from scattering.arguments import Parser, command, program
from scattering.errors import InputError, one_line
from search.following.display import console, shown, write
from search.following.view import Training, View, duration, ended_line, picture
from search.settings import ALL, RUNS, SEARCH_LIMIT, SEARCH_SHARE, Study, from_dict

PAUSE = 1.0

STAGES = {
    Stage.SEARCHING: "searching",
    Stage.RETRAINING: "retraining",
    Stage.MEASURING: "measuring on test frames",
    Stage.DONE: "finished",
}
"""As people read them."""

QUIET = 60.0
"""Seconds without a new line after which a run is said to be quiet; or three epochs, where they take longer."""


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(prog=program("watch", "search.watch"), description=__doc__)
    p.add_argument("run", metavar="RUN", help="a name under runs/, or a run folder")
    p.add_argument("--once", action="store_true", help="say how it stands now, and leave")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Follow a run until it has its leaderboard; returns the exit code."""
    return command(lambda: _watch(parser().parse_args(arguments)))


def _watch(given: argparse.Namespace) -> None:
    folder = find(given.run)
    if not given.once:
        follow(folder)
    if is_finished(folder):
        show_leaderboard(folder)
    else:
        console.print(picture(read(folder, time.time()), time.time(), console.width))


def find(name: str) -> Path:
    """Return the folder of a run.

    Raises InputError when there is none.
    """
    for folder in (RUNS / name, Path(name)):
        if RunFolder(folder).info.exists():
            return folder
    known = ", ".join(sorted(path.parent.name for path in RUNS.glob("*/run.json"))) or "none yet"
    raise InputError(f"a run is a name under {RUNS}/ or a run folder, got {name!r}; runs: {known}")


def follow(folder: Path) -> None:
    """Show a run until it has its leaderboard."""
    view = read(folder, time.time())
    with shown(lambda: view) as changed:
        while not is_finished(folder):
            time.sleep(PAUSE)
            before, view = view, read(folder, time.time())
            changed()
            if not console.is_interactive:
                _log(before, view)


def is_finished(folder: Path) -> bool:
    """Tell whether a run has its leaderboard."""
    return RunFolder(folder).leaderboard.exists()


def show_leaderboard(folder: Path) -> None:
    """Print the leaderboard of a run."""
    from reports import leaderboard

    run = RunFolder(folder)
    write(leaderboard.text(leaderboard.rows(run.leaderboard.read())))
    write(f"\nleaderboard: {run.page}")


def _log(before: View, view: View) -> None:
    """Say what has happened between two looks, where there is no table."""
    if view.stage != before.stage:
        write(view.stage)
    elif view.quiet and not before.quiet:
        write(view.quiet)
    known = {row.trial for row in before.ended}
    for row in view.ended:
        if view.stage == before.stage and row.trial not in known:
            write(ended_line(row, view))


def read(folder: Path, now: float) -> View:
    """Return what the files of a run say of it `now`, in seconds since 1970.

    Raises InputError when one of them cannot be read.
    """
    try:
        run = RunFolder(folder)
        info, winners = run.info.read(), run.winners.read()
        view = _retraining(run, info, winners) if winners else _searching(run, info, now)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"a run folder holds only what a search wrote, {folder} does not ({one_line(error)})"
        ) from None
    return view if is_finished(folder) else replace(view, quiet=_quiet(run, info, now))


def _searching(run: RunFolder, info: RunInfo, now: float) -> View:
    """The trials of a search, the ended ones in the order of their last reports."""
    settings = info.settings
    studies = _studies(info)
    order = {interim.trial: place for place, interim in enumerate(run.progress.read())}
    trials = sorted(run.trials_so_far(), key=lambda trial: order.get(trial.trial, -1))
    rows = [Training.of(trial, None) for trial in trials]
    # A trial that has not come to its first report has but its log.
    logs = {int(path.stem) for path in run.path.glob("trials/*.log")} - {row.trial for row in rows}
    rows += [Training(number, "", None) for number in logs]
    ladders = {ladder.study: ladder for ladder in run.ladders.read()}
    if studies and settings["points"] == "search":
        rows = [_in_study(row, studies, ladders) for row in rows]
    known = studies and settings["points"] == "search"
    limit = None
    if settings["minutes"] is not None:
        limit = datetime.fromisoformat(info.created).timestamp() + settings["minutes"] * 60 * SEARCH_LIMIT
    return View(
        stage=f"{info.name}: searching {', '.join(study.name for study in studies) or info.network}",
        total=settings["trials"] * len(studies) if known else None,
        running={row.trial: row for row in rows if row.state == "running"},
        ended=tuple(row for row in rows if row.state != "running"),
        # A resumed search has its time anew, and began nobody knows when.
        deadline=limit if limit is not None and now < limit else None,
    )


def _in_study(row: Training, studies: tuple[Study, ...], ladders: dict[str, Ladder]) -> Training:
    """Return a row with its network and how long it is to be; studies take turns in the numbers of the trials."""
    study = studies[row.trial % len(studies)]
    ladder = ladders.get(study.name)
    return replace(
        row, network=row.network or study.network, epochs=None if ladder is None else ladder.length / ladder.epoch
    )


def _studies(info: RunInfo) -> tuple[Study, ...]:
    """The studies of a run, as far as run.json names them."""
    # Which networks the paper has points of is known where the spaces are, and these need Optuna.
    if info.network == ALL and info.settings["points"] == "paper":
        return ()
    return from_dict(info.settings).studies


def _retraining(run: RunFolder, info: RunInfo, winners: list[Trial]) -> View:
    """The winners with each of their seeds, retrained side by side."""
    settings, records = from_dict(info.settings), run.retraining.path
    last = {(interim.trial, interim.seed): interim for interim in run.retraining.read()}
    epochs = settings.retrain_epochs if settings.proposes else None
    rows = []
    for winner in winners:
        for seed in settings.retrain_seeds:
            row = Training(winner.trial, winner.network, epochs)
            row = row.after(last[winner.trial, seed]) if (winner.trial, seed) in last else row
            rows.append(replace(row, state="retrained") if run.model(winner, seed).exists() else row)
    waiting = [row for row in rows if row.state == "running"]
    stage = STAGES[run.stage(settings.retrain_seeds)]
    deadline = None
    if waiting and settings.minutes is not None and records.exists():
        share = settings.minutes * 60 * (1 - SEARCH_SHARE) / len(rows)
        deadline = records.stat().st_mtime + share * len(waiting) - waiting[0].seconds
    return View(
        stage=f"{info.name}: {stage}",
        total=len(rows),
        # Those that have reported; before the first report, one of them.
        running=dict(enumerate([row for row in waiting if row.epoch] or waiting[:1])),
        ended=tuple(row for row in rows if row.state != "running"),
        deadline=deadline,
    )


def _quiet(run: RunFolder, info: RunInfo, now: float) -> str:
    """Say since when nothing has been written; nothing as long as that is usual."""
    reports = [*run.progress.read(), *run.retraining.read()]
    usual = max((interim.seconds / interim.epoch for interim in reports), default=0.0)
    last = run.last_change()
    if now - last < max(QUIET, 3 * usual):
        return ""
    return (
        f"quiet since {datetime.fromtimestamp(last):%Y-%m-%d %H:%M} ({duration(now - last)}): nothing was written; "
        f"if it was stopped, go on with: python -m search.run {info.network} --name {info.name} --resume"
    )


if __name__ == "__main__":
    sys.exit(main())
