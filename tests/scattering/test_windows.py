import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from scattering.detectors import detector
from scattering.errors import InputError
from scattering.windows import SMALLEST_STEP, STEPS_ACROSS, Windows, cut, stitch, vertical_gaps, windows


@pytest.fixture(scope="module")
def papers():
    return windows(detector("Pilatus2M").gap_for((512, 512)))


@pytest.fixture(scope="module")
def tiny(tiny_detector):
    return windows(tiny_detector.gap_for((64, 64)))


@pytest.fixture(scope="module")
def frames():
    return torch.from_numpy(np.random.default_rng(0).random((3, 64, 64), np.float32))


def quilt(layout: Windows):
    import qlty

    rows, columns = layout.frame_shape
    return qlty.NCYXQuilt(Y=rows, X=columns, window=(rows, layout.width), step=(rows, layout.step), border=None)


def test_pilatus_2m_is_cut_as_in_the_paper(papers):
    assert papers.starts == (0, 64, 128, 192, 256, 320, 384)
    assert (papers.width, papers.step) == (128, 64)
    assert papers.free == (0, 3, 6)
    assert papers.gapped == (1, 2, 4, 5)


def test_gaps_of_pilatus_2m_fall_where_the_paper_has_them(papers):
    # Its rounding is not stated.
    np.testing.assert_allclose(papers.left_edges, (105, 41, 85, 21), atol=1)


def test_a_detector_without_vertical_gaps_leaves_every_window_free():
    gap = np.zeros((64, 64), bool)
    gap[20:24] = True
    layout = windows(gap)
    assert layout.gapped == layout.left_edges == ()
    assert layout.free == tuple(range(7))


def test_horizontal_gaps_and_dead_columns_are_not_vertical_gaps():
    gap = np.zeros((64, 64), bool)
    gap[10:20] = True
    gap[:30, 5] = True
    gap[:, 40] = True
    assert np.flatnonzero(vertical_gaps(gap)).tolist() == [40]


@pytest.mark.parametrize("shape", [(0, 0), (1, 1280), (64, 63), (63, 64)])
def test_sizes_that_cannot_be_cut_are_refused(shape):
    expected = rf"at least 64 x 64 pixels, got {shape[0]} x {shape[1]}$"
    with pytest.raises(InputError, match=expected) as caught:
        windows(np.zeros(shape, bool))
    assert "\n" not in str(caught.value)


def test_gaps_that_leave_no_room_are_refused():
    gap = np.zeros((64, 256), bool)
    gap[:, ::SMALLEST_STEP] = True
    with pytest.raises(InputError, match="no window of 16 columns or more is free"):
        windows(gap)


def test_native_pilatus_2m_is_cut_like_the_papers_frames(papers):
    native = windows(detector("Pilatus2M").gap)
    assert (native.step, native.width) == (184, 371)
    assert (native.free, native.gapped) == (papers.free, papers.gapped)


@st.composite
def gaps(draw):
    """Frames of any width with up to four vertical gaps, (rows, columns)."""
    columns = draw(st.integers(64, 700))
    gap = np.zeros((64, columns), bool)
    for _ in range(draw(st.integers(0, 4))):
        left = draw(st.integers(0, columns - 1))
        gap[:, left : left + draw(st.integers(1, 12))] = True
    return gap


@given(gaps())
def test_windows_of_any_frame_reach_from_edge_to_edge_in_equal_steps(gap):
    try:
        layout = windows(gap)
    except InputError:
        assume(False)
    columns = gap.shape[1]
    assert layout.starts[0] == 0
    assert layout.starts[-1] + layout.width == columns
    assert set(np.diff(layout.starts)) == {layout.step}
    assert layout.width >= 2 * layout.step
    assert layout.step in [columns // parts for parts in STEPS_ACROSS]
    assert layout.free == tuple(n for n in range(len(layout.starts)) if not layout.pattern(n).any())
    assert sorted(layout.free + layout.gapped) == list(range(len(layout.starts)))


@given(gaps())
def test_windows_are_as_wide_as_gaps_leave_them(gap):
    """No step that comes before the chosen one would have left a free window; refused only where none does."""
    columns, vertical = gap.shape[1], gap.all(axis=0)
    free = {}
    for parts in STEPS_ACROSS:
        step = columns // parts
        width = columns - (parts - 2) * step
        if step >= SMALLEST_STEP:
            free[step] = any(not vertical[k * step : k * step + width].any() for k in range(parts - 1))
    try:
        chosen = windows(gap).step
    except InputError:
        assert not any(free.values())
    else:
        assert chosen == next(step for step, found in free.items() if found)


@given(gaps(), st.integers(0, 2**32 - 1))
def test_windows_of_any_width_are_qltys_and_stitch_back(gap, seed):
    try:
        layout = windows(gap)
    except InputError:
        assume(False)
    frames = torch.from_numpy(np.random.default_rng(seed).random((1, *gap.shape), np.float32))
    pieces, expected = cut(frames, layout), quilt(layout).unstitch(frames[:, None])
    assert torch.equal(pieces.reshape(expected.shape), expected)
    torch.testing.assert_close(stitch(pieces, layout), frames, rtol=1e-6, atol=0)


def test_windows_are_qltys_bit_for_bit(tiny, frames):
    expected = quilt(tiny).unstitch(frames[:, None])
    assert torch.equal(cut(frames, tiny).reshape(expected.shape), expected)


def test_stitching_averages_overlaps_as_qlty_does(tiny):
    pieces = torch.from_numpy(np.random.default_rng(1).random((2, len(tiny.starts), 64, tiny.width), np.float32))
    expected, _ = quilt(tiny).stitch(pieces.reshape(-1, 1, 64, tiny.width), use_numba=False)
    total, weight = torch.zeros(2, 64, 64), torch.zeros(64)
    for number, start in enumerate(tiny.starts):
        total[:, :, start : start + tiny.width] += pieces[:, number]
        weight[start : start + tiny.width] += 1
    stitched = stitch(pieces, tiny)
    assert torch.equal(stitched, torch.as_tensor(expected)[:, 0])
    torch.testing.assert_close(stitched, total / weight, rtol=0, atol=1e-7)
