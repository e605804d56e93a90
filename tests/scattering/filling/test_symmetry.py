"""The fill by Friedel's law."""

from __future__ import annotations

import numpy as np
import pytest

from scattering.calibration import Calibration
from scattering.filling.interpolation import biharmonic
from scattering.filling.symmetry import friedel

SHAPE = (64, 80)


def beam_at(row: float, col: float) -> Calibration:
    return Calibration(1.0, (row + 0.5) * 1e-3, (col + 0.5) * 2e-3, 0.0, 0.0, 0.0, 1e-3, 2e-3, 1e-10)


def symmetric(row: float, col: float) -> np.ndarray:
    """A frame without any other symmetry, point-symmetric about (row, col), which may lie half-way."""
    rows, cols = (axis - centre for axis, centre in zip(np.indices(SHAPE), (row, col), strict=True))
    return (0.5 + 0.2 * np.cos(rows * cols / 9) + 0.1 * np.cos(1.3 * rows + 0.4 * cols)).astype(np.float32)


@pytest.mark.parametrize("centre", [(31.0, 40.0), (31.5, 38.0), (30.0, 41.5)])
def test_a_symmetric_frame_is_filled_exactly(centre: tuple[float, float]) -> None:
    truth = symmetric(*centre)
    observed = np.ones(SHAPE, bool)
    observed[10:14] = observed[:, 20:22] = observed[50:53, 30:60] = False
    reflected = np.round(2 * np.array(centre)[:, None, None] - np.indices(SHAPE)).astype(int)
    inside = ((reflected >= 0) & (reflected < np.array(SHAPE)[:, None, None])).all(axis=0)
    seen_there = inside & observed[tuple(np.where(inside, reflected, 0))]
    filled = friedel(np.where(observed, truth, 0).astype(np.float32), observed, beam_at(*centre))
    wanted = ~observed & seen_there
    assert wanted.sum() > 0.6 * (~observed).sum()
    np.testing.assert_allclose(filled[wanted], truth[wanted], atol=1e-6)
    np.testing.assert_array_equal(filled[observed], truth[observed])


def test_between_pixels_it_interpolates() -> None:
    rows, cols = np.indices(SHAPE)
    centre = (31.2, 39.7)
    truth = (0.5 + 0.2 * np.cos(0.1 * (rows - centre[0])) * np.cos(0.1 * (cols - centre[1]))).astype(np.float32)
    observed = np.ones(SHAPE, bool)
    observed[10:14] = False
    filled = friedel(np.where(observed, truth, 0).astype(np.float32), observed, beam_at(*centre))
    np.testing.assert_allclose(filled[:, 1:], truth[:, 1:], atol=1e-3)


def test_what_is_hidden_on_both_sides_is_biharmonic() -> None:
    truth = symmetric(31.5, 39.5)
    observed = np.ones(SHAPE, bool)
    observed[30:34] = False
    seen = np.where(observed, truth, 0).astype(np.float32)
    np.testing.assert_array_equal(friedel(seen, observed, beam_at(31.5, 39.5)), biharmonic(seen, observed))
    # The beam is far off: nothing has an opposite within the frame.
    np.testing.assert_array_equal(friedel(seen, observed, beam_at(-90, 300)), biharmonic(seen, observed))


def test_what_lies_under_gaps_is_not_seen() -> None:
    truth, observed = symmetric(31.5, 38.0), np.ones(SHAPE, bool)
    observed[10:14] = observed[:, 20:22] = False
    first, second = (
        friedel(np.where(observed, truth, hidden).astype(np.float32), observed, beam_at(31.3, 38.2))
        for hidden in (0.0, 0.9)
    )
    np.testing.assert_array_equal(first, second)
