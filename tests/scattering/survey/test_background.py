import numpy as np
import pytest

from scattering.survey.background import subtracted

SHAPE = (300, 280)
NONE = np.zeros(SHAPE, bool)
DEAD = np.random.default_rng(7).random(SHAPE) < 1e-3


def noisy(mean, background, count=1):
    return [np.random.default_rng(seed).poisson(mean, SHAPE) - background for seed in range(count)]


def found(frames, hidden=NONE):
    return subtracted((frame, hidden) for frame in frames)


@pytest.mark.parametrize("dtype", ["int16", "int32", "int64", "float32"])
@pytest.mark.parametrize(("mean", "background"), [(25, 16), (0.3, 1), (2, 2), (40, 40), (1.2, 1)])
def test_noise_below_0_is_known_in_one_frame(mean, background, dtype):
    assert found([frame.astype(dtype) for frame in noisy(mean, background)])


def test_a_few_counts_below_0_are_known_by_their_moving():
    frames = [np.where(frame < 7, -1, frame) for frame in noisy(20, 0, 4)]
    assert 0 < (frames[0] < 0).mean() < 1e-3
    assert not found(frames[:1])
    assert found(frames)


@pytest.mark.parametrize("codes", [(-1, -2), (-2, -2), (-10, -2), (-9999, -2), (-1, -(2**31))])
@pytest.mark.parametrize("count", [1, 4])
def test_codes_are_none(codes, count):
    frames = noisy(0.5, 0, count)
    for number, frame in enumerate(frames):
        frame[40:57] = frame[:, 100:108] = codes[0]
        frame[60:120, 150:200] = codes[0]
        frame[DEAD] = codes[1]
        frame[200 + 5 * number : 230, 20:60] = -1  # a beamstop that moves
    assert not found(frames)


def test_dead_pixels_of_another_detector_of_the_shape_are_codes():
    frames = noisy(5, 0, 2)
    frames[0][DEAD], frames[1][DEAD.T.reshape(SHAPE)] = -2, -2
    assert not found(frames)


def test_what_is_hidden_tells_nothing():
    frame, hidden = noisy(20, 0)[0], NONE.copy()
    hidden[100:200] = True
    frame[hidden] = np.random.default_rng(0).integers(-90, 0, frame[hidden].shape)
    assert not found([frame], hidden)
