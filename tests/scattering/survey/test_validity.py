import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from scattering.detectors import detector
from scattering.survey.validity import gap_parts, recorded

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
