import math
import subprocess
import sys
import time

import numpy as np
import pytest

from scattering.simulation import simulator
from scattering.simulation.geometry import Panel
from scattering.simulation.patterns import PATTERNS
from scattering.simulation.simulator import simulate_frame, simulate_frames

SIDE, FOOTPRINT = 64, 13.6


def stripes() -> np.ndarray:
    gap = np.zeros((SIDE, SIDE), bool)
    gap[15:17] = gap[40:42] = gap[:, 30] = True
    return gap


SETTINGS = {"seed": 7, "gap": stripes(), "pixel_size": (4.5e-3, 4e-3), "footprint": FOOTPRINT, "shift_rows": 4}


@pytest.fixture(scope="module")
def frames():
    return list(simulate_frames(40, **SETTINGS, processes=1))


def assert_equal_frames(first, second):
    assert first[:2] == second[:2]
    for one, other in zip(first[2:], second[2:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_frame_depends_on_seed_and_index_only(frames):
    assert_equal_frames(frames[23], simulate_frame(23, **SETTINGS))


@pytest.mark.slow
def test_processes_give_equal_bits(frames):
    for first, second in zip(simulate_frames(12, **SETTINGS, processes=2), frames, strict=False):
        assert_equal_frames(first, second)


@pytest.mark.slow
def test_a_caller_may_stop_early_without_waiting_for_the_rest():
    start = time.monotonic()
    stream = simulate_frames(10**6, **SETTINGS, processes=2)
    next(stream)
    stream.close()
    assert time.monotonic() - start < 20


@pytest.mark.slow
def test_workers_do_not_import_the_callers_main_module(tmp_path):
    """A search is started as `python -m search.run`; a worker that imported it would load torch and Ray."""
    script = tmp_path / "heavy.py"
    script.write_text(
        "import numpy as np\n"
        "from scattering.simulation.simulator import simulate_frames\n"
        "assert __name__ == '__main__', 'imported again by a worker'\n"
        "gap = np.zeros((32, 32), bool)\n"
        "settings = dict(seed=1, gap=gap, pixel_size=(9e-3, 9e-3), footprint=1.0, shift_rows=2)\n"
        "print([frame.name[-6:] for frame in simulate_frames(3, **settings, processes=2)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "heavy"],
        env={"PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "['000000', '000001', '000002']", done.stderr


def test_simulation_needs_numpy_and_scipy_only():
    loaded = "{'torch', 'pyFAI', 'ray', 'h5py', 'skimage'} & set(sys.modules)"
    code = f"import sys, scattering.simulation.simulator; print({loaded})"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_names_carry_category_and_index(frames):
    assert [frame.name for frame in frames[:3]] == [f"{frame.category}_{i:06d}" for i, frame in enumerate(frames[:3])]
    assert {frame.category for frame in frames} <= set(PATTERNS)


def test_observed_is_valid_and_never_in_a_gap(frames):
    for frame in frames:
        assert not (frame.observed & ~frame.valid).any()
        assert not (frame.observed & SETTINGS["gap"]).any()


def test_horizontal_gaps_become_valid_and_vertical_ones_do_not(frames):
    horizontal = np.zeros((SIDE, SIDE), bool)
    horizontal[[15, 16, 40, 41]] = True
    for frame in frames:
        beamstop = ~frame.observed & ~SETTINGS["gap"]
        assert beamstop.mean() < 0.1
        held_out = frame.valid & ~frame.observed
        assert not (held_out & ~horizontal).any()
        assert not frame.valid[:, 30].any()
        assert held_out.sum() > 0.75 * 4 * (SIDE - 1)


def test_only_observed_pixels_have_counts_and_only_valid_ones_truth(frames):
    for frame in frames:
        assert not frame.counts[~frame.observed].any()
        assert not frame.truth[~frame.valid].any()
        np.testing.assert_array_equal(frame.truth[frame.observed], frame.counts[frame.observed])
        assert frame.clean.dtype == frame.counts.dtype == frame.truth.dtype == np.float32
        assert frame.clean.min() > 0
        assert max(frame.clean.max(), frame.truth.max()) <= simulator.FULL_SCALE


def residuals(frames, where):
    """Standardised deviations of truth from the clean intensity, of pixels with at least 10 photons."""
    parts = []
    for frame in frames:
        chosen = where(frame) & (frame.clean * FOOTPRINT > 10) & (frame.clean < simulator.FULL_SCALE / 2)
        clean = frame.clean[chosen].astype(float)
        parts.append((frame.truth[chosen] - clean) / np.sqrt(clean / FOOTPRINT))
    return parts


def test_counts_scatter_about_the_clean_intensity_as_poisson_means(frames):
    """Mean 0 and variance 1 of n residuals within 6 standard errors (false failure 4e-9; the seed is fixed)."""
    pooled = np.concatenate(residuals(frames, lambda frame: frame.observed))
    assert pooled.size > 30000
    assert abs(pooled.mean()) < 6 / math.sqrt(pooled.size)
    assert abs(pooled.var() - 1) < 6 * math.sqrt((2 + 1 / 10) / pooled.size)


def test_the_second_exposure_has_its_own_noise():
    """Residuals in a gap row and in the observed row above are uncorrelated: |r| < 6 / sqrt(n)."""
    frames = list(simulate_frames(60, **SETTINGS, processes=1))
    pairs = []
    for frame in frames:
        usable = (frame.clean[14] * FOOTPRINT > 10) & (frame.clean[14] < 1000) & frame.valid[14] & frame.valid[15]
        residual = (frame.truth[14:16] - frame.clean[14:16]) / np.sqrt(frame.clean[14:16] / FOOTPRINT)
        pairs.append(residual[:, usable])
    upper, gap = np.concatenate(pairs, axis=1)
    assert upper.size > 500
    assert abs(np.corrcoef(upper, gap)[0, 1]) < 6 / math.sqrt(upper.size)


def test_exposures_differ_by_half_a_percent(monkeypatch):
    """In bright frames the scale shows: the spread of 40 draws is 0.5 % within 6 / sqrt(80) of itself."""
    monkeypatch.setattr(simulator, "PEAK", (5.5, 0.1))
    ratios = []
    for index in range(40):
        frame = simulate_frame(index, **SETTINGS)
        held_out = frame.valid & ~frame.observed & (frame.clean < simulator.FULL_SCALE / 2)
        ratios.append(frame.truth[held_out].sum(dtype=float) / frame.clean[held_out].sum(dtype=float))
    assert np.std(ratios) == pytest.approx(0.005, rel=6 / math.sqrt(80))


def test_a_gapless_detector_is_valid_wherever_it_is_observed():
    frame = simulate_frame(0, **SETTINGS | {"gap": np.zeros((SIDE, SIDE), bool)})
    np.testing.assert_array_equal(frame.valid, frame.observed)


def test_peak_counts_follow_their_distribution():
    """Mean of 60 log10 peaks within 6 standard errors; flares and background shift it by less than 0.1."""
    peaks = []
    for index in range(60):
        clean, hidden, _ = simulator.expose(np.random.default_rng(index), "saxs", Panel((64, 64), (4.5e-3, 4e-3)))
        peaks.append(math.log10(simulator.exceeded_by(clean[~hidden], simulator.PEAK_SHARE)))
    mean, spread = simulator.PEAK
    assert np.mean(peaks) == pytest.approx(mean, abs=0.1 + 6 * spread / math.sqrt(60))


def test_exposure_does_not_depend_on_the_resolution():
    """Where pixels resolve the pattern; sharp spots and rings do lose height in large pixels."""
    coarse, fine = Panel((64, 64), (4.5e-3, 4e-3)), Panel((128, 128), (2.25e-3, 2e-3))
    for index, category in enumerate(("amorphous", "saxs") * 3):
        low, high = (simulator.expose(np.random.default_rng(index), category, panel)[0] for panel in (coarse, fine))
        assert np.median(high) == pytest.approx(np.median(low), rel=0.1)


def test_the_beam_hits_a_frame_where_its_calibration_says(frames):
    """Scattering of air and a halo about the beam: the brightest thing of a smooth pattern lies around it."""
    for frame in frames:
        assert frame.calibration.pixel1 == SETTINGS["pixel_size"][0]
        assert frame.calibration.pixel2 == SETTINGS["pixel_size"][1]
    centred = [
        f for f in frames if f.category == "saxs" and all(10 < c < SIDE - 10 for c in f.calibration.beam_center)
    ]
    assert centred
    for frame in centred:
        row, col = np.unravel_index(frame.clean.argmax(), frame.clean.shape)
        assert np.hypot(row - frame.calibration.beam_center[0], col - frame.calibration.beam_center[1]) < 6
