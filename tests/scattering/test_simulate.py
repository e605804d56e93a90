import time

import h5py
import numpy as np
import pytest

from scattering.calibration import Calibration
from scattering.detectors import Detector, detector
from scattering.preprocessing import footprint
from scattering.simulate import main
from scattering.simulation.recording import record
from scattering.windows import vertical_gaps


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Simulate a file once for each set of arguments; returns what it holds."""
    folder, made = tmp_path_factory.mktemp("simulated"), {}

    def run(*arguments: str) -> dict:
        if arguments not in made:
            path = folder / f"{len(made)}.h5"
            assert main([*arguments, "-o", str(path)]) == 0
            with h5py.File(path) as file:
                made[arguments] = {name: file[name][()] for name in file} | dict(file.attrs) | {"path": path}
        return made[arguments]

    return run


FULL = ("--detector", "Pilatus300k", "--frames", "2", "--seed", "1")


@pytest.mark.slow
def test_frames_of_full_size_hold_whole_photons_and_the_truth_in_horizontal_gaps(simulated):
    made, chosen = simulated(*FULL), detector("Pilatus300k")
    assert made["frames"].dtype == np.int32
    assert made["frames"].shape == made["clean"].shape == made["invalid"].shape == (2, *chosen.gap.shape)
    assert made["detector"] == chosen.name
    valid = made["invalid"] == 0
    assert valid[:, chosen.gap].mean() > 0.9
    assert (made["frames"][~valid] == -1).all()
    assert made["frames"][valid].min() >= 0


@pytest.mark.slow
def test_counts_scatter_about_the_clean_ones_as_photons_do(simulated):
    """Residuals of all pixels that promise 5 to 10^4 photons: mean 0, variance 1 within 6 standard errors, and the
    half percent that second exposures differ by."""
    made = simulated(*FULL)
    usable = (made["invalid"] == 0) & (made["clean"] > 5) & (made["clean"] < 1e4)
    clean = made["clean"][usable].astype(float)
    residual = (made["frames"][usable] - clean) / np.sqrt(clean)
    assert residual.size > 50000
    assert abs(residual.mean()) < 6 / np.sqrt(residual.size) + 0.01
    assert residual.var() == pytest.approx(1, abs=6 * np.sqrt(2.2 / residual.size) + 0.01)


@pytest.mark.slow
def test_one_exposure_has_no_truth_in_gaps_and_the_same_counts_elsewhere(simulated):
    one, two, gap = simulated(*FULL, "--exposures", "1"), simulated(*FULL), detector("Pilatus300k").gap
    assert one["invalid"][:, gap].all()
    assert (one["frames"][:, gap] == -1).all()
    seen = one["invalid"] == 0
    np.testing.assert_array_equal(one["frames"][seen], two["frames"][seen])
    np.testing.assert_array_equal(one["clean"], two["clean"])
    # Of the rest only the beamstop and a few pixels have none.
    assert seen[:, ~gap].mean() > 0.9


def test_a_working_size_is_simulated_as_it_would_be_resized(simulated):
    made = simulated("--detector", "Pilatus300k", "--frames", "2", "--size", "96x128")
    assert made["frames"].shape == (2, 96, 128)
    assert made["frames"].dtype == np.float32
    averaged = footprint((619, 487), (96, 128))
    photons = made["frames"][made["invalid"] == 0].astype(float) * averaged
    np.testing.assert_allclose(photons, np.rint(photons), rtol=1e-5, atol=1e-4)


@pytest.mark.slow
def test_labels_and_geometry_are_those_of_the_frames(simulated):
    made = simulated(*FULL)
    names, groups, categories = ([text.decode() for text in made[key]] for key in ("names", "groups", "categories"))
    assert names == [f"{category}_{number:06d}" for number, category in enumerate(categories)]
    assert groups == names
    chosen = detector("Pilatus300k")
    for row in made["calibration"]:
        assert (row[6], row[7]) == chosen.pixel_size
        assert all(np.isfinite(Calibration(*row).beam_center))


@pytest.mark.slow
def test_equal_arguments_give_equal_bytes_whenever_and_other_seeds_other_frames(simulated, tmp_path):
    started = time.time()
    made = simulated(*FULL)
    # HDF5 counts whole seconds, where it keeps times.
    time.sleep(max(0.0, 1.1 - (time.time() - started)))
    assert main([*FULL, "-o", str(tmp_path / "again.h5")]) == 0
    assert (tmp_path / "again.h5").read_bytes() == made["path"].read_bytes()
    other = simulated(*FULL[:-1], "2")
    assert not np.array_equal(other["frames"], made["frames"])


@pytest.mark.slow
def test_more_frames_begin_with_the_same_ones(simulated):
    more = simulated(*FULL[:2], "--frames", "3", *FULL[4:])
    np.testing.assert_array_equal(more["frames"][:2], simulated(*FULL)["frames"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Pilatus100k", "Pilatus300kw", "Jungfrau1M", "Lambda250k"])
def test_other_detectors_are_simulated_too(simulated, name):
    made, chosen = simulated("--detector", name, "--frames", "2"), detector(name)
    valid = made["invalid"] == 0
    assert made["frames"].shape[1:] == chosen.gap.shape
    assert valid[:, ~chosen.gap].mean() > 0.85
    assert not valid[:, :, vertical_gaps(chosen.gap)].any(axis=(0, 1)).any()


@pytest.mark.parametrize(
    "name", ["Pilatus2M", "Pilatus6M", "Eiger4M", "Eiger16M", "Eiger2_9M", "Jungfrau4M", "Lambda2M"]
)
def test_the_second_exposure_sees_all_horizontal_gaps(name, monkeypatch):
    """But for what lies in vertical gaps, too."""
    chosen, asked = detector(name), {}
    monkeypatch.setattr(
        "scattering.simulation.recording.simulate_frames", lambda frames, **given: asked.update(given)
    )
    record(chosen, chosen.gap.shape, 1, seed=0)
    crossing = chosen.gap & ~vertical_gaps(chosen.gap)
    moved = np.ones_like(chosen.gap)
    moved[asked["shift_rows"] :] = chosen.gap[: len(moved) - asked["shift_rows"]]
    assert asked["shift_rows"] > 0
    assert not (moved & crossing).any()


def test_without_horizontal_gaps_one_exposure_is_enough(monkeypatch):
    asked: dict = {}
    monkeypatch.setattr(
        "scattering.simulation.recording.simulate_frames", lambda frames, **given: asked.update(given)
    )
    record(Detector("a", np.zeros((70, 80), bool), (1e-4, 1e-4)), (70, 80), 1, seed=0)
    assert (asked["shift_rows"], asked["footprint"]) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--detector", "no such"], "must be one that pyFAI knows"),
        (["--detector", "Mythen"], "at least 64 x 64 pixels, got 1 x 1280"),
        (["--size", "3x"], "--size must be"),
        (["--size", "32"], "got 32 x 32"),
        (["--frames", "0"], "at least 1, got '0'"),
        (["--frames", "x"], "at least 1, got 'x'"),
        (["--seed", "-1"], "at least 0, got '-1'"),
        (["--exposures", "3"], "--exposures"),
        (["-o", f"{__file__}/a.h5"], "cannot write the frames"),
    ],
)
def test_bad_arguments_end_in_one_line(arguments, said, tmp_path, capsys):
    given = ["--frames", "1", "--detector", "Pilatus100k", "-o", str(tmp_path / "a.h5"), *arguments]
    assert main(given) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: ")
    assert said in message
    assert not any(tmp_path.iterdir())
