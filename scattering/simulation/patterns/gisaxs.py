"""Thin film at small angle and grazing incidence: rods, fringes, side maxima, the Yoneda line.

    I = T(alpha_f) [ sum_j R_j(|q_ip|) Z_j(q_oop) + F(|q_ip| a, q_oop b) ]

R_j: truncation rods at the in-plane reflections, wider with order (paracrystal); Z_j: form factor of height b along
the rod, with fringes of a distribution of thicknesses, or peaks of a stacked film, once for the incoming and once for
the reflected beam, apart by 2 k sin(alpha_i) (Lee et al., Macromolecules 38 (2005) 4311; Renaud et al., Surf. Sci.
Rep. 64 (2009) 255). F: isotropic islands. T: `film`. The specular plane carries a bright narrow streak.

Limits: period 6-80 nm, thickness 15-200 nm with 2-15 % spread, paracrystal disorder 3-30 %.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from scattering.simulation.geometry import Array, Geometry, Panel
from scattering.simulation.patterns.bcp import RATIOS
from scattering.simulation.patterns.cameras import SMALL, Pattern, grazing, log_uniform, period_in_view
from scattering.simulation.patterns.film import exit_factor
from scattering.simulation.patterns.saxs import sphere_amplitude

STACKINGS = ("islands", "standing", "layered", "superlattice")


def intensity(rng: np.random.Generator, panel: Panel) -> Pattern:
    """One kind of film."""
    geometry = grazing(rng, panel, SMALL)
    q_ip, q_oop = geometry.surface_q
    rows, cols = panel.shape
    across = np.linspace(0, np.abs(q_ip).max(), 2 * cols)
    upward = np.linspace(q_oop.min(), q_oop.max(), 2 * rows)
    table = film_map(rng, geometry, across, upward).astype(np.float32)
    col = np.abs(q_ip) * np.float32((len(across) - 1) / across[-1])
    row = (q_oop - np.float32(upward[0])) * np.float32((len(upward) - 1) / (upward[-1] - upward[0]))
    film = ndimage.map_coordinates(table, [row, col], order=1, mode="nearest", output=np.float32)
    return Pattern(film * exit_factor(rng, geometry), geometry)


def film_map(rng: np.random.Generator, geometry: Geometry, across: Array, upward: Array) -> Array:
    """Scattering by (q_oop, |q_ip|), shape (len(upward), len(across)), before refraction."""
    kind = STACKINGS[rng.integers(len(STACKINGS))]
    period = period_in_view(rng, geometry, 0.05, 0.35)
    thickness = rng.uniform(15, 200) * rng.lognormal(0, 0.2)
    total = specular_plane(rng, geometry, across, upward, thickness)
    total += dome(rng, across, upward, period)
    decay = (1 + (np.abs(upward) * period * rng.uniform(0.05, 0.4)) ** 2) ** -rng.uniform(0.6, 1.6)
    shift = 2 * geometry.wavenumber * math.sin(geometry.incidence)
    for number, rod in enumerate(rods(rng, geometry, across, period, kind)):
        along = decay * fringes(rng, upward, thickness, contrast=0.5 * (kind != "islands"))
        if kind in ("layered", "superlattice"):
            offset = 0.5 * (number % 2) * (kind == "superlattice")
            along = along * stacked(rng, upward, period * rng.uniform(0.7, 1.0), offset, shift)
        total += along[:, None] * rod
    return total


def rods(rng: np.random.Generator, geometry: Geometry, across: Array, period: float, kind: str) -> list[Array]:
    """In-plane profiles of the rods; for a film layered parallel to the surface, one broad profile."""
    first = 2 * math.pi / period
    if kind == "layered":
        return [(1 + (across * period * rng.uniform(0.1, 1.5)) ** 2) ** -rng.uniform(0.7, 1.5)]
    lattice = ("lamellae", "cylinders", "spheres")[rng.integers(3)]
    disorder = log_uniform(rng, 0.03, 0.12) if kind != "islands" else rng.uniform(0.12, 0.3)
    size = log_uniform(rng, 4, 40)
    profiles = []
    for ratio in RATIOS[lattice][: 2 if kind == "islands" else 6]:
        width = math.hypot(geometry.q_resolution, first / size) + first * disorder**2 * ratio**2 * 2
        height = rng.lognormal(0, 0.5) / ratio**2.5 * 0.6
        profiles.append(height / (1 + ((across - first * ratio) / width) ** 2) ** 1.5)
    return profiles


def fringes(rng: np.random.Generator, upward: Array, thickness: float, contrast: float) -> Array:
    """1 + sum of cosines of two or three thicknesses, each damped by its own spread."""
    total = np.ones_like(upward)
    for _ in range(rng.integers(2, 4)):
        layer, spread = thickness * rng.uniform(0.25, 1.1), rng.uniform(0.02, 0.15)
        damping = np.exp(-0.5 * (upward * layer * spread) ** 2)
        total += contrast * rng.uniform(0.1, 0.6) * damping * np.cos(upward * layer + rng.uniform(0, 2 * math.pi))
    return np.maximum(total, 0.03)


def stacked(rng: np.random.Generator, upward: Array, period: float, offset: float, shift: float) -> Array:
    """Bragg peaks along q_oop of `period` (nm), for the transmitted and the reflected incoming beam."""
    first, disorder, floor = 2 * math.pi / period, rng.uniform(0.02, 0.1), log_uniform(rng, 0.01, 0.3)
    total = np.full_like(upward, floor)
    for order in range(5):
        center = (order + offset) * first
        width = first * (0.04 + disorder * (order + 1) ** 1.5)
        for place, share in ((center, 1.0), (center + shift, rng.uniform(0.1, 0.9))):
            total += share * rng.lognormal(0, 0.4) * 0.5**order / (1 + ((upward - place) / width) ** 2)
    return total


def specular_plane(
    rng: np.random.Generator, geometry: Geometry, across: Array, upward: Array, thickness: float
) -> Array:
    """The streak at q_ip = 0: roughness correlated over long distances, with Kiessig fringes."""
    width, power = geometry.q_resolution * log_uniform(rng, 1, 6), rng.uniform(0.8, 1.6)
    along = (0.1 + np.abs(upward)) ** -rng.uniform(1, 2.5) * fringes(rng, upward, thickness, 0.9)
    spread = log_uniform(rng, 0.02, 0.3)
    wide = fringes(rng, upward, thickness, 0.4) * np.exp(-np.abs(upward) * rng.uniform(0.5, 3))
    streak = log_uniform(rng, 0.01, 0.3) * along[:, None] / (1 + (across / width) ** 2) ** power
    return streak + log_uniform(rng, 0.02, 1) * wide[:, None] / (1 + (across / spread) ** 2) ** power


def dome(rng: np.random.Generator, across: Array, upward: Array, period: float) -> Array:
    """Unoriented or spherical part: a correlation ring and the spheres' envelope over |q|."""
    height, aspect = log_uniform(rng, 0.01, 1), log_uniform(rng, 0.6, 1.6)
    q = np.hypot(across[None, :], upward[:, None] * aspect)
    axis = np.linspace(0, q.max(), 2000)
    radii = period * rng.uniform(0.2, 0.4) * (1 + rng.uniform(0.05, 0.25) * np.linspace(-2, 2, 15)[:, None])
    envelope = (np.exp(-0.5 * np.linspace(-2, 2, 15)[:, None] ** 2) * sphere_amplitude(axis * radii) ** 2).mean(0)
    width = rng.uniform(0.15, 0.6)
    ring = 0.3 + 1 / (1 + ((axis * period / (2 * math.pi) - 1) / width) ** 2)
    curve = height * (envelope * ring + rng.uniform(0, 3e-3))
    return np.asarray(np.interp(q, axis, curve))
