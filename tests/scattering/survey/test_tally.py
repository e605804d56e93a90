import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scattering.survey.tally import Tally

SHAPE = (200, 180)


def tallied(frames):
    tally = Tally(frames[0].shape)
    for frame in frames:
        tally.add(frame, frame >= 0)
    return tally


def test_a_pixel_that_stays_dark_among_bright_ones_is_dead():
    frames = [np.random.default_rng(seed).poisson(50, SHAPE) for seed in range(3)]
    for frame in frames:
        frame[20, 30] = frame[0, 50] = 0
        frame[100:102, 90] = 0
    dead = tallied(frames).dead()
    assert dead[20, 30] and dead[0, 50] and dead[100:102, 90].all()
    assert dead.sum() == 4


def test_a_pixel_that_once_counts_is_not_dead():
    frames = [np.random.default_rng(seed).poisson(50, SHAPE) for seed in range(3)]
    for frame in frames[1:]:
        frame[20, 30] = 0
    frames[0][20, 30] = 1
    assert not tallied(frames).dead().any()


@pytest.mark.parametrize("mean", [0.05, 1, 5, 20, 60])
def test_chance_kills_no_pixel(mean):
    # Below the 60 photons that are asked for, zeros are likely and no pixel may be called dead; with 60, a frame of
    # these 36 000 pixels holds a zero with a probability of 36 000 exp(-60) = 3e-22.
    assert not tallied([np.random.default_rng(3).poisson(mean, SHAPE)]).dead().any()


def test_a_ccd_that_gives_many_counts_a_photon_has_zeros_by_chance():
    # 8 photons, 20 counts each: a zero in 3 000 pixels, 160 counts around.
    frame = 20 * np.random.default_rng(3).poisson(8, SHAPE)
    assert (frame == 0).sum() > 5
    assert not tallied([frame]).dead().any()


def test_the_edge_of_a_beamstop_is_not_dead():
    rows, columns = np.indices(SHAPE)
    frame = np.random.default_rng(4).poisson(300, SHAPE)
    frame[np.hypot(rows - 100, columns - 90) < 25] = 0
    frame[:100, 87:94] = 0
    assert not tallied([frame]).dead().any()


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(5)))
def test_the_order_of_frames_is_immaterial(order):
    rng = np.random.default_rng(6)
    frames = [rng.poisson(30, (60, 50)) for _ in range(5)]
    for frame in frames:
        frame[10, 10], frame[30, 30] = 0, -1
    first, second = tallied(frames), tallied([frames[number] for number in order])
    for name in ("dark", "dead"):
        np.testing.assert_array_equal(getattr(first, name)(), getattr(second, name)())
    assert first.dead()[10, 10] and first.dark()[30, 30]
