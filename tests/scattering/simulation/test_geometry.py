import math

import numpy as np
import pytest
from pyFAI import units
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator
from pyFAI.integrator.fiber import FiberIntegrator

from scattering.simulation.geometry import Geometry, Panel

SHAPE, PIXEL = (96, 80), (3.0e-3, 2.6e-3)
CENTER = (70.3, 33.8)


@pytest.fixture
def geometry():
    return Geometry(Panel(SHAPE, PIXEL), distance=0.3, beam_center=CENTER, incidence=math.radians(0.18))


def pyfai(kind, geometry):
    """The same experiment in pyFAI, whose PONI counts from the edge of the first pixel."""
    poni = [(center + 0.5) * pixel for center, pixel in zip(geometry.beam_center, PIXEL, strict=True)]
    return kind(
        dist=geometry.distance,
        poni1=poni[0],
        poni2=poni[1],
        detector=Detector(*PIXEL, max_shape=SHAPE),
        wavelength=geometry.wavelength,
    )


def test_q_is_that_of_pyfai(geometry):
    expected = pyfai(AzimuthalIntegrator, geometry).center_array(SHAPE, unit="q_nm^-1", scale=False)
    np.testing.assert_allclose(geometry.q, expected, rtol=1e-5)


def test_azimuth_turns_from_right_to_up(geometry):
    assert abs(geometry.azimuth[70, -1]) < 0.01
    assert geometry.azimuth[0, 34] == pytest.approx(math.pi / 2, abs=0.01)


def test_solid_angle_and_polarization_are_those_of_pyfai(geometry):
    integrator = pyfai(AzimuthalIntegrator, geometry)
    np.testing.assert_allclose(geometry.solid_angle, integrator.solidAngleArray(SHAPE), rtol=1e-5)
    np.testing.assert_allclose(geometry.polarization(0.95), integrator.polarization(SHAPE, 0.95), rtol=1e-5)


@pytest.mark.parametrize("tilt", [0.0, math.radians(2)])
def test_surface_q_is_that_of_pyfai(geometry, tilt):
    geometry = Geometry(geometry.panel, 0.3, CENTER, incidence=geometry.incidence, tilt=tilt)
    fiber = pyfai(FiberIntegrator, geometry)
    settings = {"incident_angle": geometry.incidence, "tilt_angle": tilt, "sample_orientation": 4}
    for name, ours in zip(("qip_nm^-1", "qoop_nm^-1"), geometry.surface_q, strict=True):
        theirs = fiber.array_from_unit(SHAPE, unit=units.get_unit_fiber(name, **settings))
        # pyFAI turns in the other order: the two differ by q x incidence x tilt at most.
        np.testing.assert_allclose(ours, theirs, atol=2e-5 + geometry.q_max * geometry.incidence * tilt)


def test_missing_wedge_grows_with_q_along_the_normal():
    """On the Ewald sphere and above the beam |q_ip| is q^2 / 2k at normal incidence of the surface plane."""
    geometry = Geometry(Panel((101, 1), (2e-3, 2e-3)), distance=0.3, beam_center=(100, 0))
    q_ip, _ = geometry.surface_q
    np.testing.assert_allclose(np.abs(q_ip), geometry.q**2 / (2 * geometry.wavenumber), rtol=1e-4, atol=1e-6)


def test_specular_beam_leaves_at_the_angle_of_incidence():
    incidence = math.radians(0.2)
    row = 200 - 2.0 * math.tan(2 * incidence) / 1e-4
    geometry = Geometry(Panel((201, 3), (1e-4, 1e-4)), distance=2.0, beam_center=(200, 1), incidence=incidence)
    assert geometry.exit_angle[round(row), 1] == pytest.approx(incidence, abs=5e-5)
    assert geometry.exit_angle[200, 1] == pytest.approx(-incidence, abs=1e-6)


def test_silver_behenate_ring_lies_at_its_bragg_angle():
    """d = 5.838 nm at 10 keV and 1 m: radius = tan(2 asin(lambda / 2d)) = 21.24 mm."""
    geometry = Geometry(Panel((1, 400), (1e-4, 1e-4)), distance=1.0, beam_center=(0, 0))
    col = np.argmin(np.abs(geometry.q[0] - 2 * math.pi / 5.838))
    assert col * 1e-4 == pytest.approx(math.tan(2 * math.asin(0.12398 / 2 / 5.838)), abs=5e-5)


def test_resolution_is_that_of_the_beam_when_pixels_are_small():
    geometry = Geometry(Panel((4, 4), (1e-6, 1e-6)), distance=2.0, beam_center=(0, 0), spot=3e-4)
    assert geometry.q_resolution == pytest.approx(geometry.wavenumber * 3e-4 / 2.0, rel=1e-4)
