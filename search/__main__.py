"""All commands under one name: `gapsearch look|prepare|merge|simulate|run|watch|fill|export|report`."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

from scattering.arguments import command
from scattering.errors import InputError

COMMANDS = {
    "look": ("scattering.look", "say what detector files hold, and draw a contact sheet"),
    "prepare": ("scattering.prepare", "make a data set of detector files, to be searched again and again"),
    "merge": ("scattering.merge", "fill the gaps of one exposure from a second one, the detector moved"),
    "simulate": ("scattering.simulate", "simulate the frames of a detector"),
    "run": ("search.run", "search networks, retrain and measure the best, write the leaderboard"),
    "watch": ("search.watch", "follow a run from another terminal"),
    "fill": ("search.inpaint", "fill the gaps of detector files with the winner of a run"),
    "export": ("search.export", "write a model for programs without gapsearch"),
    "report": ("reports.__main__", "write the page of a run again, or of several runs"),
}
"""By name: the module whose `main` it is, and what it does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        return command(lambda: print(usage()))
    name, *rest = given
    if name not in COMMANDS:
        return command(lambda: refuse(name))
    # Late: each command takes only the libraries that it needs.
    code: int = import_module(COMMANDS[name][0]).main(rest)
    return code


def usage() -> str:
    """Return the list of commands."""
    lines = "\n".join(f"  {name:9} {text}" for name, (_, text) in COMMANDS.items())
    return f"usage: gapsearch COMMAND ...\n\n{lines}\n\ngapsearch COMMAND --help has the options of each."


def refuse(name: str) -> None:
    """Raise InputError for a command that there is not."""
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise InputError(f"the command must be one of {', '.join(COMMANDS)}, got {name!r}{hint}")


if __name__ == "__main__":
    sys.exit(main())
