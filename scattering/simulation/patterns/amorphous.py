"""Amorphous and liquid: halos of polymers, glasses and liquids at wide angle.

    I(q, chi) = sum_j a_j H_j(q) t_j(chi) + P q^-p + c,      H_0(q) = S_PY(q; d, phi) exp(-q^2 s^2)

S_PY: structure factor of hard spheres in the Percus-Yevick approximation (Percus & Yevick, Phys. Rev. 110 (1958) 1;
closed form of Ashcroft & Lekner, Phys. Rev. 145 (1966) 83); S_PY(0) = (1 - phi)^4 / (1 + 2 phi)^2. Further halos are
log-normal in q, hence skewed. Drawn or extruded polymers have halos that gather on the equator or the meridian.

Limits: d 0.3-0.65 nm, phi 0.2-0.5, halos 1-3 at 4-22 nm^-1.
"""

from __future__ import annotations

import math

import numpy as np

from scattering.simulation.geometry import Array, Panel
from scattering.simulation.patterns.cameras import WIDE, Pattern, log_uniform, transmission
from scattering.simulation.patterns.polar import ANGLES, around_beam, q_axis, von_mises


def intensity(rng: np.random.Generator, panel: Panel) -> Pattern:
    """Halos, isotropic or oriented."""
    geometry = transmission(rng, panel, WIDE)
    q = q_axis(geometry)
    axis = rng.uniform(-math.pi, math.pi)
    oriented = rng.random() < 0.4
    liquid = hard_spheres(q, rng.uniform(0.3, 0.65), rng.uniform(0.2, 0.5)) * np.exp(
        -((rng.uniform(0, 0.08) * q) ** 2)
    )
    small_angle = log_uniform(rng, 0.02, 0.5) + log_uniform(rng, 0.01, 1) * (np.maximum(q, 0.3) / 2) ** -rng.uniform(
        1.5, 4
    )
    polar = np.repeat((rng.uniform(0.1, 1) * liquid + small_angle)[:, None], ANGLES, axis=1).astype(np.float32)
    for _ in range(rng.integers(1, 4)):
        center, width, height = rng.uniform(5, 22), log_uniform(rng, 0.1, 0.4), log_uniform(rng, 0.1, 2)
        width = max(width, 1.2 / center)
        hump = height * np.exp(-0.5 * (np.log(np.maximum(q, 0.1) / center) / width) ** 2)
        polar += hump[:, None].astype(np.float32) * orientation(rng, axis, oriented)
    return Pattern(around_beam(polar, geometry), geometry)


def hard_spheres(q: Array, diameter: float, packing: float) -> Array:
    """Percus-Yevick structure factor of spheres of `diameter` (nm) filling the fraction `packing`; q in nm^-1."""
    x = np.maximum(np.asarray(q, np.float64) * diameter, 0.05)  # below 0.05 the closed form cancels
    alpha = (1 + 2 * packing) ** 2 / (1 - packing) ** 4
    beta = -6 * packing * (1 + packing / 2) ** 2 / (1 - packing) ** 4
    gamma = packing * alpha / 2
    sin, cos = np.sin(x), np.cos(x)
    first = alpha * (sin - x * cos) / x**2
    second = beta * (2 * x * sin + (2 - x**2) * cos - 2) / x**3
    third = gamma * (-(x**4) * cos + 4 * ((3 * x**2 - 6) * cos + (x**3 - 6 * x) * sin + 6)) / x**5
    factor: Array = 1 / (1 + 24 * packing * (first + second + third) / x)
    return factor


def orientation(rng: np.random.Generator, axis: float, oriented: bool) -> Array:
    """Angular profile of mean 1: flat, or gathered along or across `axis` (rad), (ANGLES,)."""
    spread, share = rng.uniform(0.25, 0.9), rng.uniform(0.2, 0.95) * oriented
    across = axis + math.pi / 2 * rng.integers(2)
    profile = von_mises(across, spread) + von_mises(across + math.pi, spread)
    return (1 - share + share * profile / 2).astype(np.float32)
