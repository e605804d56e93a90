from itertools import cycle

import numpy as np
import pytest

from scattering.detectors import detector
from scattering.survey.recognition import recognise
from scattering.survey.tally import Tally

NAMES = [
    "Pilatus 100k", "Pilatus 300kw", "Pilatus 900k", "Pilatus 2M", "Eiger 500k", "Eiger2 1M", "Pilatus4 2M",
    "Jungfrau 1M",
]  # fmt: skip


def tallied(gap: np.ndarray, code: int = -1, mean: float = 20, frames: int = 2) -> Tally:
    tally = Tally(gap.shape)
    for seed in range(frames):
        counts = np.random.default_rng(seed).poisson(mean, gap.shape).astype(np.int32)
        counts[gap] = code
        tally.add(counts, counts >= 0)
    return tally


@pytest.mark.parametrize(("name", "code"), list(zip(NAMES, cycle([-1, 0]))))
def test_a_detector_is_known_by_its_frames(name, code):
    gap = detector(name).gap
    found, _ = recognise(gap.shape, "", tallied(gap, code, frames=1))
    assert found.name == name
    np.testing.assert_array_equal(found.gap, gap)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "variant"), [("Pilatus 1M", "Pilatus CdTe 1M"), ("Eiger2 1M", "Eiger2 CdTe 1M")])
@pytest.mark.parametrize("code", [-1, 0])
def test_variants_of_one_shape_are_told_apart_by_their_gaps(name, variant, code):
    plain, special = detector(name).gap, detector(variant).gap
    assert plain.shape == special.shape
    assert recognise(plain.shape, "", tallied(special, code, frames=1)).detector.name == variant
    assert recognise(plain.shape, variant, tallied(plain, code, frames=1)).detector.name == name
    assert recognise(plain.shape, variant, tallied(special, code, frames=1)).detector.name == variant


def test_few_photons_do_not_make_a_variant():
    gap = detector("Pilatus1M").gap
    assert recognise(gap.shape, "", tallied(gap, mean=0.02)).detector.name == "Pilatus 1M"
    assert recognise(gap.shape, "", tallied(gap, mean=0)).detector.name == "Pilatus 1M"


@pytest.mark.slow
def test_gaps_filled_by_a_second_exposure_are_still_the_detectors():
    gap = detector("Pilatus2M").gap
    only_vertical = np.broadcast_to(gap.all(axis=0), gap.shape)
    np.testing.assert_array_equal(recognise(gap.shape, "", tallied(only_vertical)).detector.gap, gap)


def test_missing_modules_are_no_other_detector():
    gap = detector("Pilatus1M").gap
    hidden = gap.copy()
    hidden[600:, :480] = True
    found, _ = recognise(gap.shape, "Pilatus 800K, 1043x981", tallied(hidden))
    assert found.name == "Pilatus 1M"
    np.testing.assert_array_equal(found.gap, gap)


def test_a_detector_on_its_side_is_turned():
    upright = detector("Pilatus300kw")
    gap = np.rot90(upright.gap)
    found, _ = recognise(gap.shape, "", tallied(gap))
    assert found.name == "Pilatus 300kw, turned by 90 degrees"
    np.testing.assert_array_equal(found.gap, gap)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "name"),
    [("", "unknown, 2048 x 2048, no gaps"), ("FReLoN taper CCD (ESRF)", "FReLoN"), ("HF-4M", "HF-4M")],
)
def test_ccds_of_one_shape_are_told_apart_by_what_the_file_says(said, name):
    assert recognise((2048, 2048), said, tallied(np.zeros((2048, 2048), bool), frames=1)).detector.name == name


def test_gaps_of_an_unknown_detector_are_its_codes():
    gap = np.zeros((333, 444), bool)
    gap[100:110] = gap[:, 300:303] = True
    codes = gap.copy()
    codes[5, 5] = codes[20:24, 20:24] = True  # dead, no gaps
    found, _ = recognise(gap.shape, "", tallied(codes))
    assert found.name == "unknown, 333 x 444, gaps from codes"
    np.testing.assert_array_equal(found.gap, gap)


@pytest.mark.slow
def test_lambda_9m_has_the_gaps_of_its_frames(caplog):
    gap = np.zeros((3868, 3227), bool)
    gap[1900:1910] = True
    found, _ = recognise(gap.shape, "", tallied(gap, frames=1))
    assert found.name == "Lambda 9M"
    np.testing.assert_array_equal(found.gap, gap)
    assert not caplog.records


def test_gaps_of_an_unknown_detector_may_hold_nothing():
    gap = np.zeros((333, 444), bool)
    gap[100:110] = gap[:, 300:303] = True
    dark = gap.copy()
    dark[200] = dark[-9:] = dark[:, :4] = True  # a dead line; no light at the edges
    dark[20:24, 20:24] = True
    np.testing.assert_array_equal(recognise(gap.shape, "", tallied(dark, code=0)).detector.gap, gap)


def test_a_streak_of_full_counters_is_no_gap():
    streak = np.zeros((900, 700), bool)
    streak[300:420, 350:353] = True
    assert not recognise(streak.shape, "", tallied(streak)).detector.gap.any()
