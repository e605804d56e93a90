"""The error of I(q)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scattering.dataset import Dataset
from scattering.preprocessing import FULL_SCALE, to_counts
from search.evaluation.profiles import BINS, ENOUGH_COUNTS, profile, profiles
from trainables.images import whole_frames


def counts_of(data: Dataset, number: int) -> np.ndarray:
    images = whole_frames(data)
    return to_counts(images.truth[number][images.scored[number]].astype(np.float64))


def test_the_truth_has_no_error_and_a_factor_has_its_own(calibrated: Dataset) -> None:
    for number, known in enumerate(profiles(whole_frames(calibrated))):
        assert known is not None
        counts = counts_of(calibrated, number)
        assert known.error(counts) == 0
        assert known.error(counts * 1.5) == pytest.approx(0.5 / 1.25)
        assert known.error(counts * 0) == 2


def test_errors_within_a_ring_cancel_and_those_of_rings_do_not(calibrated: Dataset) -> None:
    known = profiles(whole_frames(calibrated))[0]
    assert known is not None
    counts = counts_of(calibrated, 0)
    ring = np.digitize(known.q, known.edges[1:-1])
    average = np.bincount(ring, counts, BINS)[ring] / np.bincount(ring, minlength=BINS)[ring]
    assert known.error(average) == pytest.approx(0, abs=1e-12)
    assert known.error(counts * np.where(ring % 2, 1.2, 0.8)) == pytest.approx((0.2 / 1.1 + 0.2 / 0.9) / 2, rel=0.1)


def test_bins_with_few_counts_are_not_compared(calibrated: Dataset) -> None:
    images = whole_frames(calibrated)
    known = profiles(images)[0]
    assert known is not None
    counts = counts_of(calibrated, 0)
    ring = np.digitize(known.q, known.edges[1:-1])
    np.testing.assert_array_equal(known.compared, np.bincount(ring, counts, BINS) >= ENOUGH_COUNTS)
    assert known.error(counts + 1e6 * ~known.compared[ring]) == pytest.approx(0, abs=1e-9)


def test_a_frame_without_geometry_light_or_scored_pixels_has_none(data: Dataset, calibrated: Dataset) -> None:
    images, calibration = whole_frames(calibrated), calibrated.calibrations[0]
    truth, scored = images.truth[0], images.scored[0]
    assert profile(truth, scored, None, FULL_SCALE) is None
    assert profile(truth, scored & False, calibration, FULL_SCALE) is None
    assert profile(truth * 0, scored, calibration, FULL_SCALE) is None
    assert profiles(whole_frames(replace(data, calibration=None))) == [None] * len(data)
