import h5py
import numpy as np
import pytest

from scattering.simulation.geometry import Panel
from scattering.simulation.patterns import PATTERNS
from scattering.simulation.simulator import expose
from scattering.survey.pedestal import estimate
from scattering.survey.validity import recorded

# What is known of them: frames/INDEX.md, and the least counts that the frames hold.
CCD = {"fabio_frelon2k": (900, 982), "raw_flicam": (75, 100), "raw_adsc_q1": (30, 45)}


@pytest.fixture(scope="module")
def expected():
    """Expected counts of a frame of each category, (619, 487): PILATUS 300K."""
    panel = Panel((619, 487), (172e-6, 172e-6))
    return {
        category: expose(np.random.default_rng([5, number]), category, panel)[0]
        for number, category in enumerate(PATTERNS)
    }


@pytest.mark.parametrize("category", PATTERNS)
@pytest.mark.parametrize(("brightness", "background"), [(0.1, 0), (1, 300), (100, 0)])
def test_signal_is_never_taken_for_a_pedestal(expected, category, brightness, background):
    # Seeds are fixed: nothing is left to chance.
    counts = np.random.default_rng(1).poisson(expected[category] * brightness + background)
    assert estimate(counts, counts >= 0) == 0


@pytest.mark.parametrize("category", PATTERNS)
def test_averaged_frames_have_no_pedestal(expected, category):
    counts = np.random.default_rng(1).poisson(expected[category] * 13.6 + 5000) / 13.6
    assert estimate(counts.astype(np.float32), counts >= 0) == 0


@pytest.mark.slow
@pytest.mark.parametrize("category", PATTERNS)
@pytest.mark.parametrize(("planted", "noise", "gain"), [(100, 3, 1), (1000, 8, 1), (1000, 5, 4)])
def test_a_planted_pedestal_is_found_and_never_more_than_that(expected, category, planted, noise, gain):
    rng = np.random.default_rng(2)
    signal = expected[category] * 0.3
    read = np.round(gain * rng.poisson(signal / gain) + planted + noise * rng.standard_normal(signal.shape))
    found = estimate(read.astype(np.int32), read >= 0)
    darkest = float(np.quantile(signal, 0.01))
    assert found <= planted + 0.05 * darkest + 1
    if darkest < 0.1 * planted:
        # Short by the variances of the read noise and of what signal there is.
        assert found >= planted - 1.3 * noise**2 - 1.3 * gain * darkest


@pytest.mark.slow
def test_real_photon_counters_have_none_and_real_ccds_theirs(shared_frames):
    for path in sorted(shared_frames.glob("*.h5")):
        with h5py.File(path) as file:
            first = file["frames"][0]
        found = estimate(first, recorded(first))
        if path.stem in CCD:
            low, high = CCD[path.stem]
            assert low <= found <= high, path.stem
        else:
            assert found == 0, path.stem


def test_a_frame_too_small_to_tell_has_none():
    assert estimate(np.full((40, 40), 1000), np.ones((40, 40), bool)) == 0


def test_smoothed_signal_has_no_pedestal():
    # Interpolation over four pixels: a quarter of the noise, and whole numbers again.
    slope = np.linspace(200, 900, 619)[:, None] * np.ones(487)
    counts = np.random.default_rng(3).poisson(slope)
    smooth = np.round(sum(np.roll(counts, shift, (0, 1)) for shift in ((0, 0), (0, 1), (1, 0), (1, 1))) / 4)
    assert estimate(smooth.astype(np.int32), smooth >= 0) == 0
