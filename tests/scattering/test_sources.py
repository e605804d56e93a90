import os
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import pytest
from pyFAI.detectors import Detector as PyFAIDetector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from scattering import sources
from scattering.dataset import ARRAYS
from scattering.dataset_file import read, write
from scattering.errors import InputError
from scattering.preparation import _code, code_version
from scattering.simulation import simulator
from scattering.sources import _make_room, from_files, simulated
from scattering.survey.findings import Options


def save(path: Path, frames: np.ndarray, **attributes) -> Path:
    with h5py.File(path, "w") as file:
        file["frames"] = frames
        file.attrs.update(attributes)
    return path


SHAPE = (210, 185)
"""An eighth of the detector whose gaps are laid over it."""
LAID = Options(detector="Pilatus2M", group_by=".+")


def counts(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(30, shape).astype(np.int32)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, and frames simulated in this process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(simulator, "available_cores", lambda: 1)
    return tmp_path / "cache" / "gapsearch"


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


def refuse(*_, **__):
    raise AssertionError("done again")


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(3):
        save(folder / f"{number}.h5", counts((2, *SHAPE), number))
    return folder


def test_prepared_files_are_kept(files, cache, monkeypatch):
    first = from_files([str(files)], LAID, "64x128", 0)
    assert first.truth.shape == (6, 64, 128)
    monkeypatch.setattr(sources, "prepare", refuse)
    again = from_files([str(files)], LAID, "64x128", 0)
    assert again.fingerprint() == first.fingerprint()
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("change", ["touched", "size", "seed", "file less"])
def test_what_is_kept_is_not_taken_for_something_else(files, cache, change):
    from_files([str(files)], LAID, "64x128", 0)
    if change == "touched":
        os.utime(files / "1.h5")
    if change == "file less":
        (files / "1.h5").unlink()
    from_files([str(files)], LAID, "96x128" if change == "size" else "64x128", int(change == "seed"))
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_file_of_the_cache_is_prepared_again(files, cache):
    first = from_files([str(files)], LAID, "64x128", 0).fingerprint()
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:-1000])
    assert from_files([str(files)], LAID, "64x128", 0).fingerprint() == first
    assert read(kept).fingerprint() == first


def test_where_there_is_no_cache_frames_outlive_the_folder_they_were_prepared_in(files, tmp_path, monkeypatch):
    kept = from_files([str(files)], LAID, "64x128", 0)
    (tmp_path / "in the way").write_text("")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "in the way"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    data = from_files([str(files)], LAID, "64x128", 0)
    assert not list((tmp_path / "temporary").iterdir())
    assert data.fingerprint() == kept.fingerprint()


def test_a_data_set_is_read_as_it_is(files, tmp_path, monkeypatch):
    data = from_files([str(files)], LAID, "64x128", 0)
    write(tmp_path / "prepared.h5", data)
    monkeypatch.setattr(sources, "survey", refuse)
    assert from_files([str(tmp_path / "prepared.h5")], Options(), "512", 7).fingerprint() == data.fingerprint()


def test_progress_and_tasks_are_handed_on(files):
    told, asked = [], []

    def tasks(function, jobs):
        asked.append(function)
        return map(function, jobs)

    from_files([str(files)], LAID, "64x128", 0, tasks=tasks, progress=told.append)
    assert told[-1] == 6
    assert asked


def test_a_poni_file_is_scaled_to_the_working_size(files, tmp_path):
    poni = tmp_path / "setup.poni"
    detector = PyFAIDetector(pixel1=1e-3, pixel2=1e-3, max_shape=SHAPE)
    AzimuthalIntegrator(0.2, 0.0705, 0.0905, detector=detector, wavelength=1e-10).save(str(poni))
    built = from_files([str(files)], replace(LAID, poni=str(poni)), "64x128", 0)
    assert set(built.calibrations) == {built.calibrations[0]}
    assert built.calibrations[0].beam_center == pytest.approx((70.5 * 64 / 210 - 0.5, 90.5 * 128 / 185 - 0.5))
    assert built.calibrations[0].pixel1 == pytest.approx(210e-3 / 64)
    plain = from_files([str(files)], LAID, "64x128", 0)
    assert plain.calibrations == [None] * 6
    assert plain.fingerprint() != built.fingerprint()


def test_settings_say_where_the_frames_are_from(files):
    settings = from_files([str(files)], LAID, "64x128", 3).settings
    assert settings["title"] == "3 files, 0.h5 to 2.h5"
    assert (settings["simulated"], settings["size"], settings["seed"]) == (False, [64, 128], 3)
    assert "Pilatus" in settings["detector"].title()


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch, tiny_detector):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(simulated(tiny_detector, (64, 64), 2, 0)) == 2


def test_a_bad_file_is_named(files):
    (files / "b.h5").write_text("not HDF5")
    with pytest.raises(InputError, match=r"b\.h5") as caught:
        from_files([str(files / "b.h5")], LAID, "64", 0)
    assert "\n" not in str(caught.value)


def test_a_bad_file_among_good_ones_is_named_and_left_out(files):
    good = from_files([str(files)], LAID, "64x128", 0)
    (files / "b.h5").write_text("not HDF5")
    said: list[str] = []
    found = from_files([str(files)], LAID, "64x128", 0, notes=said.append)
    assert found.names == good.names
    assert len(said) == 1
    assert "b.h5" in said[0]


def test_simulated_frames_are_equal_from_the_simulator_and_from_the_cache(
    cache, tiny_detector, no_simulation, monkeypatch, tmp_path
):
    first = simulated(tiny_detector, (64, 64), frames=3, seed=5)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert_equal_frames(simulated(tiny_detector, (64, 64), frames=3, seed=5), first)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache.parent))
    no_simulation()
    assert_equal_frames(simulated(tiny_detector, (64, 64), frames=3, seed=5), first)


def test_other_settings_are_not_answered_from_the_cache(cache, tiny_detector):
    first = simulated(tiny_detector, (64, 64), frames=2, seed=5)
    other = simulated(tiny_detector, (64, 64), frames=2, seed=6)
    more = simulated(tiny_detector, (64, 64), frames=3, seed=5)
    assert first.fingerprint() != other.fingerprint()
    np.testing.assert_array_equal(more.truth[:2], first.truth)
    assert len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("damage", ["cut", "text", "edited"])
def test_a_damaged_cache_is_made_again(cache, tiny_detector, damage):
    first = simulated(tiny_detector, (64, 64), frames=2, seed=5)
    (path,) = cache.iterdir()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "text":
        path.write_text("damaged")
    else:
        with h5py.File(path, "r+") as file:
            file["truth"][0, 0, 0] += 1
    assert_equal_frames(simulated(tiny_detector, (64, 64), frames=2, seed=5), first)
    assert read(path).fingerprint() == first.fingerprint()


def test_the_cache_keeps_what_was_used_last_within_its_limit(tmp_path):
    for number, name in enumerate(("old.h5", "used.h5", ".begun.h5.part", "new.h5")):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (time.time() - 1000 + number,) * 2)
    (tmp_path / "notes.txt").write_bytes(bytes(1000))
    os.utime(tmp_path / "old.h5")  # read again just now
    _make_room(tmp_path, tmp_path / "new.h5", limit=300)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".begun.h5.part", "new.h5", "notes.txt", "old.h5"]
    _make_room(tmp_path, tmp_path / "new.h5", limit=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".begun.h5.part", "new.h5", "notes.txt"]


def test_a_data_set_of_the_cache_that_is_in_use_stays_readable(tmp_path, prepare, raw_frames, tiny_detector):
    write(tmp_path / "a.h5", prepare(raw_frames(4, (140, 150), tiny_detector)))
    found = read(tmp_path / "a.h5")
    _make_room(tmp_path, tmp_path / "b.h5", limit=0)
    assert not (tmp_path / "a.h5").exists()
    assert found.fingerprint() == found.checked


def test_the_key_of_the_cache_knows_the_code_and_not_its_words():
    plain = '"""Doc."""\nLIMIT = 1\n"""Words."""\n\ndef f():\n    """Words."""\n    return 1  # words\n'
    assert _code(plain) == _code("LIMIT = 1\ndef f():\n    return 1\n")
    assert _code(plain) != _code(plain.replace("return 1", "return 2"))


def test_the_key_of_the_cache_knows_the_libraries(monkeypatch):
    before = code_version.__wrapped__()
    monkeypatch.setattr(
        "scattering.preparation.version", lambda name: "another" if name == "torch" else version(name)
    )
    assert code_version.__wrapped__() != before
