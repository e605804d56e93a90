import math

import numpy as np
import pytest
from pyFAI.crystallography.cell import Cell as PyfaiCell

from scattering.simulation.geometry import Geometry, Panel
from scattering.simulation.patterns import CATEGORY_WEIGHTS, PATTERNS, bcp, liquid_crystal, powder, saxs
from scattering.simulation.patterns.amorphous import hard_spheres
from scattering.simulation.patterns.cameras import WIDE, grazing, transmission
from scattering.simulation.patterns.film import transmitted
from scattering.simulation.patterns.lattice import MATERIALS, Cell, allowed, draw_cell, families
from scattering.simulation.patterns.polar import ANGLE, ANGLES, add_ring, around_beam, pseudo_voigt, q_axis, von_mises
from scattering.simulation.patterns.spotty import rotations, stamp

PANEL = Panel((64, 60), (4.5e-3, 4.2e-3))


@pytest.mark.parametrize("category", PATTERNS)
def test_intensity_is_finite_positive_and_follows_the_seed(category):
    for seed in range(6):
        first, second = (PATTERNS[category](np.random.default_rng(seed), PANEL) for _ in range(2))
        assert first.intensity.shape == PANEL.shape
        assert np.isfinite(first.intensity).all()
        assert first.intensity.min() >= 0
        assert first.intensity.max() > 0
        np.testing.assert_array_equal(first.intensity, second.intensity)
        assert first.geometry.beam_center == second.geometry.beam_center


@pytest.mark.parametrize("category", PATTERNS)
def test_the_scene_does_not_depend_on_the_resolution(category):
    """Twice finer pixels of the same panel show the same scene (but for what a pixel cannot resolve)."""
    coarse, fine = Panel((64, 64), (4e-3, 4e-3)), Panel((128, 128), (2e-3, 2e-3))
    for seed in range(4):
        low, high = (PATTERNS[category](np.random.default_rng(seed), panel).intensity for panel in (coarse, fine))
        averaged = high.reshape(64, 2, 64, 2).mean((1, 3))
        floor = 1e-4 * low.max()
        assert np.corrcoef(np.log(low + floor).ravel(), np.log(averaged + floor).ravel())[0, 1] > 0.97


def test_weights_belong_to_the_categories_and_sum_to_one():
    assert list(CATEGORY_WEIGHTS) == list(PATTERNS)
    assert sum(CATEGORY_WEIGHTS.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("cell", "reference"),
    [
        (MATERIALS[0], PyfaiCell.cubic(4.1569, "P")),
        (MATERIALS[1], PyfaiCell.diamond(5.4312)),
        (MATERIALS[2], PyfaiCell.cubic(5.4115, "F")),
        (MATERIALS[5], PyfaiCell.tetragonal(3.7850, 9.5140, "I")),
        (MATERIALS[6], PyfaiCell.hexagonal(3.2498, 5.2066)),
    ],
)
def test_powder_lines_are_those_of_pyfai(cell, reference):
    spacings = np.array(sorted(reference.calculate_dspacing(0.8), reverse=True)) / 10
    q, _ = families(cell, 2 * math.pi / 0.0801)
    np.testing.assert_allclose(q, 2 * math.pi / spacings[: len(q)], rtol=1e-5)


def test_simple_cubic_multiplicities():
    _, multiplicity = families(Cell(1, 1, 1), 2 * math.pi * 3.01)
    np.testing.assert_array_equal(multiplicity, [6, 12, 8, 6, 24, 24, 12, 30])


def test_rhombohedral_centring_keeps_a_third_of_the_reflections():
    hkl = np.stack(np.meshgrid(*[np.arange(6)] * 3), -1).reshape(-1, 3)
    assert allowed(hkl, "R").sum() * 3 == len(hkl)


def test_a_drawn_cell_has_reflections_in_view():
    rng = np.random.default_rng(0)
    for q_max in (0.5, 5.0, 15.0, 25.0):
        assert all(len(families(draw_cell(rng, q_max), q_max)[0]) for _ in range(100))


def test_behenate_rings_are_orders_of_one_spacing():
    centers, _ = powder.behenate_lines(10.0)
    np.testing.assert_allclose(centers, np.arange(1, 10) * 2 * math.pi / 5.838, rtol=1e-12)


def test_hexagonal_rings_are_at_one_root_three_two_root_seven():
    np.testing.assert_allclose(np.square(bcp.RATIOS["cylinders"][:4]), [1, 3, 4, 7])


def test_sphere_form_factor_vanishes_at_4_4934():
    assert saxs.sphere_amplitude(np.array([0.0]))[0] == pytest.approx(1, abs=1e-6)
    assert abs(saxs.sphere_amplitude(np.array([4.493409]))[0]) < 1e-6


def test_polydispersity_fills_the_minimum_of_the_sphere():
    q = np.linspace(0.05, 1, 500)
    sharp, spread = (saxs.polydisperse(q, 10, width) for width in (0.001, 0.2))
    assert q[np.argmin(sharp[:250])] == pytest.approx(0.4493, abs=0.003)
    assert spread[np.argmin(sharp[:250])] / spread[0] > 100 * sharp[:250].min() / sharp[0]


def test_guinier_and_debye_start_with_the_radius_of_gyration():
    """ln I = -(q Rg)^2 / 3 for small q, whatever the shape."""
    q, gyration = np.array([0.01]), 5.0
    expected = -((q * gyration) ** 2) / 3
    np.testing.assert_allclose(np.log(saxs.guinier_porod(q, gyration, 4)), expected, rtol=1e-9)
    np.testing.assert_allclose(np.log(saxs.debye_chain(q, gyration)), expected, rtol=1e-3)


def test_guinier_porod_is_smooth_at_the_joint():
    joint = math.sqrt(1.5 * 3) / 4
    left, middle, right = saxs.guinier_porod(joint + np.array([-1e-5, 0, 1e-5]), 4, 3)
    assert (middle - left) == pytest.approx(right - middle, rel=1e-3)


def test_microemulsion_peaks_near_its_period():
    q = np.linspace(0.01, 1, 5000)
    peak = q[np.argmax(saxs.teubner_strey(q, 20, 1.2))]
    assert peak == pytest.approx(math.sqrt((2 * math.pi / 20) ** 2 - 1 / 24**2), rel=1e-3)


def test_hard_spheres_have_the_known_compressibility_and_peak():
    """S(0) = (1 - f)^4 / (1 + 2 f)^2; a main peak near q d = 7 at f = 0.4; 1 at large q."""
    factor = hard_spheres(np.array([0.0, 500.0]), 1.0, 0.4)
    assert factor[0] == pytest.approx(0.6**4 / 1.8**2, rel=1e-3)
    assert factor[1] == pytest.approx(1, abs=0.01)
    q = np.linspace(4, 10, 601)
    assert q[np.argmax(hard_spheres(q, 1.0, 0.4))] == pytest.approx(6.75, abs=0.2)


def test_yoneda_line_is_at_the_critical_angle():
    alpha, critical = np.linspace(0, 0.02, 20001), math.radians(0.2)
    weight = transmitted(alpha, critical, 1e-10)
    assert alpha[np.argmax(weight)] == pytest.approx(critical, abs=1e-5)
    assert weight.max() == pytest.approx(4, rel=0.02)
    assert weight[0] == 0
    assert weight[-1] == pytest.approx(1, abs=0.05)


def test_maier_saupe_order_parameter_grows_with_the_field():
    """Three-dimensional average of P2; m = 4.541 at the nematic transition gives 0.429 (Maier & Saupe 1959)."""
    profile, weight = liquid_crystal.maier_saupe(0, 4.541 * 1.5 * 0.429), np.abs(np.sin(ANGLE))
    second = ((3 * np.cos(ANGLE) ** 2 - 1) / 2 * profile * weight).sum() / (profile * weight).sum()
    assert second == pytest.approx(0.429, abs=0.002)


def test_peaks_have_unit_area():
    x = np.linspace(-400, 400, 80001)
    for eta in (0.0, 0.5, 1.0):
        assert np.trapezoid(pseudo_voigt(x, 0, 0.5, eta), x) == pytest.approx(1, abs=2e-3)
    assert von_mises(3.0, 0.4).mean() == pytest.approx(1, rel=1e-6)


def test_ring_lands_at_its_q():
    geometry = Geometry(Panel((400, 400), (5e-4, 5e-4)), distance=0.3, beam_center=(210.3, 180.6))
    q = q_axis(geometry)
    polar = np.zeros((len(q), ANGLES), np.float32)
    add_ring(polar, q, 8.0, 0.1, np.ones(ANGLES, np.float32), eta=0)
    image = around_beam(polar, geometry)
    weighted = image / geometry.q
    assert (weighted * geometry.q).sum() / weighted.sum() == pytest.approx(8.0, abs=0.01)


def test_rotations_are_proper_and_uniform():
    turn = rotations(np.random.default_rng(0), 4000)
    np.testing.assert_allclose(turn @ turn.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turn.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turn), 1)
    assert np.abs(turn.mean(0)).max() < 6 * math.sqrt(1 / 3 / 4000)  # 6 sigma: false failure 2e-8, and seeded


def test_spot_is_where_it_should_be_and_long_along_the_ring():
    geometry = Geometry(Panel((101, 101), (1e-3, 1e-3)), distance=0.3, beam_center=(50, 50), spot=1e-3)
    image = stamp(geometry, np.array([[30e-3, 0.0]]), np.array([1.0]), mosaic=0.08)
    assert np.unravel_index(image.argmax(), image.shape) == (50, 80)
    rows, cols = (np.average((np.arange(101) - c) ** 2, weights=image.sum(a)) for a, c in ((1, 50), (0, 80)))
    assert rows == pytest.approx(1 + 1 / 12 + (0.08 * 30) ** 2, rel=0.02)
    assert cols == pytest.approx(1 + 1 / 12, rel=0.02)


def test_cameras_follow_the_size_of_the_panel():
    small = Panel(PANEL.shape, (PANEL.pixel_size[0] / 3, PANEL.pixel_size[1] / 3))
    for camera in (transmission, grazing):
        large_view, small_view = (camera(np.random.default_rng(1), panel, WIDE) for panel in (PANEL, small))
        assert small_view.distance == pytest.approx(large_view.distance / 3)
        np.testing.assert_allclose(small_view.q, large_view.q, rtol=1e-4)
