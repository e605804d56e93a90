"""Intensity as a function of |q| and an angle, brought to the detector by linear interpolation.

Rings, arcs and spots are products of a radial and an angular profile; on a polar grid each touches a few rows only.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from scattering.simulation.geometry import Array, Geometry

ANGLES = 720
"""Angular bins: half a degree, from -pi to pi."""

ANGLE = np.linspace(-math.pi, math.pi, ANGLES, endpoint=False, dtype=np.float32)


def q_axis(geometry: Geometry) -> Array:
    """Radial bins from 0 to the largest |q|, about three a pixel, nm^-1."""
    rows, cols = geometry.panel.shape
    return np.linspace(0, geometry.q_max, 2 * max(rows, cols), dtype=np.float32)


def pseudo_voigt(x: Array, center: float, sigma: float, eta: float) -> Array:
    """Peak of unit area: (1 - eta) Gaussian + eta Lorentzian of equal full width at half maximum."""
    gamma = 1.1774 * sigma
    gauss = np.exp(-0.5 * ((x - center) / sigma) ** 2) / (2.5066 * sigma)
    peak: Array = (1 - eta) * gauss + eta * gamma / (math.pi * ((x - center) ** 2 + gamma**2))
    return peak


def mean_one(profile: Array) -> Array:
    """`profile` divided by its mean."""
    scaled: Array = profile / profile.mean()
    return scaled


def von_mises(center: float, sigma: float) -> Array:
    """Angular profile of mean 1 around `center` on ANGLE, (ANGLES,); near the centre a Gaussian of `sigma` rad."""
    return mean_one(np.exp((np.cos(ANGLE - center) - 1) / sigma**2))


def add_ring(polar: Array, q: Array, center: float, sigma: float, angular: Array, eta: float = 0.3) -> None:
    """Add to `polar` (Q, ANGLES) a ring: a peak in q, cut off continuously at 12 sigma, times `angular` (ANGLES,)."""
    low, high = np.searchsorted(q, (center - 12 * sigma, center + 12 * sigma))
    if low < high:
        radial = pseudo_voigt(q[low:high], center, sigma, eta)
        polar[low:high] += (radial - min(radial[0], radial[-1])).clip(0)[:, None] * angular


def add_spot(polar: Array, q: Array, center: tuple[float, float], sigma: tuple[float, float], weight: float) -> None:
    """Add to `polar` (Q, ANGLES) a Gaussian of volume `weight` at `center` = (|q|, angle)."""
    low, high = np.searchsorted(q, (center[0] - 5 * sigma[0], center[0] + 5 * sigma[0]))
    left, right = np.searchsorted(ANGLE, (center[1] - 5 * sigma[1], center[1] + 5 * sigma[1]))
    radial = np.exp(-0.5 * ((q[low:high] - center[0]) / sigma[0]) ** 2)
    angular = np.exp(-0.5 * ((ANGLE[left:right] - center[1]) / sigma[1]) ** 2)
    polar[low:high, left:right] += weight / (sigma[0] * sigma[1]) * radial[:, None] * angular


def to_detector(polar: Array, q_max: float, q: Array, angle: Array) -> Array:
    """Value of `polar` (Q, ANGLES) at the maps `q` (0 to q_max) and `angle` (-pi to pi), both (H, W)."""
    closed = np.concatenate([polar, polar[:, :1]], axis=1)
    rows = q * np.float32((len(polar) - 1) / q_max)
    cols = (angle + np.float32(math.pi)) * np.float32(ANGLES / (2 * math.pi))
    return ndimage.map_coordinates(closed, [rows, cols], order=1, mode="nearest", output=np.float32)


def around_beam(polar: Array, geometry: Geometry) -> Array:
    """`polar` over |q| and azimuth about the beam, on the detector."""
    return to_detector(polar, geometry.q_max, geometry.q, geometry.azimuth)


def isotropic(profile: Array, geometry: Geometry) -> Array:
    """The 1-D curve `profile` on `q_axis`, on the detector."""
    return np.interp(geometry.q, q_axis(geometry), profile).astype(np.float32)


def texture(rng: np.random.Generator, strength: float, terms: int = 3, mirrored: bool = False) -> Array:
    """Smooth random angular profile of mean 1, (ANGLES,): even under inversion, `mirrored` also left to right."""
    order = 2 * np.arange(1, terms + 1)[:, None]
    phase, size = rng.uniform(0, 2 * math.pi, (terms, 1)), rng.normal(0, strength, (terms, 1)) / order**0.5
    if mirrored:
        phase = np.round(phase / math.pi) * math.pi
    return mean_one(np.exp((size * np.cos(order * ANGLE - phase)).sum(0)))


def graininess(rng: np.random.Generator, geometry: Geometry, grains: float) -> Array:
    """Uneven filling of rings by `grains` crystallites per half degree, mean 1, (H, W)."""
    spread = np.float32(1 / math.sqrt(grains))
    table = np.exp(spread * rng.standard_normal((240, ANGLES), np.float32) - spread**2 / 2)
    return around_beam(table, geometry)
