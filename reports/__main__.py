"""`python -m reports RUN [RUN...]`: write the HTML leaderboard of one run, or one that compares several."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reports.page import write
from scattering.errors import InputError


def main(argv: list[str] | None = None) -> int:
    """Write the page, print its path; 2 when a folder cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m reports", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a run folder, runs/<name>")
    parser.add_argument(
        "-o",
        type=Path,
        metavar="FILE",
        help="the page to write (RUN/report/index.html; of several runs report.html beside the first)",
    )
    options = parser.parse_args(argv)
    try:
        print(write(*options.runs, path=options.o))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
