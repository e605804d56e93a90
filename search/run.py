"""`python -m search.run tunet`: search, retrain, measure, and write the leaderboard."""

from __future__ import annotations

import argparse
import difflib
import errno
import os
import re
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path

from records.folder import RunFolder
from records.networks import TITLES
from scattering.arguments import Options, Parser, add_frame_options, print_any_name
from scattering.errors import InputError
from search import options
from search.following.display import choose, say, tell, write
from search.options import Role
from search.settings import ALL, PRESETS, RUNS, Asked, Settings, resolve

# As it can be typed: the Python of a virtual environment in this folder by its relative path.
_PYTHON = Path(sys.executable)
PROGRAM = f"{_PYTHON.relative_to(Path.cwd()) if _PYTHON.is_relative_to(Path.cwd()) else 'python'} -m search.run"

STORAGE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO)

DESCRIPTION = """\
Find the network that fills the gaps of your detector best.

Many variants of a network are trained at once, poor ones are stopped early, the best one is trained
again at full length and measured, beside classical methods, on frames that the search never saw.
The result is a page with tables and pictures: runs/<name>/report/index.html."""

EPILOG = """\
examples:
  python -m search.run tunet
      simulated frames, gaps of a PILATUS 2M; on a laptop this takes some minutes
  python -m search.run tunet --data 'frames/*.h5' --detector Eiger4M --minutes 60
      your own frames, one hour
  python -m search.run all --minutes 60
      all networks side by side, the time shared among them
  python -m search.run tunet --name friday --resume
      go on with a run that was stopped
  python -m search.run tunet --name friday --resume --trials 50
      go on with a run that has ended, up to 50 trials"""


def parser() -> Parser:
    """Return the parser of the command line; defaults live in `search.settings`."""
    p = Parser(
        prog=PROGRAM,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("network", help=f"network to search: {', '.join(TITLES)}, or {ALL}: every one of them")
    frames, effort, machine, output, run = (
        p.add_argument_group(name) for name in ("frames", "effort", "machine", "output", "run")
    )
    options.add(Settings, "frames", frames)
    add_frame_options(frames)
    effort.add_argument(
        "--preset", choices=PRESETS,
        help="quick: minutes on a laptop; standard: hours on a GPU; paper: as long as the paper trained "
        "(default: standard with a GPU, else quick)",
    )  # fmt: skip
    options.add(Settings, "effort", effort)
    options.add(Asked, "machine", machine)
    form = output.add_mutually_exclusive_group()
    form.add_argument("--quiet", action="store_true", help="print errors and the path of the leaderboard, no more")
    form.add_argument(
        "--json", action="store_true",
        help="print one JSON object a line for each event (search/following/display.py lists them)",
    )  # fmt: skip
    options.add(Settings, "output", output)
    run.add_argument("--name", help="folder under runs/ (default: the network and the time)")
    options.add(Settings, "run", run)
    extended = ", ".join(flag for _, flag, found in options.options(Settings) if found.role is Role.EXTENDS)
    run.add_argument(
        "--resume", action="store_true",
        help=f"go on with the run of this --name where it stopped; more {extended} extend it",
    )  # fmt: skip
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when it ends with a leaderboard, 2 for bad input, 130 when stopped with Ctrl-C."""
    # Threads that wait for a busy core spin for milliseconds by default: with another program on the same
    # cores training takes 2 to 8 times as long. Set before torch is imported, here and in Ray's workers.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    arguments = list(sys.argv[1:] if argv is None else argv)
    typed, name = None, ""
    print_any_name()
    choose()
    try:
        typed = parser().parse_args(arguments)
        choose(quiet=typed.quiet, as_json=typed.json)
        name = check_name(typed.name or f"{typed.network}-{datetime.now():%Y%m%d-%H%M%S}")
        follow(typed, name, f"{PROGRAM} {shlex.join(arguments)}")
    except InputError as error:
        return stop(2, f"error: {error}")
    except OSError as error:
        if error.errno not in STORAGE_ERRORS:
            raise
        reason = f"error: cannot write {error.filename or 'the run'}: {error.strerror}"
        return stop(2, reason, go_on(typed, name))
    except KeyboardInterrupt:
        return stop(130, "\nstopped", go_on(typed, name))
    return 0


def stop(code: int, reason: str, go_on: str = "") -> int:
    """Say why a run ends early, and how to go on with it; returns the exit code."""
    with suppress(BrokenPipeError):
        print(f"{reason}; go on with: {go_on}" if go_on else reason, file=sys.stderr)
    tell("stopped", reason=reason.strip(), code=code, go_on=go_on)
    return code


def go_on(typed: argparse.Namespace | None, name: str) -> str:
    """Return the command that resumes a run, where there is one."""
    if typed is None or not RunFolder(RUNS / name).info.exists():
        return ""
    return f"{PROGRAM} {typed.network} --name {name} --resume"


def follow(typed: argparse.Namespace, name: str, command: str) -> None:
    """Do what the command line asks for and print the leaderboard.

    Raises InputError for anything the user should change.
    """
    names = (*TITLES, ALL)
    if typed.network not in names:
        near = difflib.get_close_matches(typed.network, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"the network must be one of {', '.join(names)}, got {typed.network!r}{hint}")
    from reports import leaderboard, page, searched
    from reports.folder import read
    from search import experiment, session

    extends = options.names(Settings, Role.EXTENDS)
    identity = [*options.names(Settings, Role.IDENTITY), *(field.name for field in fields(Options))]
    given = {key: getattr(typed, key) for key in (*identity, *extends)}
    asked = Asked(*(getattr(typed, field.name) for field in fields(Asked)))
    options.check(Asked, vars(asked))
    more: dict[str, int | float] = {}
    if typed.resume:
        extra = [f"--{key.replace('_', '-')}" for key in (*identity, "preset") if getattr(typed, key) is not None]
        if extra:
            raise InputError(f"--resume goes on with the settings of the run, got {', '.join(extra)}: leave them out")
        more = {key: given[key] for key in extends if given[key] is not None}
        settings, data = session.resume(name, typed.network, more)
    else:
        session.check_alone(given)
        settings, data = session.begin(resolve(typed.network, name, typed.preset or default_preset(), given), command)
    scores = experiment.run(settings, data, asked, more=frozenset(more))
    path = page.write(settings.folder)
    write("\n" + leaderboard.text(leaderboard.rows(scores)))
    for sentence in searched.sentences(read(settings.folder)):
        say(sentence)
    tell("finished", folder=str(settings.folder), leaderboard=str(path), scores=[asdict(score) for score in scores])
    write(f"\nleaderboard: {path}")
    if typed.quiet:
        print(path)


def check_name(name: str) -> str:
    """Return a run's name that is safe as a folder.

    Raises InputError for one that is not.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise InputError(
            f"--name may hold letters, digits, dots, - and _, starting with a letter or digit, got {name!r}"
        )
    return name


def default_preset() -> str:
    """Return the preset that this machine can do."""
    import torch

    return "standard" if torch.cuda.is_available() else "quick"


if __name__ == "__main__":
    sys.exit(main())
