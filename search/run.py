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
from search.following.display import choose, tell, write
from search.settings import (
    ALL,
    BOTH,
    COMPARISONS,
    IMPLEMENTATIONS,
    POINTS,
    PRESETS,
    RUNS,
    TASKS,
    TRACKERS,
    resolve,
)

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
      simulated frames, gaps of a PILATUS 2M; on a laptop this takes about five minutes
  python -m search.run tunet --data 'frames/*.h5' --detector Eiger4M --minutes 60
      your own frames, one hour
  python -m search.run all --minutes 60
      all networks side by side, the time shared among them
  python -m search.run tunet --name friday --resume
      go on with a run that was stopped
  python -m search.run tunet --name friday --resume --trials 50
      go on with a run that has ended, up to 50 trials"""

IDENTITY = (
    "data", *(field.name for field in fields(Options)), "size", "frames", "epochs", "points", "implementation",
    "task", "compare_at", "track", "seed",
)  # fmt: skip
"""What makes a run what it is: given once."""

EXTENDS = ("trials", "minutes", "gpu_hours", "top", "seeds")
"""Efforts that a resumed run may have more of."""

MACHINE = {
    "cpus": "--cpus-per-trial",
    "gpus": "--gpus-per-trial",
    "memory_gb": "--memory-per-trial",
    "parallel": "--parallel",
}
"""How the machine is shared among trials, as each session likes: see `search.machines.resources.resources`."""


def parser() -> Parser:
    """Return the parser of the command line; defaults live in `search.settings`."""
    p = Parser(
        prog=PROGRAM,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("network", help=f"network to search: {', '.join(TITLES)}, or {ALL}: every one of them")
    data = p.add_argument_group("frames")
    data.add_argument(
        "--data", nargs="+", metavar="FILE",
        help="a data set of python -m scattering.prepare; or detector files of any format, folders of them, globs, "
        "arrays in HDF5 files as scan.h5::/entry/data/data (default: frames are simulated)",
    )  # fmt: skip
    data.add_argument(
        "--size", metavar="PIXELS",
        help="frames are resized to PIXELS x PIXELS, to ROWSxCOLUMNS, or kept as they are: native "
        f"(default: {_defaults('size')})",
    )  # fmt: skip
    add_frame_options(data)
    data.add_argument(
        "--frames", type=int, metavar="N",
        help=f"how many frames to simulate (default: {_defaults('frames')})",
    )  # fmt: skip
    effort = p.add_argument_group("effort")
    effort.add_argument(
        "--preset", choices=tuple(PRESETS),
        help="quick: minutes on a laptop; standard: hours on a GPU; paper: as long as the paper trained "
        "(default: standard with a GPU, else quick)",
    )  # fmt: skip
    effort.add_argument(
        "--trials", type=int, metavar="N",
        help=f"variants of each network to try (default: {_defaults('trials')})",
    )  # fmt: skip
    effort.add_argument(
        "--epochs", type=int, metavar="N",
        help="times that a trial sees every frame, unless it is stopped early "
        f"(default: {_defaults('epochs')})",
    )  # fmt: skip
    effort.add_argument(
        "--minutes", type=float, metavar="M",
        help=f"time for search and retraining together (default: {_defaults('minutes')}, for each network)",
    )  # fmt: skip
    effort.add_argument(
        "--gpu-hours", type=float, metavar="H",
        help="time of all GPUs together, for search and retraining (default: no limit)",
    )  # fmt: skip
    effort.add_argument(
        "--compare-at", choices=COMPARISONS,
        help="early stopping compares trials after equal epochs, or after equal training time (default: epochs)",
    )  # fmt: skip
    effort.add_argument(
        "--task", choices=(*TASKS, BOTH),
        help="blind: paint the gaps from nothing, as in the paper; residual: correct a simple interpolation; both: "
        "search each for itself and compare their winners (default: quick takes whichever wins, the others both)",
    )  # fmt: skip
    effort.add_argument(
        "--top", type=int, metavar="N",
        help=f"how many of the best variants are trained again at full length (default: {_defaults('top')})",
    )  # fmt: skip
    effort.add_argument(
        "--seeds", type=int, metavar="N",
        help="how many times each of them, from other initial weights, which shows what chance does "
        f"(default: {_defaults('seeds')})",
    )  # fmt: skip
    effort.add_argument(
        "--points", choices=POINTS, metavar="{" + " ".join(POINTS) + "}",
        help="search: try promising variants; paper: train every TUNet and MSDNet of the paper's tables to its end, "
        "as it did; paper,search: begin a search with these (default: search)",
    )  # fmt: skip
    effort.add_argument(
        "--implementation", choices=tuple(IMPLEMENTATIONS),
        help="whose TUNet and MSDNet: ours, or those of the paper's library (pip install -e '.[pymsdtorch]') "
        "(default: gapsearch)",
    )  # fmt: skip
    machine = p.add_argument_group("machine")
    machine.add_argument(
        "--gpus-per-trial", dest="gpus", type=float, metavar="N",
        help="0.25: four trials share a GPU (default: 1, or 0 without a GPU)",
    )  # fmt: skip
    machine.add_argument(
        "--cpus-per-trial", dest="cpus", type=int, metavar="N",
        help="(default: the cores that go with its GPU, or 1 without a GPU)",
    )  # fmt: skip
    machine.add_argument(
        "--memory-per-trial", dest="memory_gb", type=float, metavar="GB",
        help="for weights and batches; larger batches go in parts (default: its share of the machine)",
    )  # fmt: skip
    machine.add_argument(
        "--parallel", type=int, metavar="N", help="trials at once (default: as many as fit the machine)"
    )
    output = p.add_argument_group("output")
    form = output.add_mutually_exclusive_group()
    form.add_argument("--quiet", action="store_true", help="print errors and the path of the leaderboard, no more")
    form.add_argument(
        "--json", action="store_true",
        help="print one JSON object a line, as things happen (search/following/display.py says which)",
    )  # fmt: skip
    output.add_argument(
        "--track", choices=TRACKERS,
        help="write every trial for TensorBoard or MLflow, too, into the folder of the run",
    )  # fmt: skip
    run = p.add_argument_group("run")
    run.add_argument("--name", help="folder under runs/ (default: the network and the time)")
    run.add_argument("--seed", type=int, metavar="N", help="of frames, split, proposals and weights (default: 0)")
    run.add_argument(
        "--resume", action="store_true",
        help="go on with the run of this --name where it stopped; more --trials, --minutes, --gpu-hours, --top or "
        "--seeds extend it",
    )  # fmt: skip
    return p


def _defaults(name: str) -> str:
    """Return what each preset sets: '8 quick, 50 standard, 100 paper'."""
    values = ((preset, getattr(settings, name)) for preset, settings in PRESETS.items())
    return ", ".join(f"{'no limit' if value is None else value} {preset}" for preset, value in values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when it ends with a leaderboard, 2 for bad input, 130 when stopped with Ctrl-C."""
    # Threads that wait for a busy core spin for milliseconds by default: with another program on the same
    # cores training takes 2 to 8 times as long. Set before torch is imported, here and in Ray's workers.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    arguments = list(sys.argv[1:] if argv is None else argv)
    options, name = None, ""
    print_any_name()
    choose()
    try:
        options = parser().parse_args(arguments)
        choose(quiet=options.quiet, as_json=options.json)
        name = check_name(options.name or f"{options.network}-{datetime.now():%Y%m%d-%H%M%S}")
        follow(options, name, f"{PROGRAM} {shlex.join(arguments)}")
    except InputError as error:
        return stop(2, f"error: {error}")
    except OSError as error:
        if error.errno not in STORAGE_ERRORS:
            raise
        reason = f"error: cannot write {error.filename or 'the run'}: {error.strerror}"
        return stop(2, reason, go_on(options, name))
    except KeyboardInterrupt:
        return stop(130, "\nstopped", go_on(options, name))
    return 0


def stop(code: int, reason: str, go_on: str = "") -> int:
    """Say why a run ends early, and how to go on with it; returns the exit code."""
    with suppress(BrokenPipeError):
        print(f"{reason}; go on with: {go_on}" if go_on else reason, file=sys.stderr)
    tell("stopped", reason=reason.strip(), code=code, go_on=go_on)
    return code


def go_on(options: argparse.Namespace | None, name: str) -> str:
    """Return the command that resumes a run, where there is one."""
    if options is None or not RunFolder(RUNS / name).info.exists():
        return ""
    return f"{PROGRAM} {options.network} --name {name} --resume"


def follow(options: argparse.Namespace, name: str, command: str) -> None:
    """Do what the command line asks for and print the leaderboard.

    Raises InputError for anything the user should change.
    """
    names = (*TITLES, ALL)
    if options.network not in names:
        near = difflib.get_close_matches(options.network, names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"the network must be one of {', '.join(names)}, got {options.network!r}{hint}")
    from reports import leaderboard, page
    from search import experiment, session

    given = {key: getattr(options, key) for key in (*IDENTITY, *EXTENDS)}
    asked = {key: getattr(options, key) for key in MACHINE}
    for key, value in asked.items():
        if value is not None and not value > 0 and not (key == "gpus" and value == 0):
            raise InputError(f"{MACHINE[key]} must be above 0, got {value:g}")
    if asked["gpus"] is not None and asked["gpus"] > 1:
        raise InputError(f"a trial trains on one GPU or a part of it, got --gpus-per-trial {asked['gpus']:g}: take 1")
    more: dict[str, int | float] = {}
    if options.resume:
        extra = [f"--{key.replace('_', '-')}" for key in (*IDENTITY, "preset") if getattr(options, key) is not None]
        if extra:
            raise InputError(f"--resume goes on with the settings of the run, got {', '.join(extra)}: leave them out")
        more = {key: given[key] for key in EXTENDS if given[key] is not None}
        settings, data = session.resume(name, options.network, more)
    else:
        session.check_alone(given)
        settings, data = session.begin(
            resolve(options.network, name, options.preset or default_preset(), given), command
        )
    scores = experiment.run(settings, data, asked, more=frozenset(more))
    path = page.write(settings.folder)
    tell("finished", folder=str(settings.folder), leaderboard=str(path), scores=[asdict(score) for score in scores])
    write("\n" + leaderboard.text(leaderboard.rows(scores)))
    write(f"\nleaderboard: {path}")
    if options.quiet:
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
