from pathlib import Path

import h5py
import numpy as np
import pytest
from pyFAI.detectors import Detector as PyFAIDetector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from scattering import sources
from scattering.dataset import ARRAYS, read
from scattering.errors import InputError
from scattering.simulation import simulator
from scattering.sources import from_files, simulated


def save(path: Path, frames: np.ndarray, **attributes) -> Path:
    with h5py.File(path, "w") as file:
        file["frames"] = frames
        file.attrs.update(attributes)
    return path


def counts(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(30, shape).astype(np.int32)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and frames simulated in this process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(simulator, "available_cores", lambda: 1)
    return tmp_path / "cache" / "gapsearch"


def test_a_poni_file_is_scaled_to_the_working_size(tmp_path, tiny_detector):
    path = save(tmp_path / "a.h5", counts((2, 140, 150)))
    poni = tmp_path / "setup.poni"
    detector = PyFAIDetector(pixel1=1e-3, pixel2=1e-3, max_shape=(140, 150))
    AzimuthalIntegrator(0.2, 0.0705, 0.0905, detector=detector, wavelength=1e-10).save(str(poni))
    built = from_files([str(path)], tiny_detector, 64, str(poni))
    first, second = built.calibrations
    assert first == second
    assert first.beam_center == pytest.approx((70.5 * 64 / 140 - 0.5, 90.5 * 64 / 150 - 0.5))
    assert first.pixel1 == pytest.approx(140e-3 / 64)
    plain = from_files([str(path)], tiny_detector, 64)
    assert plain.calibrations == [None, None]
    assert plain.fingerprint() != built.fingerprint()


def test_a_poni_file_of_another_shape_is_refused(tmp_path, tiny_detector):
    path = save(tmp_path / "a.h5", counts((1, 140, 151)))
    poni = tmp_path / "setup.poni"
    detector = PyFAIDetector(pixel1=1e-3, pixel2=1e-3, max_shape=(140, 150))
    AzimuthalIntegrator(0.2, 0.07, 0.09, detector=detector, wavelength=1e-10).save(str(poni))
    with pytest.raises(InputError, match="140 x 151 pixels, got 140 x 150"):
        from_files([str(path)], tiny_detector, 64, str(poni))


@pytest.fixture
def no_simulation(monkeypatch):
    def forbid():
        def refuse(*_):
            raise AssertionError("simulated again")

        monkeypatch.setattr(sources, "_simulate", refuse)

    return forbid


def assert_equal_frames(first, second):
    assert first.fingerprint() == second.fingerprint()
    assert first.settings == second.settings
    for name in (*ARRAYS, "clean"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_frames_of_different_shapes_are_resized_together(tmp_path, tiny_detector):
    save(tmp_path / "a.h5", counts((2, 140, 150)))
    save(tmp_path / "b.h5", counts((1, 300, 280)))
    data = from_files([str(tmp_path)], tiny_detector, 64)
    assert data.truth.shape == (3, 64, 64)
    assert data.names == ("a 0", "a 1", "b 0")
    np.testing.assert_array_equal(data.observed[:2], np.broadcast_to(~data.gap, (2, 64, 64)))
    # Laid over more pixels, the same gap may have an edge in the next pixel.
    assert (data.observed[2] == ~data.gap).mean() > 0.98


def test_groups_are_files_or_what_files_say(tmp_path, tiny_detector):
    save(tmp_path / "a.h5", counts((2, 70, 70)), group="film")
    save(tmp_path / "b.h5", counts((1, 70, 70)), group="film")
    save(tmp_path / "c.h5", counts((1, 70, 70)), category="saxs")
    data = from_files([str(tmp_path)], tiny_detector, 64)
    assert data.groups == ("film", "film", "film", "c")
    assert data.categories == ("", "", "", "saxs")


def test_pixels_without_counts_are_neither_truth_nor_input(tmp_path, tiny_detector):
    frames = counts((1, 140, 150))
    frames[0, 60:80, 60:90] = -2
    data = from_files([str(save(tmp_path / "a.h5", frames))], tiny_detector, 64)
    assert not data.valid[0, 29:35, 27:37].any()
    assert not data.observed[0, 29:35, 27:37].any()
    assert data.valid[0, :25].all()


def test_settings_say_where_the_frames_are_from(tmp_path, tiny_detector):
    path = save(tmp_path / "a.h5", counts((1, 70, 70)))
    settings = from_files([str(path)], tiny_detector, 64).settings
    assert (settings["simulated"], settings["detector"], settings["size"]) == (False, "tiny", 64)
    assert settings["files"] == ["a.h5"]


@pytest.mark.parametrize("code", [0, 65000, 2**16 - 1])
def test_a_constant_in_all_gaps_is_no_truth(code, tmp_path, tiny_detector):
    frames = counts((2, *tiny_detector.gap.shape)).astype(np.uint16)
    frames[0][tiny_detector.gap] = code
    save(tmp_path / "a.h5", frames)
    data = from_files([str(tmp_path / "a.h5")], tiny_detector, 64)
    assert not data.valid[0][data.gap].any()
    assert data.valid[1][data.gap].all()


def test_frames_of_files_with_one_name_keep_their_own(tmp_path, tiny_detector):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "scan.h5", counts((1, 70, 70)))
    data = from_files([str(tmp_path / "x"), str(tmp_path / "y")], tiny_detector, 64)
    assert data.names == ("x/scan 0", "y/scan 0")
    assert len(set(data.groups)) == 2


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch, tiny_detector):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(simulated(tiny_detector, 64, 2, 0)) == 2


def test_one_bad_file_among_good_ones_is_named(tmp_path, tiny_detector):
    save(tmp_path / "a.h5", counts((1, 70, 70)))
    (tmp_path / "b.h5").write_text("not HDF5")
    with pytest.raises(InputError, match=r"b\.h5") as caught:
        from_files([str(tmp_path)], tiny_detector, 64)
    assert "\n" not in str(caught.value)


def test_a_single_bad_file_is_named(tmp_path, tiny_detector):
    (tmp_path / "b.h5").write_text("not HDF5")
    with pytest.raises(InputError, match=r"b\.h5") as caught:
        from_files([str(tmp_path / "b.h5")], tiny_detector, 64)
    assert "\n" not in str(caught.value)


def test_frames_that_lie_in_the_gap_altogether_are_named(tmp_path, tiny_detector):
    frames = np.full((1, 140, 150), -1)
    frames[0, 45:49] = 7
    with pytest.raises(InputError, match="needs observed pixels, got none in a 0"):
        from_files([str(save(tmp_path / "a.h5", frames))], tiny_detector, 64)


def test_simulated_frames_are_equal_from_the_simulator_and_from_the_cache(
    cache, tiny_detector, no_simulation, monkeypatch, tmp_path
):
    first = simulated(tiny_detector, 64, frames=3, seed=5)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert_equal_frames(simulated(tiny_detector, 64, frames=3, seed=5), first)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent))
    no_simulation()
    assert_equal_frames(simulated(tiny_detector, 64, frames=3, seed=5), first)


def test_other_settings_are_not_answered_from_the_cache(cache, tiny_detector):
    first = simulated(tiny_detector, 64, frames=2, seed=5)
    other = simulated(tiny_detector, 64, frames=2, seed=6)
    more = simulated(tiny_detector, 64, frames=3, seed=5)
    assert first.fingerprint() != other.fingerprint()
    assert more.select([0, 1]).fingerprint() == first.fingerprint()
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("damage", ["cut", "text", "edited"])
def test_a_damaged_cache_is_made_again(cache, tiny_detector, damage):
    first = simulated(tiny_detector, 64, frames=2, seed=5)
    (path,) = cache.iterdir()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "text":
        path.write_text("damaged")
    else:
        with h5py.File(path, "r+") as file:
            file["truth"][0, 0, 0] += 1
    assert_equal_frames(simulated(tiny_detector, 64, frames=2, seed=5), first)
    assert read(path).fingerprint() == first.fingerprint()


def test_simulated_frames_know_the_truth_in_horizontal_gaps_alone(cache, tiny_detector):
    data = simulated(tiny_detector, 64, frames=2, seed=5)
    held_out = data.valid & ~data.observed
    rows, columns = data.gap.all(axis=1), data.gap.all(axis=0)
    assert held_out[:, rows][:, :, ~columns].mean() > 0.9
    assert not held_out[:, :, columns].any()
    assert data.clean is not None


def test_every_simulated_frame_is_a_sample_of_its_own(cache, tiny_detector):
    data = simulated(tiny_detector, 64, frames=3, seed=5)
    assert len(set(data.groups)) == 3
