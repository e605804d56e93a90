"""Frames filled for tests: known pixels get known counts."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from scattering.reading.stacks import Stack, open_stacks, read
from scattering.writing.filled import Filled
from scattering.writing.stacks import write_filled

NOTE = {"model": "a.pt", "settings": {"window": 128}}


def gaps(shape: tuple[int, int], number: int = 0) -> np.ndarray:
    """A row, a column and a pixel; the latter is another one in each frame."""
    filled = np.zeros(shape, np.bool_)
    filled[shape[0] // 2], filled[:, shape[1] // 3], filled[number % shape[0], 0] = True, True, True
    return filled


def fill(stack: Stack, filled: np.ndarray | None = None) -> Iterator[Filled]:
    """Fill a gap of each frame by counts that grow from pixel to pixel."""
    for number, source in enumerate(read(stack, range(len(stack)))):
        where = gaps(stack.shape, number) if filled is None else filled
        counts = source.counts.copy()
        counts[where] = np.arange(where.sum()) % 113 + number
        uncertainty = np.full(stack.shape, np.nan, np.float32)
        uncertainty[where] = np.sqrt(counts[where].astype(np.float32))
        yield Filled(counts, where, uncertainty, {"number": number})


def frames(*paths: Path) -> list[np.ndarray]:
    return [frame.counts for stack in open_stacks([*map(str, paths)]) for frame in read(stack, range(len(stack)))]


def written(source: Path | str, output: Path) -> tuple[Stack, list[Filled], list[Path]]:
    """Fill the frames of a file and write them; return what was to be written, and the files."""
    (stack,) = open_stacks([str(source)])
    files = write_filled(stack, output, fill(stack), NOTE)
    return stack, list(fill(stack)), files


def process(path: Path) -> dict[str, np.ndarray]:
    """Return what a file says of what was filled in it."""
    found = {}

    def visit(name: str, node: h5py.Group | h5py.Dataset) -> None:
        if isinstance(node, h5py.Group) and node.attrs.get("NX_class") == "NXprocess":
            found.update({key: value[()] for key, value in node.items()})

    with h5py.File(path) as file:
        file.visititems(visit)
    return found
