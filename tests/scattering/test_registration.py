from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import ndimage

from scattering.errors import InputError
from scattering.registration import Exposure, correlation, find_shift
from scattering.simulation.patterns import PATTERNS
from tests.effort import tries
from tests.scattering.pairs import pair

REAL = Path(__file__).parents[3] / "shared" / "frames" / "mda_cms.h5"


@pytest.fixture(scope="module")
def real():
    if not REAL.is_file():
        pytest.skip("needs the shared frames")
    with h5py.File(REAL) as file:
        return [Exposure(file["frames"][k], file["invalid"][k] == 0) for k in (0, 1)]


def exposures(frames):
    return tuple(Exposure(frame.truth, frame.valid) for frame in frames)


@pytest.mark.parametrize(
    ("category", "shift"), list(zip(PATTERNS, [(-30, 0), (17, 3), (40, -20), (0, 25)] * 2, strict=True))
)
def test_known_shifts_are_found_whatever_the_intensities(category, shift):
    assert find_shift([exposures(pair(category, 1, shift, scale=5.0))]) == shift


@pytest.mark.slow
def test_the_shift_of_two_real_exposures_is_30_rows(real):
    assert find_shift([tuple(real)]) == (-30, 0)
    assert find_shift([tuple(real[::-1])]) == (30, 0)


def test_real_exposures_correlate(real):
    """0.992; `frames/INDEX.md` has 0.958, which counts 30 rows that were rolled around the frame's edge."""
    assert correlation(real[0], real[1].moved((-30, 0))) == pytest.approx(0.9916, abs=1e-3)
    rolled = Exposure(*(np.roll(array, -30, axis=0) for array in real[1]))
    assert correlation(real[0], rolled) == pytest.approx(0.958, abs=1e-3)


def test_uneven_pixels_pull_towards_no_shift_in_vain_where_the_pattern_is_clear():
    assert find_shift([exposures(pair("powder", 1, (-30, 0), uneven=0.05))]) == (-30, 0)


def test_faint_pairs_tell_together_what_one_does_not():
    """Forty pairs of two photons a pixel; a single one is refused."""
    rng = np.random.default_rng(0)
    scene = 2 * np.exp(5 * ndimage.gaussian_filter(rng.normal(size=(140, 120)), 6))
    pairs = []
    for _ in range(40):
        first, second = rng.poisson(scene[20:120, 10:110]), rng.poisson(scene[28:128, 10:110])
        pairs.append((Exposure(first, first >= 0), Exposure(second, second >= 0)))
    assert find_shift(pairs) == (8, 0)
    with pytest.raises(InputError):
        find_shift(pairs[:1])


@pytest.mark.fuzz
@pytest.mark.parametrize("category", PATTERNS)
def test_no_wrong_shift_is_ever_found(category):
    """Faint or featureless patterns are refused, or off by the pixel that halves may differ by."""
    for seed in range(3, tries(4, 100)):
        try:
            found = find_shift([exposures(pair(category, seed, (-30, 0)))])
        except InputError:
            continue
        assert np.abs(np.subtract(found, (-30, 0))).max() <= 1


def test_exposures_that_were_not_moved_are_refused():
    for category in ("powder", "gisaxs"):
        with pytest.raises(InputError, match=r"must have been moved.*--shift"):
            find_shift([exposures(pair(category, 1, (0, 0), uneven=0.02))])


@pytest.mark.slow
def test_different_patterns_are_refused():
    kinds = list(PATTERNS)
    for number, category in enumerate(kinds):
        first, second = pair(category, 1, (0, 0))[0], pair(kinds[number - 1], 2, (0, 0))[0]
        with pytest.raises(InputError, match="--shift"):
            find_shift([exposures((first, second))])


@pytest.mark.parametrize(("category", "other"), [("spotty", "amorphous"), ("amorphous", "saxs")])
def test_patterns_that_lie_alike_in_both_halves_and_differ_are_refused(category, other):
    with pytest.raises(InputError, match=r"the same pattern, got 4\d% of it unexplained"):
        find_shift([exposures((pair(category, 1, (0, 0))[0], pair(other, 2, (0, 0))[0]))])


@pytest.mark.parametrize(
    "counts", [np.zeros((80, 90)), np.full((80, 90), 7), np.random.default_rng(0).poisson(5, (80, 90))]
)
def test_exposures_without_a_pattern_are_refused(counts):
    exposure = Exposure(counts, counts >= 0)
    other = Exposure(np.random.default_rng(1).permutation(counts.ravel()).reshape(counts.shape), exposure.valid)
    with pytest.raises(InputError, match="--shift"):
        find_shift([(exposure, other)])


def test_exposures_without_a_common_place_are_refused():
    valid = np.zeros((80, 90), bool)
    valid[:, :30] = True
    counts = np.random.default_rng(0).poisson(5, (80, 90))
    with pytest.raises(InputError, match=r"same places.*--shift"):
        find_shift([(Exposure(counts, valid), Exposure(counts, valid[:, ::-1]))])


@pytest.mark.parametrize("shift", [(0, 0), (3, 0), (-2, 5), (4, -6), (100, 0), (0, -100)])
def test_moving_keeps_every_pixel_that_stays_inside(shift):
    counts = np.arange(1, 81).reshape(8, 10)
    moved = Exposure(counts, counts > 0).moved(shift)
    for row in range(8):
        for column in range(10):
            since = row - shift[0], column - shift[1]
            inside = 0 <= since[0] < 8 and 0 <= since[1] < 10
            assert moved.valid[row, column] == inside
            assert moved.counts[row, column] == (counts[since] if inside else 0)


def test_what_is_not_valid_changes_nothing():
    frames = pair("powder", 1, (17, 3))
    for code in (0, 65535, 2**31 - 1):
        changed = [frame._replace(truth=np.where(frame.valid, frame.truth, code)) for frame in frames]
        assert find_shift([exposures(changed)]) == (17, 3)
