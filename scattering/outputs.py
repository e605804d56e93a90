"""The files that a command may write: new ones, and its own earlier output from the same source."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from scattering.errors import InputError

PROGRAM = "gapsearch"
"""The mark in our own files, by which they are known again."""


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add the option that allows files of any origin to be replaced."""
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there, whatever they hold")


def check_output(path: Path, is_own: Callable[[Path], bool], *, overwrite: bool = False) -> None:
    """Raise InputError where a file would be lost that is not our own output from the same source."""
    if overwrite or not path.exists() or is_own(path):
        return
    raise InputError(
        f"files of another origin are not replaced, got {path}, which exists: take another name, or add --overwrite"
    )


def nothing_is_own(path: Path) -> bool:
    """Take no file for our own output: its kind carries no mark."""
    return False


def picture_text(source: str) -> PngImagePlugin.PngInfo:
    """Return the texts by which a PNG of ours is known again."""
    info = PngImagePlugin.PngInfo()
    for key, text in picture_mark(source).items():
        info.add_text(key, text)
    return info


def picture_mark(source: str) -> dict[str, str]:
    """Return the same texts as a dict."""
    return {"Software": PROGRAM, "Source": json.dumps(source)}


def is_picture_of(source: str) -> Callable[[Path], bool]:
    """Return a test for PNGs that we have drawn of the same source."""

    def is_own(path: Path) -> bool:
        try:
            with Image.open(path) as image:
                return picture_mark(source).items() <= image.info.items()
        except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
            return False

    return is_own
