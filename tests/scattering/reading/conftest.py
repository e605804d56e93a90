"""Real frames, written as any format that can hold them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.scattering.reading.writing import WRITERS

REAL = Path(__file__).parents[3].parent / "shared" / "frames"


@pytest.fixture(scope="session")
def real() -> list[Path]:
    """The files of real frames."""
    if not REAL.is_dir():
        pytest.skip("the real detector frames are not part of the repository")
    return sorted(REAL.glob("*.h5"))


@pytest.fixture
def rewritten(real: list[Path], tmp_path: Path) -> Callable[..., Iterator[tuple[Path, np.ndarray, np.ndarray, Path]]]:
    """Give (source, counts, invalid, written path) of the real frames that a format can hold, one after another.

    The file written is removed when the next one is asked for; `most` limits the frames of each source.
    """

    def write(suffix: str, most: int | None = None) -> Iterator[tuple[Path, np.ndarray, np.ndarray, Path]]:
        writer, holds = WRITERS[suffix]
        for source in real:
            with h5py.File(source) as file:
                for number in range(len(file["frames"]))[:most]:
                    counts, invalid = file["frames"][number], file["invalid"][number] != 0
                    if holds(counts):
                        path = tmp_path / f"{source.stem}_{number}.{suffix}"
                        writer(path, counts)
                        yield source, counts, invalid, path
                        path.unlink()

    return write
