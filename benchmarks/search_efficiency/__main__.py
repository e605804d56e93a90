"""Does the search earn its keep? Learning curves of TUNet, trained once, on which ways to search are replayed.

`python -m benchmarks.search_efficiency train` trains what the table of curves lacks: an hour and a half on two cores.
`python -m benchmarks.search_efficiency replay` replays every search on it and writes the results: some minutes.
"""

from __future__ import annotations

import argparse


def main(argv: list[str] | None = None) -> None:
    """Train curves, or replay searches on them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train what the table of curves lacks")
    training.add_argument("--workers", type=int, default=2, help="trainings at once, a core each (%(default)s)")
    replaying = commands.add_parser("replay", help="replay every search on the curves")
    replaying.add_argument("--seeds", type=int, default=40, help="of each search (%(default)s)")
    options = parser.parse_args(argv)
    if options.command == "train":
        from benchmarks.search_efficiency.curves import CURVES
        from benchmarks.search_efficiency.train import train

        train(CURVES, options.workers)
    else:
        from benchmarks.search_efficiency.report import write

        write(options.seeds)


if __name__ == "__main__":
    main()
