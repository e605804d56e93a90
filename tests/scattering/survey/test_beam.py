"""The beam centre from frames: found where rings have one, and never guessed."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from scattering.survey.beam import find_beam

SHAPE = (220, 260)
FRAMES = Path(__file__).parents[4] / "shared" / "frames"


def gaps(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    seen = np.ones(shape, bool)
    seen[70:78] = seen[150:158] = seen[:, 120:124] = False
    return seen


def radius(center: tuple[float, float], shape: tuple[int, int] = SHAPE) -> np.ndarray:
    rows, columns = np.indices(shape)
    return np.hypot(rows - center[0], columns - center[1])


def frame(mean: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    seen = gaps(mean.shape)
    counts = np.random.default_rng(seed).poisson(mean)
    return np.where(seen, counts, -1), seen


PATTERNS = {
    "rings": lambda r: 5 + 200 * np.exp(-(((r % 40) - 20) ** 2) / 8),
    "halo": lambda r: 3 + 1500 * np.exp(-((r - 90) ** 2) / 400),
    "decay": lambda r: 2 + 3000 / (1 + (r / 15) ** 3),
}


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("center", [(110.3, 131.8), (30.0, 200.5), (110.0, 20.0)])
def test_the_middle_of_a_round_pattern_is_found(pattern: str, center: tuple[float, float]) -> None:
    found = find_beam([frame(PATTERNS[pattern](radius(center)))])
    assert found is not None
    assert np.hypot(found.row - center[0], found.column - center[1]) < 0.5
    assert found.error < 1


def test_a_centre_beside_the_frame_is_found_by_its_rings() -> None:
    center = (-25.0, 140.0)
    found = find_beam([frame(PATTERNS["rings"](radius(center)))])
    assert found is not None
    assert np.hypot(found.row - center[0], found.column - center[1]) < 1


def test_spots_on_the_rings_and_a_beamstop_do_not_matter() -> None:
    center = (118.0, 126.0)
    mean = PATTERNS["rings"](radius(center))
    rng = np.random.default_rng(3)
    for row, column in zip(rng.integers(5, 215, 40), rng.integers(5, 255, 40), strict=True):
        mean[row - 1 : row + 2, column - 1 : column + 2] = 1e5
    counts, seen = frame(mean)
    counts[100:135, :135] = 0  # a beamstop with its arm
    found = find_beam([(counts, seen)])
    assert found is not None
    assert np.hypot(found.row - center[0], found.column - center[1]) < 1


def test_the_middle_of_a_round_sensor_is_not_taken_for_the_beam() -> None:
    center, middle = (132.0, 105.0), (110.0, 130.0)
    counts, seen = frame(PATTERNS["rings"](radius(center)))
    counts[radius(middle) > 106] = 0
    counts[:, :14] = counts[:, -14:] = 0
    found = find_beam([(counts, seen)])
    assert found is not None
    assert np.hypot(found.row - center[0], found.column - center[1]) < 1


def test_several_exposures_tell_more_than_one() -> None:
    center = (96.0, 141.0)
    mean = 0.02 * PATTERNS["rings"](radius(center))
    found = find_beam([frame(mean, seed) for seed in range(3)])
    assert found is not None
    assert np.hypot(found.row - center[0], found.column - center[1]) < 1


def others() -> dict[str, np.ndarray]:
    rows, columns = np.indices(SHAPE).astype(float)
    rng = np.random.default_rng(1)
    spots = np.full(SHAPE, 4.0)
    for row, column in zip(rng.integers(5, 215, 60), rng.integers(5, 255, 60), strict=True):
        spots[row - 2 : row + 3, column - 2 : column + 3] = 500
    rods = sum(np.exp(-((columns - place) ** 2) / 8) for place in (40, 90, 130, 170, 220))
    return {
        "flat": np.full(SHAPE, 40.0),
        "dark": np.zeros(SHAPE),
        "slope": 5 + rows + 0.5 * columns,
        "stripes": 50 + 40 * np.sin(columns / 6),
        "spots": spots,
        "rods": 3 + 400 * rods * np.exp(-rows / 70),
        "fibre": 5 + 800 * np.exp(-((rows - 110) ** 2) / 200) / (1 + np.abs(columns - 130) / 20),
    }


@pytest.mark.parametrize("pattern", others())
def test_nothing_is_claimed_where_there_are_no_rings(pattern: str) -> None:
    assert find_beam([frame(others()[pattern])]) is None


def test_nothing_is_claimed_of_frames_without_pixels() -> None:
    nothing = np.zeros(SHAPE), np.zeros(SHAPE, bool)
    assert find_beam([nothing]) is None
    assert find_beam([(np.ones((12, 12)), np.ones((12, 12), bool))]) is None
    strip = np.zeros((619, 487), bool)
    strip[212:219] = True
    assert find_beam([(np.full(strip.shape, 50), strip)]) is None


REAL = {
    ("autosaxs_pilatus1m", 0): (318.7, 588.1),
    ("dioptas_pilatus1m", 0): (531.0, 490.9),
    ("gixsgui_pilatus1m", 0): (966.8, 497.7),
    ("jscatter_pilatus1m", 0): (491.1, 570.6),
    ("nexus_pilatus100k", 0): (85.9, -5.2),
    ("pysaxs_pilatus1m", 0): (903.5, 356.9),
    ("raw_mar345", 0): (690.2, 599.6),
    ("raw_pilatus300k", 0): (359.2, 267.4),
    ("saxsdog_pilatus1m", 0): (237.6, 421.8),
    ("sastool_gabriel", 0): (115.0, 127.4),
    ("sastool_gabriel", 2): (123.3, 124.7),
    ("skbeam_xpcs", 0): (132.2, 142.8),
}
"""Centres of circles through the peaks of the rings, sector by sector."""

GRAZING = (
    "bornagain_galaxi", "gisaxs_gui_pilatus2m", "gisaxs_gui_xeuss_vd", "gisaxs_recons_pilatus1m", "giwaxs_suite_cms",
    "gixpy_pilatus300kw", "gixpy_pilatus900kw", "mda_cms", "fabio_marccd2k",
)  # fmt: skip
"""Patterns that have no rings about the beam, or only a part of some."""


def real(name: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    with h5py.File(FRAMES / f"{name}.h5") as file:
        counts = file["frames"][number]
        return counts, (file["invalid"][number] == 0) & (counts >= 0)


needs_frames = pytest.mark.skipif(not FRAMES.is_dir(), reason="the real frames are not here")


@needs_frames
def test_centres_of_real_frames_are_those_of_their_rings() -> None:
    near = []
    for (name, number), center in REAL.items():
        found = find_beam([real(name, number)])
        near.append(found is not None and np.hypot(found.row - center[0], found.column - center[1]) < 1)
    assert sum(near) >= 11


@needs_frames
@pytest.mark.parametrize("name", GRAZING)
def test_no_centre_is_claimed_of_real_frames_without_rings(name: str) -> None:
    assert find_beam([real(name, 0)]) is None
