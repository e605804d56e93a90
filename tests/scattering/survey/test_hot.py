import numpy as np
import pytest

from scattering.simulation.geometry import Panel
from scattering.simulation.simulator import expose
from scattering.survey.hot import hot_pixels

SHAPE = (120, 110)
HOT = [(0, 0), (5, 60), (40, 30), (40, 31), (80, 109)]
"""A corner, an edge, and two side by side."""


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
@pytest.mark.parametrize(("mean", "pedestal"), [(0.05, 0), (2, 0), (60, 0), (5, 1000)])
def test_a_pixel_far_above_all_around_it_is_hot(dtype, mean, pedestal):
    frame = (np.random.default_rng(0).poisson(mean, SHAPE) + pedestal).astype(dtype)
    for place in HOT:
        frame[place] = pedestal + 60000 if dtype != "uint16" else 60000
    assert sorted(map(tuple, np.argwhere(hot_pixels(frame, np.ones(SHAPE, bool))).tolist())) == HOT


def test_pixels_that_hold_codes_tell_nothing():
    frame = np.random.default_rng(0).poisson(2, SHAPE)
    known = np.ones(SHAPE, bool)
    known[50, 60], known[70:90, 20:40], known[75, 30] = False, False, True
    frame[50, 60], frame[50, 61], frame[75, 30] = 10**6, 5000, 5000
    hot = hot_pixels(frame, known)
    assert hot[50, 61] and hot.sum() == 1  # of 75, 30 no neighbour is known


@pytest.mark.parametrize("mean", [0.01, 1, 30, 1e5])
def test_chance_makes_no_pixel_hot(mean):
    frame = np.random.default_rng(3).poisson(mean, (400, 400))
    assert not hot_pixels(frame, np.ones(frame.shape, bool)).any()


def test_the_edges_of_bright_fields_are_not_hot():
    rows, columns = np.indices(SHAPE)
    frame = np.random.default_rng(4).poisson(np.where(np.hypot(rows - 60, columns - 50) < 25, 0.2, 9000))
    assert not hot_pixels(frame, np.ones(SHAPE, bool)).any()
    assert not hot_pixels(frame.T.copy(), frame.T > 0).any()


def test_bragg_spots_are_not_hot():
    panel = Panel((619, 487), (172e-6, 172e-6))
    for seed in range(3):
        counts = np.random.default_rng(seed).poisson(expose(np.random.default_rng(seed), "spotty", panel)[0])
        assert counts.max() > 20 * np.median(counts) + 50
        assert not hot_pixels(counts, np.ones(counts.shape, bool)).any()
