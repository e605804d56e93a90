"""Powder: Debye-Scherrer rings of a polycrystal, or of the silver behenate calibrant.

    I(q, chi) = sum_hkl m |F|^2 exp(-B q^2) / q^2  V(q - q_hkl)  t_hkl(chi)  +  diffuse

m multiplicity, V pseudo-Voigt of variance  s_inst^2 + (K 2 pi / size)^2 + (strain q)^2  (Scherrer 1918, Stokes &
Wilson 1944), t texture and graininess: the number of grains per half degree is finite. |F|^2 is log-normal: the
structure does not matter here, its diversity does. Silver behenate: orders of d = 5.838 nm (Huang et al.,
J. Appl. Cryst. 26 (1993) 180).

Limits: size 5-200 nm, strain 0-1 %, B 0-0.004 nm^2, crystallites per half degree 2-3000.
"""

from __future__ import annotations

import math

import numpy as np

from scattering.simulation.geometry import Array, Geometry, Panel
from scattering.simulation.patterns.cameras import MIDDLE, WIDE, Pattern, log_uniform, transmission
from scattering.simulation.patterns.lattice import draw_cell, families
from scattering.simulation.patterns.polar import ANGLES, add_ring, around_beam, graininess, isotropic, q_axis, texture

BEHENATE_SPACING = 5.838
"""nm."""

LINES = 80
"""Rings at most."""


def intensity(rng: np.random.Generator, panel: Panel) -> Pattern:
    """Rings on a smooth diffuse background."""
    calibrant = rng.random() < 0.12
    geometry = transmission(rng, panel, MIDDLE if calibrant else WIDE)
    centers, areas = behenate_lines(geometry.q_max) if calibrant else crystal_lines(rng, geometry.q_max)
    return Pattern(rings(rng, geometry, centers, areas) + diffuse(rng, geometry), geometry)


def behenate_lines(q_max: float) -> tuple[Array, Array]:
    """Positions (nm^-1) and areas of the 00l rings."""
    order = np.arange(1, math.floor(q_max * BEHENATE_SPACING / (2 * math.pi)) + 1)
    return order * (2 * math.pi / BEHENATE_SPACING), 0.6**order + 0.02


def crystal_lines(rng: np.random.Generator, q_max: float) -> tuple[Array, Array]:
    """Positions (nm^-1) and areas of the rings of a random crystal."""
    q, multiplicity = families(draw_cell(rng, q_max), q_max)
    structure = rng.lognormal(0, 1.0, LINES)
    debye_waller = rng.uniform(0, 0.004)
    q, multiplicity = q[:LINES], multiplicity[:LINES]
    return q, structure[: len(q)] * multiplicity * np.exp(-debye_waller * q**2) / q**2


def rings(rng: np.random.Generator, geometry: Geometry, centers: Array, areas: Array) -> Array:
    """The rings on the detector, the strongest of height about 1."""
    q = q_axis(geometry)
    size, strain = log_uniform(rng, 5, 200), log_uniform(rng, 5e-4, 1e-2)
    sigma = np.sqrt(geometry.q_resolution**2 + (0.4 * 2 * math.pi / size) ** 2 + (strain * centers) ** 2)
    eta, grains = rng.uniform(0.1, 0.7), log_uniform(rng, 2, 3000)
    strength = log_uniform(rng, 0.1, 0.8) if rng.random() < 0.35 else 0.0
    polar = np.zeros((len(q), ANGLES), np.float32)
    areas = areas * (2.5 / (areas / sigma).max())
    for center, width, area, ring_rng in zip(centers, sigma, areas, rng.spawn(LINES), strict=False):
        add_ring(polar, q, center, width, (area * texture(ring_rng, strength)).astype(np.float32), eta)
    return around_beam(polar, geometry) * graininess(rng, geometry, grains)


def diffuse(rng: np.random.Generator, geometry: Geometry) -> Array:
    """Amorphous part and thermal diffuse scattering: a broad hump and a plateau."""
    q = q_axis(geometry)
    height, hump = log_uniform(rng, 0.003, 0.3), log_uniform(rng, 0.1, 3)
    center, width = geometry.q_max * rng.uniform(0.2, 0.6), geometry.q_max * rng.uniform(0.08, 0.25)
    curve = height * (1 + hump * np.exp(-0.5 * ((q - center) / width) ** 2) - 0.5 * q / q[-1])
    return isotropic(curve, geometry)
