import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from scattering.detectors import detector
from scattering.reading.pages import Stated
from scattering.survey.validity import gap_parts, measured, recorded

CODES = {
    "int8": [-1, 127],
    "uint8": [255],
    "int16": [-1, -2, -30, 32767],
    "uint16": [65535],
    "int32": [-1, -2, 2**31 - 1, 65535, 2**20 - 1],
    "uint32": [2**32 - 1, 2**32 - 2, 2**31 - 1, 65535, 2**20 - 1],
    "int64": [-1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 65535],
    "uint64": [2**64 - 1, 2**32 - 1],
    "float32": [-1, -20, np.nan, np.inf, -np.inf, 2**31 - 1, 2**32 - 1, 65535, 2**20 - 1],
    "float64": [-2, np.nan, 2**32 - 1, 2**31 - 1, 65535],
}


@st.composite
def coded_frames(draw):
    """Return counts, where codes are laid over them, and the frame with these codes."""
    dtype = np.dtype(draw(st.sampled_from(sorted(CODES))))
    shape = draw(arrays.array_shapes(min_dims=2, max_dims=2, max_side=12))
    counts = draw(arrays.arrays(dtype, shape, elements=st.integers(0, 126)))
    places = draw(arrays.arrays(bool, shape))
    frame = counts.copy()
    frame[places] = dtype.type(draw(st.sampled_from(CODES[dtype.name])))
    return counts, places, frame


@given(coded_frames())
def test_codes_are_never_valid_and_counts_always(case):
    _, places, frame = case
    before = frame.copy()
    np.testing.assert_array_equal(recorded(frame), ~places)
    np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "float32", "float64"])
@pytest.mark.parametrize("code", [2**16 - 1, 2**20 - 1])
def test_a_full_counter_is_a_count_where_a_pixel_holds_more(dtype, code):
    frame = np.array([[1, code, 5], [code + 1, 7, 8]], dtype)
    assert recorded(frame).all()
    frame[1, 0] = 9
    np.testing.assert_array_equal(recorded(frame), [[True, False, True], [True, True, True]])


def test_a_larger_code_does_not_make_a_full_counter_a_count():
    frame = np.array([[1, 65535, 2**32 - 1, 2**31 - 1]], np.uint32)
    np.testing.assert_array_equal(recorded(frame), [[True, False, False, False]])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32", "float32"])
def test_switched_off_pixels_far_above_all_counts_are_codes(dtype):
    off = 254 if dtype == "uint8" else 65534
    frame = np.array([[0, off, 5], [off + 1, 7, 8]], dtype)
    np.testing.assert_array_equal(recorded(frame), [[True, False, True], [False, True, True]])
    frame[0, 0] = off // 2 + 1  # counts reach as far
    assert recorded(frame)[0, 1]


def test_more_than_the_file_says_to_be_valid_was_measured_and_is_not_gone_by():
    counts, gap = np.array([[5, 59000, 60000, 70000]]), np.array([[True, False, False, False]])
    valid, saturated = measured(counts, gap, stated=Stated(largest=60000))
    assert valid.all()
    np.testing.assert_array_equal(saturated, [[False, False, False, True]])
    assert not recorded(counts, stated=Stated(largest=60000))[0, 3]


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "float32"])
def test_where_a_background_was_subtracted_only_what_no_counter_counts_is_a_code(dtype):
    least = -(2**31) if dtype in ("int64", "float32") else np.iinfo(dtype).min
    frame = np.array([[-3, -1, 0, 4, least]], dtype)
    np.testing.assert_array_equal(recorded(frame, below_zero=True), [[True, True, True, True, False]])
    told = Stated(no_data=((-1, 0.1),))
    np.testing.assert_array_equal(recorded(frame, told.invalid(frame), stated=told), [[1, 0, 1, 1, 0]])


def test_what_all_gap_pixels_hold_is_a_code_elsewhere_if_it_is_below_all_others():
    frame = np.array([[-10, -10, -9, 4, -10]])
    gap = np.array([[True, True, False, False, False]])
    np.testing.assert_array_equal(recorded(frame, hidden=gap, below_zero=True), [[False, False, True, True, False]])
    frame[0, :2] = -5
    np.testing.assert_array_equal(recorded(frame, hidden=gap, below_zero=True), [[True] * 5])


def test_noise_about_a_subtracted_background_is_valid():
    assert recorded(np.array([[-0.002, -3.25, 0.0, -0.0]], np.float32)).all()


def test_a_constant_in_the_gaps_is_a_code():
    gap = detector("Pilatus1M").gap
    counts = np.random.default_rng(0).poisson(30, gap.shape)
    counts[gap] = 0
    np.testing.assert_array_equal(gap_parts(gap).without_counts(counts, np.ones_like(gap)), gap)


def test_gaps_filled_at_the_instrument_are_truth_but_for_their_crossings():
    gap = detector("Pilatus2M").gap
    counts = np.random.default_rng(0).poisson(30, gap.shape)
    vertical = np.broadcast_to(gap.all(axis=0), gap.shape)
    counts[vertical] = 0
    np.testing.assert_array_equal(gap_parts(gap).without_counts(counts, np.ones_like(gap)), vertical)


def test_parts_with_nothing_but_codes_hold_no_counts():
    gap = np.zeros((9, 9), bool)
    gap[4] = True
    counts = np.arange(81).reshape(9, 9)
    assert gap_parts(gap).without_counts(counts, ~gap)[gap].all()
    assert not gap_parts(gap).without_counts(counts, gap | True).any()


@given(arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_the_parts_of_any_gap_are_the_gap(gap):
    found = gap_parts(gap)
    np.testing.assert_array_equal(np.sort(found.places), np.flatnonzero(gap))
    assert (np.diff(found.starts, append=len(found.places)) > 0).all()
    np.testing.assert_array_equal(found.without_counts(np.zeros(gap.shape), gap | True), gap)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_files_own_mask_tells_codes_from_whole_noise_about_a_pedestal(dtype):
    counts, invalid = np.array([[-3, -1, 5, np.nan]], dtype), np.array([[False, True, False, False]])
    np.testing.assert_array_equal(recorded(counts, invalid), [[True, False, True, False]])
    np.testing.assert_array_equal(recorded(counts[:, :3].astype(int), invalid[:, :3]), [[False, False, True]])
