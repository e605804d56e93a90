"""Draws the experiment: how far the detector stands, where the beam hits it, how the film lies.

Distances follow from the size of the panel, so that every detector sees about the same angles. `opening` is the
tangent of the scattering angle at the end of the panel's longer half side. For a PILATUS 2M at 10 keV: WIDE is
0.25-0.38 m (to 25 nm^-1), MIDDLE 0.6-1.4 m, SMALL 2.5-10 m (to 0.7-3 nm^-1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from scattering.simulation.geometry import Array, Geometry, Panel

WIDE = (0.38, 0.58)
MIDDLE = (0.10, 0.24)
SMALL = (0.014, 0.058)


class Pattern(NamedTuple):
    """The result of a category's `intensity`."""

    intensity: Array
    """(H, W), arbitrary unit, before solid angle and polarisation; no background from outside the sample."""
    geometry: Geometry


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw with equal probability per decade."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def period_in_view(rng: np.random.Generator, geometry: Geometry, low: float, high: float) -> float:
    """Period (6-80 nm) whose first order lies between `low` and `high` of q_max: cameras are placed to see it."""
    return float(np.clip(2 * math.pi / (geometry.q_max * log_uniform(rng, low, high)), 6, 80))


def transmission(rng: np.random.Generator, panel: Panel, opening: tuple[float, float]) -> Geometry:
    """Beam through the sample: mostly centred on the panel, at times far off."""
    row, col = rng.normal(0.5, 0.04, 2)
    off_row, off_col = rng.uniform(0.05, 1.0), rng.uniform(0.1, 0.9)
    centred = rng.random() < 0.65
    return _geometry(rng, panel, opening, (row, col) if centred else (off_row, off_col))


def grazing(rng: np.random.Generator, panel: Panel, opening: tuple[float, float]) -> Geometry:
    """Beam reflected from a film: it hits the lower part of the panel; the surface is slightly rotated."""
    center = (rng.uniform(0.62, 0.95), np.clip(rng.normal(0.5, 0.1), 0.1, 0.9))
    incidence, tilt = math.radians(rng.uniform(0.08, 0.25)), math.radians(rng.normal(0, 0.3))
    return _geometry(rng, panel, opening, center, incidence, tilt)


def _geometry(
    rng: np.random.Generator,
    panel: Panel,
    opening: tuple[float, float],
    center: tuple[float, float],
    incidence: float = 0.0,
    tilt: float = 0.0,
) -> Geometry:
    rows, cols = panel.shape
    return Geometry(
        panel=panel,
        distance=max(panel.size) / 2 / log_uniform(rng, *opening),
        beam_center=(center[0] * rows - 0.5, center[1] * cols - 0.5),
        incidence=incidence,
        tilt=tilt,
        spot=log_uniform(rng, 1.5e-4, 6e-4),
    )
