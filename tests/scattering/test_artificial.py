import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scattering.artificial import TALLEST, allowed_shifts, moved_gaps, shifted
from scattering.detectors import detector
from scattering.windows import vertical_gaps
from tests.effort import tries

SINGLE = ["Pilatus300k", "Pilatus2M", "Eiger1M"]
SINGLE += tries([], ["Pilatus1M", "Pilatus6M", "Eiger4M", "Eiger9M", "Eiger16M"])


def crossing(gap):
    return gap & ~vertical_gaps(gap)


def heights(columns):
    """Rows of each gap, from top to bottom, of a column."""
    edges = np.diff(np.concatenate(([0], columns.astype(int), [0])))
    return np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)


@pytest.fixture(scope="module")
def pilatus():
    return detector("Pilatus300k").gap


def shifts_of(gap):
    """The shifts of a detector whose gaps reach across it, from one of its columns."""
    profile = crossing(gap)[:, :1].T
    return allowed_shifts(profile, profile, np.array([1]))


@pytest.mark.fuzz
@pytest.mark.parametrize("name", SINGLE)
def test_every_frame_of_one_exposure_gets_held_out_pixels(name):
    gap = detector(name).gap
    for number in range(tries(3, 100)):
        moved = moved_gaps(gap, ~gap, f"frame {number}")
        held_out = moved & ~gap
        assert held_out.sum() >= crossing(gap).sum() / 2


@pytest.mark.parametrize("name", SINGLE)
def test_moved_gaps_have_the_shape_of_real_ones_and_are_clear_of_them(name):
    gap = detector(name).gap
    real = crossing(gap)
    moved = moved_gaps(gap, ~gap, "a frame")
    column = int(real.any(axis=0).argmax())
    tallest = set(heights(real[:, column]).tolist())
    assert set(heights(moved[:, column]).tolist()) == tallest
    assert not (moved & vertical_gaps(gap)).any()
    # One gap together with its moved image, and all rows between them.
    for near in (shifted(real, max(tallest)), shifted(real, -max(tallest))):
        assert not (moved & (near | real)).any()
    border = max(tallest)
    assert not moved[:border].any()
    assert not moved[-border:].any()


@pytest.mark.parametrize("name", ["Pilatus300k", "Pilatus1M"])
def test_shifts_are_all_that_keep_clear(name):
    """By trying out every shift of one column."""
    gap = detector(name).gap
    real = crossing(gap)[:, :1]
    height = int(heights(real[:, 0]).max())
    close = real.copy()
    for step in range(1, height + 1):
        close |= shifted(real, step) | shifted(real, -step)
    close[:height] = close[-height:] = True
    expected = [
        step
        for step in range(1 - len(gap), len(gap))
        if step and 2 * shifted(real, step).sum() >= real.sum() and not (shifted(real, step) & close).any()
    ]
    assert list(shifts_of(gap)) == expected
    assert len(expected) > 300


@pytest.mark.slow
@pytest.mark.fuzz
def test_names_spread_evenly_over_all_shifts(pilatus):
    """Chi-square over 20 classes of shifts; a false failure in 10^6 runs, were the names not fixed."""
    names = tries(400, 20_000)
    shifts = np.array(shifts_of(pilatus))
    image = {shifted(pilatus, step).tobytes(): step for step in shifts}
    drawn = [image[moved_gaps(pilatus, ~pilatus, f"scan_{number:05d}").tobytes()] for number in range(names)]
    classes = np.searchsorted(shifts, drawn) * 20 // len(shifts)
    expected = np.bincount(np.arange(len(shifts)) * 20 // len(shifts)) * names / len(shifts)
    assert stats.chisquare(np.bincount(classes, minlength=20), expected).pvalue > 1e-6


def test_the_shift_follows_from_the_name_by_sha_256(pilatus):
    shifts = shifts_of(pilatus)
    number = int.from_bytes(hashlib.sha256(b"moved gaps a frame").digest()[:8], "big") % len(shifts)
    np.testing.assert_array_equal(moved_gaps(pilatus, ~pilatus, "a frame"), shifted(pilatus, shifts[number]))


@pytest.mark.parametrize("pixels", [1, 100])
def test_where_some_truth_is_known_nothing_is_laid(pilatus, pixels):
    valid = ~pilatus
    valid[tuple(np.argwhere(pilatus)[:pixels].T)] = True
    assert not moved_gaps(pilatus, valid, "a frame").any()


def test_truth_in_vertical_gaps_does_not_matter():
    gap = detector("Pilatus1M").gap
    filled = ~gap | vertical_gaps(gap)
    assert moved_gaps(gap, filled, "a frame").any()


def test_vertical_gaps_alone_are_not_moved():
    gap = detector("Pilatus300kw").gap
    assert gap.any()
    assert not moved_gaps(gap, ~gap, "a frame").any()


def test_neither_missing_modules_nor_masked_margins_are_laid_again():
    gap = np.zeros((240, 100), bool)
    gap[100:106] = True
    gap[140:180, 10:40] = True  # a missing module: 1/6 of the height
    gap[:4, 50:] = True
    laid = [moved_gaps(gap, ~gap, f"frame {number}") for number in range(20)]
    assert all(set(heights(moved[:, column]).tolist()) <= {6} for moved in laid for column in (0, 20, 60))
    assert all(moved.any() for moved in laid)


def test_where_gaps_lie_too_close_the_clearest_shifts_are_taken():
    gap = np.zeros((120, 64), bool)
    for row in range(10, 110, 10):
        gap[row : row + 4] = True
    for number in range(10):
        moved = moved_gaps(gap, ~gap, f"frame {number}")
        assert (moved & ~gap).sum() > 0.9 * moved.sum() > 0


def test_a_shift_that_hides_nothing_measured_is_passed_over():
    gap = np.zeros((200, 64), bool)
    gap[98:102] = True
    valid = np.zeros_like(gap)
    valid[150:160] = True
    for number in range(20):
        assert (moved_gaps(gap, valid, f"frame {number}") & valid).any()
    assert not moved_gaps(gap, valid & False, "a frame").any()


@given(st.integers(0, 2**32 - 1), st.text(max_size=8))
def test_any_mask_can_be_given(seed, name):
    rng = np.random.default_rng(seed)
    gap = np.zeros((rng.integers(16, 80), rng.integers(16, 80)), bool)
    for _ in range(rng.integers(0, 5)):
        row, height = rng.integers(0, gap.shape[0]), rng.integers(1, 12)
        left, width = rng.integers(0, gap.shape[1]), rng.integers(1, gap.shape[1])
        gap[row : row + height, left : left + width] = True
    moved = moved_gaps(gap, ~gap, name)
    assert moved.shape == gap.shape
    assert not (moved & vertical_gaps(gap)).any()
    assert moved.sum() <= gap.sum()
    for column in range(gap.shape[1]):
        # What entered from the edge is cut, never taller.
        assert max(heights(moved[:, column]), default=0) <= TALLEST * len(gap)
