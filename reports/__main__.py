"""`python -m reports RUN [RUN...]`: write the HTML leaderboard of one run, or one that compares several."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from reports.page import is_page, write
from scattering.arguments import Parser, command, output_file, program
from scattering.outputs import add_overwrite, check_output


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and print its path; returns the exit code."""
    return command(lambda: _write(parser().parse_args(arguments)))


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(prog=program("report", "reports"), description=__doc__)
    p.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a run folder, runs/<name>")
    p.add_argument(
        "-o",
        type=output_file,
        metavar="FILE",
        help="the page to write (RUN/report/index.html; of several runs report.html beside the first)",
    )
    add_overwrite(p)
    return p


def _write(given: argparse.Namespace) -> None:
    if given.o is not None:
        check_output(given.o, is_page, overwrite=given.overwrite)
    # The page of an earlier call lies among the runs: runs/*
    runs = [path for path in given.runs if not (path.is_file() and is_page(path))]
    print(write(*(runs or given.runs), path=given.o))


if __name__ == "__main__":
    sys.exit(main())
