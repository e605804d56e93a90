"""Effects of a surface on the scattering of the film on it: refraction at the exit, and the horizon.

    T(alpha) = | 2 sin a / (sin a + sqrt(sin^2 a - sin^2 a_c + 2 i beta)) |^2

is largest (up to 4) at the critical angle: the Yoneda line (Yoneda, Phys. Rev. 131 (1963) 2010; distorted-wave factor
of Sinha et al., Phys. Rev. B 38 (1988) 2297). Below the horizon the substrate absorbs, more the steeper the way;
waviness, sample edges and divergence blur all of it.

Limits: critical angle 0.08-0.35 degrees, blur 0.1-6 mm and bow 1 mm on the detector, light below 1e-4 to 0.3.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from scattering.simulation.geometry import Array, Geometry
from scattering.simulation.patterns.cameras import log_uniform

TABLE = 4096


def exit_factor(rng: np.random.Generator, geometry: Geometry) -> Array:
    """Weight of the film's scattering by exit angle, (H, W)."""
    critical, beta = math.radians(rng.uniform(0.08, 0.35)), log_uniform(rng, 1e-8, 1e-6)
    blur, bow = log_uniform(rng, 1e-4, 6e-3) / geometry.distance, rng.normal(0, 1e-3) / geometry.distance
    leak, decay = log_uniform(rng, 1e-4, 0.3), math.radians(log_uniform(rng, 0.3, 6))
    sideways = geometry.position[0] / np.float32(max(geometry.panel.size))
    exit_angle = geometry.exit_angle + np.float32(bow) * sideways * (4 * sideways + np.float32(rng.normal()))
    alpha = np.linspace(exit_angle.min(), exit_angle.max(), TABLE)
    above = transmitted(np.maximum(alpha, 0), critical, beta)
    table = np.where(alpha > 0, above, leak * np.exp(np.minimum(alpha, 0) / decay))
    table = ndimage.gaussian_filter1d(table, blur / (alpha[1] - alpha[0]), mode="nearest")
    return np.interp(exit_angle, alpha, table).astype(np.float32)


def transmitted(alpha: Array, critical: float, beta: float) -> Array:
    """Fresnel intensity |t|^2 at the angle `alpha` above a surface of critical angle `critical`, rad."""
    sine = np.sin(alpha)
    inside = np.sqrt(sine**2 - math.sin(critical) ** 2 + 2j * beta)
    value: Array = np.abs(2 * sine / (sine + inside)) ** 2
    return value
