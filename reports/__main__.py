"""`python -m reports RUN`: write the HTML leaderboard of a run folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from reports.page import write
from scattering.errors import InputError


def main(argv: list[str] | None = None) -> int:
    """Write the page, print its path; 2 when the folder cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m reports", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder, runs/<name>")
    try:
        print(write(parser.parse_args(argv).run))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
