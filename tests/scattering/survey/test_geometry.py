"""What the user says of the geometry, and what frames tell where nothing is said."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from scattering.arguments import Options
from scattering.calibration import centred
from scattering.errors import InputError
from scattering.survey.findings import identify
from scattering.survey.geometry import given_geometry

SHAPE = (200, 220)
CENTERS = {"a": (96.0, 121.0), "b": (70.5, 140.0)}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    rows, columns = np.indices(SHAPE)
    for group, center in CENTERS.items():
        radius = np.hypot(rows - center[0], columns - center[1])
        counts = np.random.default_rng(1).poisson(5 + 200 * np.exp(-(((radius % 40) - 20) ** 2) / 8), (2, *SHAPE))
        counts[:, 60:66] = -1
        with h5py.File(tmp_path / f"{group}.h5", "w") as file:
            file["frames"] = counts.astype(np.int32)
            file.attrs["group"] = group
    return tmp_path


def test_each_group_of_frames_has_a_beam_of_its_own(files: Path) -> None:
    findings = identify([str(files)], Options())
    for number, group in enumerate(findings.groups):
        known = findings.geometry(number)
        assert "found" in known.origin
        np.testing.assert_allclose(known.calibration.beam_center, CENTERS[group], atol=0.5)


def test_what_the_user_says_goes_before_what_frames_tell(files: Path) -> None:
    findings = identify([str(files)], Options(beam="10,20.5"))
    assert {geometry.origin for geometry in findings.geometries.values()} == {"--beam 10,20.5"}
    np.testing.assert_allclose(findings.geometry(0).calibration.beam_center, (10, 20.5))


def test_what_the_file_says_goes_before_what_frames_tell(files: Path) -> None:
    said = centred(20.0, 30.0, SHAPE, (1e-4, 1e-4))
    with h5py.File(files / "a.h5", "r+") as file:
        file["calibration"] = np.array([said, said])
    findings = identify([str(files)], Options())
    origins = {group: findings.geometry(number) for number, group in enumerate(findings.groups)}
    assert origins["a"].origin == "as the file says"
    np.testing.assert_allclose(origins["a"].calibration, said)
    assert "found" in origins["b"].origin


def test_the_beam_is_not_looked_for_where_nobody_asks(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scattering.survey.findings.find_geometry", None)
    assert not identify([str(files)], Options(), locate=False).geometry(0).known
    assert identify([str(files)], Options(beam="1,2"), locate=False).geometry(0).known


@pytest.mark.parametrize("size", [(1e-4, 1e-4), (2e-4, 1e-4), (np.nan, np.nan)])
def test_rings_about_a_given_centre_are_circles_in_metres(size: tuple[float, float]) -> None:
    calibration = centred(30.0, 40.5, (100, 120), size)
    np.testing.assert_allclose(calibration.beam_center, (30.0, 40.5))
    radius = calibration.polar((100, 120))[0].reshape(100, 120)
    rows, columns = np.indices((100, 120))
    ratio = 1.0 if np.isnan(size[0]) else size[0] / size[1]
    expected = np.hypot((rows - 30.0) * ratio, columns - 40.5) / np.sqrt(ratio)
    np.testing.assert_allclose(radius, expected, atol=1e-6)


@pytest.mark.parametrize("beam", ["", "1", "1,2,3", "a,b", "nan,1", "1,inf"])
def test_what_is_no_place_is_refused_in_one_line(beam: str) -> None:
    with pytest.raises(InputError, match="--beam must be ROW,COL") as caught:
        given_geometry(None, beam, SHAPE, (1e-4, 1e-4))
    assert "\n" not in str(caught.value)


def test_one_of_two_places_must_be_left_out() -> None:
    with pytest.raises(InputError, match="leave out one"):
        given_geometry("a.poni", "1,2", SHAPE, (1e-4, 1e-4))
