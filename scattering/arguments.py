"""Common parts of the commands: options for reading frames, sizes, and the end of a command."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from scattering.errors import InputError

NATIVE = "native"


@dataclass(frozen=True)
class Options:
    """The user's statements about frames; None: found out from the frames."""

    detector: str | None = None
    """Whose gaps are to be filled, laid over every frame."""
    mask: str | None = None
    """A file whose non-zero pixels have no data."""
    pedestal: str | None = None
    """`auto` or a number of counts that a CCD adds to every pixel; None: there is none."""
    group_by: str | None = None
    """A regular expression on names, or a CSV file."""
    poni: str | None = None
    """A PONI file: the geometry of all frames."""
    beam: str | None = None
    """ROW,COL: where the beam hits all frames, in pixels."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Raise what argparse would print."""
        raise InputError(f"{message}; see {self.prog} --help")


def program(name: str, module: str) -> str:
    """Return a command as it was called: `gapsearch look`, or `python -m scattering.look`."""
    return f"gapsearch {name}" if Path(sys.argv[0]).name == "gapsearch" else f"python -m {module}"


FRAME_OPTIONS = {
    "detector": (
        "NAME",
        "detector whose gaps are to be filled, as pyFAI calls it: Pilatus1M, Eiger4M, ...; its gaps are laid "
        "over every frame (default: the detector that recorded the frames)",
    ),
    "mask": (
        "FILE",
        "pixels without data, non-zero in an edf, tif, npy, h5 or msk file: gaps that pyFAI does not know, beamstop",
    ),
    "pedestal": ("N", "counts that a CCD adds to every pixel, or auto to estimate them (default: none)"),
    "group_by": (
        "RULE",
        "what belongs together and stays on one side of the split: a regular expression on the frames' names "
        "(its first group, if it has one), or a CSV file with the columns name and group (default: what the files "
        "say, else the series that their names tell)",
    ),
    "poni": (
        "FILE",
        "where the beam hits the frames, as pyFAI-calib2 saves it: networks and methods that follow rings use it "
        "(default: found from the frames, where they tell)",
    ),
    "beam": ("ROW,COL", "the same in pixels, for a detector that stands upright in the beam; 0,0 is the first pixel"),
}
"""What the user may say of frames, by the fields of `Options`: how a value is called, and help."""


def add_frame_options(
    group: argparse._ArgumentGroup | argparse.ArgumentParser, names: Iterable[str] = FRAME_OPTIONS
) -> None:
    """Add what the user may say of frames: those fields of `Options`."""
    for name in names:
        metavar, text = FRAME_OPTIONS[name]
        group.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=text)


def frame_options(given: argparse.Namespace) -> Options:
    """Return what the user said of frames."""
    return Options(**{field.name: getattr(given, field.name, None) for field in fields(Options)})


def working_shape(size: str, native: tuple[int, int]) -> tuple[int, int]:
    """Return (rows, columns) for "256", "195x1475" or "native", which is the shape given.

    Raises InputError for anything else.
    """
    if size == NATIVE:
        return native
    found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", size)
    if not found or 0 in (shape := (int(found[1]), int(found[2] or found[1]))):
        raise InputError(f"--size must be PIXELS, ROWSxCOLUMNS or {NATIVE}, got {size!r}: 512, 195x1475")
    return shape


def output_file(text: str) -> Path:
    """Return the path of a file to be written, for argparse; a folder is none."""
    path = Path(text)
    if not path.name or path.is_dir():
        raise argparse.ArgumentTypeError(f"it must name a file, got the folder {text!r}: add a name")
    return path


def at_least(least: int) -> Callable[[str], int]:
    """Return what reads a whole number, for argparse."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"it must be a whole number of at least {least}, got {text!r}")
        return int(text)

    return number


def command(work: Callable[[], None]) -> int:
    """Do the work of a command; returns its exit code: 2 for bad input, 130 when stopped with Ctrl-C."""
    print_any_name()
    try:
        work()
        sys.stdout.flush()  # here, where a closed pipe is no error
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has seen enough; what is left must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def print_any_name() -> None:
    """Let names of files that the console cannot show be printed with escapes."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
