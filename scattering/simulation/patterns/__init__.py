"""The categories of scattering pattern: one file each, with formula, source and limits of its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from scattering.simulation.geometry import Panel
from scattering.simulation.patterns import amorphous, bcp, gisaxs, giwaxs, liquid_crystal, powder, saxs, spotty
from scattering.simulation.patterns.cameras import Pattern

Intensity: TypeAlias = Callable[[np.random.Generator, Panel], Pattern]

PATTERNS: dict[str, Intensity] = {
    "powder": powder.intensity,
    "spotty": spotty.intensity,
    "amorphous": amorphous.intensity,
    "saxs": saxs.intensity,
    "bcp": bcp.intensity,
    "liquid_crystal": liquid_crystal.intensity,
    "giwaxs": giwaxs.intensity,
    "gisaxs": gisaxs.intensity,
}

CATEGORY_WEIGHTS: dict[str, float] = {
    "powder": 0.14,
    "spotty": 0.06,
    "amorphous": 0.12,
    "saxs": 0.14,
    "bcp": 0.14,
    "liquid_crystal": 0.10,
    "giwaxs": 0.20,
    "gisaxs": 0.10,
}
"""Share of each category in a data set: about those of the training images of a SAXS/WAXS beamline."""
