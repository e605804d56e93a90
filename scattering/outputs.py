"""The files that a command may write: new ones, and its own earlier output from the same source."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def is_picture(path: Path) -> bool:
    """Tell whether a file is a PNG that we have drawn."""
    return _texts(path).get("Software") == PROGRAM


def is_picture_of(source: str) -> Callable[[Path], bool]:
    """Return a test for PNGs that we have drawn of the same source."""

    return lambda path: picture_mark(source).items() <= _texts(path).items()


def _texts(path: Path) -> dict[Any, Any]:
    """Return what a picture says of itself; nothing where it is none."""
    try:
        with Image.open(path) as image:
            return image.info
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        return {}
