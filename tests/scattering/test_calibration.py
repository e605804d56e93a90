"""Geometry of frames against pyFAI's, and what is refused of PONI files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from scattering.calibration import Calibration, read_poni
from scattering.errors import InputError
from scattering.simulation.geometry import Geometry, Panel

SHAPE = (60, 80)
TILTED = Calibration(0.2, 0.04, 0.07, 0.1, -0.05, 0.2, 1e-3, 1.2e-3, 1e-10)


def poni(folder: Path, orientation: int = 3) -> Path:
    detector = Detector(pixel1=1e-3, pixel2=1.2e-3, max_shape=SHAPE, orientation=orientation)
    integrator = AzimuthalIntegrator(*TILTED[:6], detector=detector, wavelength=1e-10)
    path = folder / "setup.poni"
    integrator.save(str(path))
    return path


def test_q_of_the_simulators_geometry_is_pyfais_of_its_calibration() -> None:
    geometry = Geometry(Panel(SHAPE, (1e-3, 0.8e-3)), 0.3, (40.3, 17.8))
    expected = geometry.calibration.integrator(SHAPE).center_array(SHAPE, unit="q_nm^-1")
    np.testing.assert_allclose(geometry.q, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(geometry.calibration.q(SHAPE), expected, rtol=1e-9, atol=1e-9)
    assert geometry.calibration.beam_center == pytest.approx((40.3, 17.8), abs=1e-9)


def test_q_and_beam_center_of_a_tilted_detector_are_pyfais() -> None:
    integrator = TILTED.integrator(SHAPE)
    np.testing.assert_allclose(TILTED.q(SHAPE), integrator.center_array(SHAPE, unit="q_nm^-1"), rtol=1e-9)
    fit2d = integrator.getFit2D()
    # Fit2D counts from the corner of the first pixel.
    assert TILTED.beam_center == pytest.approx((fit2d["centerY"] - 0.5, fit2d["centerX"] - 0.5), abs=1e-9)


def test_the_beam_stays_where_it_hits_when_a_frame_is_stretched() -> None:
    small = TILTED.resized(SHAPE, (30, 160))
    row, col = TILTED.beam_center
    assert small.beam_center == pytest.approx(((row + 0.5) / 2 - 0.5, (col + 0.5) * 2 - 0.5))
    # Four pixels of the wide frame, two by two, see what one pixel pair of the first sees on average.
    np.testing.assert_allclose(small.q((30, 160)).mean(), TILTED.q(SHAPE).mean(), rtol=1e-3)


@pytest.mark.parametrize("calibration", [TILTED, TILTED._replace(rot1=0.0, rot2=0.0)])
def test_opposite_pixels_scatter_at_equal_angles_and_lie_across_the_beam(calibration: Calibration) -> None:
    rows, cols = calibration.opposite(SHAPE)
    integrator = calibration.integrator(SHAPE)
    own = integrator.center_array(SHAPE, unit="2th_rad")
    np.testing.assert_allclose(integrator.tth(rows.ravel(), cols.ravel()), own.ravel(), rtol=1e-9)
    azimuth = integrator.center_array(SHAPE, unit="chi_rad").ravel()
    turned = integrator.chi(rows.ravel(), cols.ravel()) - azimuth
    np.testing.assert_allclose(np.cos(turned), -1, atol=1e-9)


def test_without_a_tilt_the_opposite_is_the_point_reflection() -> None:
    flat = TILTED._replace(rot1=0.0, rot2=0.0)
    rows, cols = flat.opposite(SHAPE)
    row, col = flat.beam_center
    grid = np.indices(SHAPE)
    np.testing.assert_allclose(rows, 2 * row - grid[0], atol=1e-9)
    np.testing.assert_allclose(cols, 2 * col - grid[1], atol=1e-9)


@pytest.mark.parametrize("orientation", [2, 3])
def test_a_poni_file_gives_the_q_that_pyfai_gives(tmp_path: Path, orientation: int) -> None:
    import pyFAI

    path = poni(tmp_path, orientation)
    expected = pyFAI.load(str(path)).center_array(SHAPE, unit="q_nm^-1")
    np.testing.assert_allclose(read_poni(path, SHAPE).q(SHAPE), expected, rtol=1e-9)


def test_a_poni_file_of_another_detector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"60 x 90 pixels, got 60 x 80 in .*setup.poni: calibrate") as caught:
        read_poni(poni(tmp_path), (60, 90))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "hello\n", "Distance: far\n", '{"poni": 1}'])
def test_what_is_no_poni_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.poni"
    path.write_text(text)
    with pytest.raises(InputError, match=r"PONI file.*notes.poni") as caught:
        read_poni(path, SHAPE)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing there"):
        read_poni(tmp_path / "none.poni", SHAPE)


def test_a_poni_file_must_say_the_wavelength(tmp_path: Path) -> None:
    path = poni(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("Wavelength")))
    with pytest.raises(InputError, match="without wavelength"):
        read_poni(path, SHAPE)
