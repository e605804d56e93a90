"""Names of files of filled frames: that of their source, in another folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scattering.errors import InputError
from scattering.reading.hdf5 import SUFFIXES
from scattering.reading.images import list_image
from scattering.reading.locations import BESIDE, stem, told_apart
from scattering.reading.pages import Pages
from scattering.reading.stacks import Stack
from scattering.reading.unpacking import SUFFIXES as PACKED

_NEW = ".nxs"
"""The suffix of what cannot be written as its source is."""


def output_paths(stacks: Sequence[Stack], folder: Path, *, more_to_come: bool = False) -> list[Path]:
    """Name a file in a folder for each stack: as its source, and where that format cannot be written, `.nxs`.

    With `more_to_come` no image file may be called as a later one could be: `run.0001.nxs`, not `run.nxs`.
    Raises InputError where one of the files to be written is among those that are read.
    """
    rows = [
        spellings[1:] if more_to_come and not stack.location.inside else spellings
        for stack, spellings in ((stack, _spellings(stack)) for stack in stacks)
    ]
    paths = [folder / name for name in told_apart(rows)]
    taken: set[Path] = {file for stack in stacks for file in stack.files}
    for path in paths:
        for written in (path, beside(path)):
            if written.resolve() in taken:
                raise InputError(
                    f"filled frames must not take the place of other files, got {written}: name a folder"
                )
            taken.add(written.resolve())
    return paths


def beside(output: Path) -> Path:
    """Return the file of what the format of `output` cannot hold, which is there unless it is HDF5."""
    return output.with_name(output.name + BESIDE)


def is_hdf5(stack: Stack, output: Path) -> bool:
    """Tell whether the filled frames of a stack are written as HDF5."""
    own = bool(stack.location.inside) and output.suffix.lower() == stack.location.path.suffix.lower()
    return own or output.suffix.lower() in SUFFIXES


def is_writable(pages: Pages) -> bool:
    """Tell whether a file can be written in the format of what was read."""
    return pages.plain is not None or pages.format in (".cbf", ".tif")


def _spellings(stack: Stack) -> list[str]:
    """Return names of a file, from the shortest to one that no other stack has."""
    path, inside = stack.location
    name, suffix = stem(path), _suffix(stack)
    array = inside.strip("/").replace("/", "_")
    full = path.name.removesuffix(suffix)
    folder = path.resolve().parent
    return [
        f"{name}{suffix}",
        f"{name}_{inside.rpartition('/')[2]}{suffix}" if inside else f"{full}{suffix}",
        f"{folder.name}_{name}{suffix}",
        f"{folder.name}_{full}_{array}".rstrip("_") + suffix,
        "_".join((*folder.parts[1:], full, array)).rstrip("_") + suffix,
    ]


def _suffix(stack: Stack) -> str:
    """Return the suffix of a file that can be written: the source's own, or that of NeXus."""
    path, inside = stack.location
    if inside:
        return path.suffix if path.suffix.lower() in SUFFIXES else _NEW
    pages = list_image(path)
    if not is_writable(pages):
        return _NEW
    plain = path.with_suffix("") if path.suffix.lower() in PACKED else path
    return plain.suffix or pages.format
