"""Whole frames around windows: what a method that follows rings is shown."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from scattering.dataset import Dataset, RawFrame, build
from scattering.detectors import Detector
from tests.conftest import striped_detector
from trainables.batches import WindowSet
from trainables.images import gapped_windows, whole_frames


def test_a_window_and_the_frame_around_it_agree(data: Dataset) -> None:
    images = gapped_windows(data)
    shown = []
    for frame in images.whole():
        for k, part in images.parts(frame, frame.measured):
            np.testing.assert_array_equal(part, images.measured[k])
            assert images.frame[k] == frame.frame
            shown.append(k)
        for k, part in images.parts(frame, frame.observed):
            np.testing.assert_array_equal(part, images.observed[k])
    assert shown == list(range(len(images)))


def test_windows_of_a_frame_share_it_where_they_do_not_overlap(data: Dataset) -> None:
    images = gapped_windows(data)
    width = data.windows.width
    for frame in images.whole():
        starts = [images.left[k] for k in frame.images]
        assert (np.diff(starts) >= width).all()
    assert sum(1 for _ in images.whole()) < len(images)


def test_nothing_outside_of_the_windows_and_their_surroundings_changes(data: Dataset) -> None:
    images = gapped_windows(data)
    for frame in images.whole():
        assert not (frame.observed & ~data.observed[frame.frame]).any()
        kept = frame.observed
        inside = np.zeros(kept.shape, bool)
        for k in frame.images:
            inside[:, images.left[k] : images.left[k] + images.measured.shape[2]] = True
        outside = kept & ~inside
        np.testing.assert_array_equal(frame.measured[outside], data.measured[frame.frame][outside])


def test_whole_frames_are_themselves(data: Dataset) -> None:
    images = whole_frames(data)
    for number, frame in enumerate(images.whole()):
        assert (frame.frame, frame.images) == (number, [number])
        np.testing.assert_array_equal(frame.measured, data.measured[number])
        np.testing.assert_array_equal(frame.observed, data.observed[number])


def hidden_columns(data: Dataset, k: int, columns: int, detector: Detector) -> np.ndarray:
    """Columns of the frame as recorded that lie under the artificial gap of window k."""
    layout = data.windows
    scale = columns / layout.frame_shape[1]
    pattern = layout.gapped[int(WindowSet(data, torch.device("cpu")).fixed_patterns()[k])]
    vertical = np.flatnonzero(detector.gap_for((140, columns)).mean(axis=0) > 0.5)
    first, target = layout.starts[pattern], layout.starts[layout.free[k % len(layout.free)]]
    inside = vertical[(vertical >= first * scale) & (vertical < (first + layout.width) * scale)]
    moved = inside + round((target - first) * scale)
    return moved[moved < columns]


def at_the_edge() -> Detector:
    """A vertical gap that ends where a window does: what lies under it reaches the columns beside that window."""
    gap = np.zeros((140, 150), bool)
    gap[44:50] = gap[:, 52:56] = True
    return Detector("edge", gap, (172e-6, 172e-6))


@pytest.mark.slow
@pytest.mark.parametrize("detector", [striped_detector(), at_the_edge()], ids=["inside", "edge"])
@pytest.mark.parametrize("columns", [150, 280, 100])
def test_counts_under_artificial_gaps_change_no_bit_of_the_frame_around(
    raw_frames: Callable[..., list[RawFrame]], detector: Detector, columns: int
) -> None:
    def prepared(frames: list[RawFrame]) -> Dataset:
        return build(frames, detector, (128, 128), {}, columns)

    raw = raw_frames(6, (140, columns), detector)
    data = prepared(raw)
    for frame in gapped_windows(data).whole():
        counts = raw[frame.frame].truth.copy()
        for k in frame.images:
            under = hidden_columns(data, k, columns, detector)
            assert under.size
            counts[:, under] = 10**5
        changed = [*raw]
        changed[frame.frame] = raw[frame.frame]._replace(truth=counts)
        others = gapped_windows(prepared(changed)).whole()
        after = next(other for other in others if other.images == frame.images)
        np.testing.assert_array_equal(frame.measured, after.measured)
        np.testing.assert_array_equal(frame.observed, after.observed)
