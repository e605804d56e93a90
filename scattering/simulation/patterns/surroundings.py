"""Surroundings of the sample: air and window scattering, slit flares, background, beamstop, arm, flight tube.

Measured on frames of many beamlines (air: q^-1.8 to q^-3.2). Lengths scale with the panel.
"""

from __future__ import annotations

import math

import numpy as np

from scattering.arrays import Bools
from scattering.simulation.geometry import Array, Geometry
from scattering.simulation.patterns.cameras import log_uniform


def air(rng: np.random.Generator, geometry: Geometry) -> Array:
    """Scattering around the direct beam by air and windows, (H, W); 1 at a quarter of the largest q."""
    quarter = geometry.q_max / 4
    return ((geometry.q + 0.02 * quarter) / quarter) ** np.float32(-rng.uniform(1.8, 3.2))


def flares(rng: np.random.Generator, geometry: Geometry) -> Array:
    """Streaks from slits and beamstop edges through the direct beam, (H, W); 1 near the beam, often 0."""
    right, up = geometry.position
    total = np.zeros(geometry.panel.shape, np.float32)
    half = max(geometry.panel.size) / 2
    for _ in range(rng.choice(4, p=(0.55, 0.25, 0.15, 0.05))):
        angle = rng.choice((0, math.pi / 2)) + rng.normal(0, 0.06)
        along = right * np.float32(math.cos(angle)) + up * np.float32(math.sin(angle))
        away = up * np.float32(math.cos(angle)) - right * np.float32(math.sin(angle))
        length, width = half * log_uniform(rng, 0.05, 0.4), half * log_uniform(rng, 0.004, 0.015)
        one_sided = (along > 0) if rng.random() < 0.4 else 1
        spreading = width + np.abs(along) * np.float32(rng.uniform(0, 0.03))
        total += one_sided * np.exp(-((away / spreading) ** 2)) / (1 + np.abs(along) / np.float32(length)) ** 3
    return total


def shadow(rng: np.random.Generator, geometry: Geometry) -> Array | None:
    """Transmission of the flight tube or sample chamber: a bright disc with a soft rim, (H, W); rarely any."""
    small_angle = geometry.distance > 4 * max(geometry.panel.size)
    present = rng.random() < (0.12 if small_angle else 0.015)
    half = max(geometry.panel.size) / 2
    radius, rim = half * rng.uniform(0.7, 1.25), half * log_uniform(rng, 0.004, 0.06)
    leak, offset = log_uniform(rng, 0.02, 0.5), half * rng.normal(0, 0.1, 2)
    if not present:
        return None
    right, up = geometry.position
    away = np.hypot(right - np.float32(offset[0]), up - np.float32(offset[1]))
    inside = 1 / (1 + np.exp(np.clip((away - np.float32(radius)) / np.float32(rim), -50, 50)))
    transmitted: Array = leak + (1 - leak) * inside
    return transmitted


def beamstop(rng: np.random.Generator, geometry: Geometry) -> Bools:
    """Beamstop and its arm: True where they hide the detector, (H, W)."""
    right, up = geometry.position
    half = max(geometry.panel.size) / 2
    radius, width = half * log_uniform(rng, 0.018, 0.08), half * log_uniform(rng, 0.004, 0.012)
    angle = math.pi / 2 * rng.choice((0, 1, 2, 3), p=(0.15, 0.1, 0.15, 0.6)) + rng.normal(0, 0.25)
    round_stop, has_arm = rng.random() < 0.8, rng.random() < 0.85
    if geometry.incidence:
        return bar(rng, geometry, radius)
    along = right * np.float32(math.cos(angle)) + up * np.float32(math.sin(angle))
    away = up * np.float32(math.cos(angle)) - right * np.float32(math.sin(angle))
    stop = along**2 + away**2 < radius**2 if round_stop else np.maximum(np.abs(along), np.abs(away)) < radius
    return stop | ((along > 0) & (np.abs(away) < width)) if has_arm else stop


def bar(rng: np.random.Generator, geometry: Geometry, width: float) -> Bools:
    """Beamstop of grazing incidence: a bar from below that hides the direct and often the specular beam."""
    right, up = geometry.position
    specular = geometry.distance * math.tan(2 * geometry.incidence)
    top = width + specular * rng.choice((0, 1.2)) * (rng.random() < 0.8)
    half_width = width * rng.uniform(0.4, 0.8)
    bottom = -math.inf if rng.random() < 0.7 else -width
    hidden: Bools = (np.abs(right) < half_width) & (up < top) & (up > bottom)
    return hidden
