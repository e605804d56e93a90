"""Detector files in our own layout, small and made up, or those of real frames."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from scattering.survey.findings import Findings, Options, survey

SHARED = Path(__file__).parents[3].parent / "shared" / "frames"


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
    """Write frames (N, rows, columns) with the arrays and attributes of a file; returns its name."""

    def write(name: str, frames: np.ndarray, arrays: dict | None = None, **attributes: str) -> str:
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            file["frames"] = frames
            for key, array in (arrays or {}).items():
                file[key] = array
            file.attrs.update(attributes)
        return str(path)

    return write


@pytest.fixture
def surveyed(save: Callable[..., str]) -> Callable[..., Findings]:
    """Write frames (N, rows, columns) to a file and survey it; options as keywords."""

    def look(frames: np.ndarray, arrays: dict | None = None, said: str = "", **options: str) -> Findings:
        return survey([save("frames", frames, arrays, detector=said)], Options(**options))

    return look


@pytest.fixture(scope="session")
def shared_frames() -> Path:
    """The folder of real frames; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the shared frames are not here")
    return SHARED
