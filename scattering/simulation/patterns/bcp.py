"""Block copolymers: microphase-separated domains at small angle.

    I(q, chi) = F(q) [ sum_j m_j exp(-u^2 q^2) V(q - q* r_j) t_j(chi) + c (1 - exp(-u^2 q^2)) ] + leak(q)

r_j: lamellae 1 2 3 4 5, hexagonal cylinders 1 sqrt3 2 sqrt7 3, spheres (bcc) 1 sqrt2 sqrt3, gyroid sqrt6 sqrt8 sqrt14
(over sqrt6), disordered: Leibler's single peak 1 / (F_Debye-like - 2 chi) drawn as a Lorentzian (Leibler,
Macromolecules 13 (1980) 1602; Hamley, The Physics of Block Copolymers, 1998). F(q): sphere or slab envelope with
minima. Shear makes spots: two for lamellae, six for cylinders.

Limits: period 6-80 nm, grain size 3-40 periods, u 0.05-0.15 periods.
"""

from __future__ import annotations

import math

import numpy as np

from scattering.simulation.geometry import Array, Panel
from scattering.simulation.patterns.cameras import SMALL, Pattern, log_uniform, period_in_view, transmission
from scattering.simulation.patterns.polar import ANGLES, add_ring, around_beam, graininess, q_axis, texture, von_mises
from scattering.simulation.patterns.saxs import polydisperse

RATIOS: dict[str, tuple[float, ...]] = {
    "lamellae": (1, 2, 3, 4, 5, 6),
    "cylinders": tuple(math.sqrt(n) for n in (1, 3, 4, 7, 9, 12, 13)),
    "spheres": tuple(math.sqrt(n) for n in (1, 2, 3, 4, 5, 6, 7)),
    "gyroid": tuple(math.sqrt(n / 6) for n in (6, 8, 14, 16, 20, 22, 24, 26)),
    "disordered": (1,),
}
FOLD = {"lamellae": 2, "cylinders": 6, "spheres": 4, "gyroid": 6, "disordered": 2}
"""Number of spots on a ring of an oriented sample."""


def intensity(rng: np.random.Generator, panel: Panel) -> Pattern:
    """Rings or oriented spots of one morphology."""
    geometry = transmission(rng, panel, SMALL)
    q = q_axis(geometry)
    morphology = list(RATIOS)[rng.choice(5, p=(0.3, 0.3, 0.15, 0.1, 0.15))]
    period = period_in_view(rng, geometry, 0.07, 0.45)
    displacement = rng.uniform(0.05, 0.15) * period
    polar = peaks(rng, q, geometry.q_resolution, morphology, period, displacement)
    polar += (log_uniform(rng, 0.03, 0.5) * -np.expm1(-((displacement * q) ** 2)))[:, None].astype(np.float32)
    envelope = polydisperse(q, 0.3 * period * rng.uniform(0.7, 1.2), rng.uniform(0.05, 0.3))
    envelope = envelope / envelope[0] + log_uniform(rng, 0.003, 0.1)
    leak = log_uniform(rng, 1e-3, 0.3) * (1 + (q * period / 4) ** 2) ** -rng.uniform(1, 2) + 1e-5
    polar = polar * envelope[:, None].astype(np.float32) + leak[:, None].astype(np.float32)
    value = around_beam(polar, geometry)
    return Pattern(value * graininess(rng, geometry, log_uniform(rng, 200, 50000)), geometry)


def peaks(
    rng: np.random.Generator, q: Array, resolution: float, morphology: str, period: float, displacement: float
) -> Array:
    """Reflections on the polar grid (Q, ANGLES), the first of height about 1."""
    first, grain = 2 * math.pi / period, log_uniform(rng, 3, 40)
    if morphology == "disordered":
        grain = rng.uniform(0.8, 2)
    eta = rng.uniform(0.2, 0.8)
    turn, spread, share = rng.uniform(-math.pi, math.pi), rng.uniform(0.05, 0.5), rng.uniform(0.3, 0.98)
    aligned, common = rng.random() < 0.45, texture(rng, 0.25)
    polar = np.zeros((len(q), ANGLES), np.float32)
    for number, ratio in enumerate(RATIOS[morphology]):
        sigma = math.hypot(resolution, first / (2.35 * grain) * math.sqrt(ratio))
        offset = math.pi / 6 * (number % 2) if morphology == "cylinders" else 0.0
        angular = common
        if aligned:
            angular = angular * (1 - share + share * spots(FOLD[morphology], turn + offset, spread))
        area = rng.lognormal(0, 0.4) * math.exp(-((displacement * first * ratio) ** 2)) * 2.5 * sigma
        add_ring(polar, q, first * ratio, sigma, (area * angular).astype(np.float32), eta)
    return polar


def spots(fold: int, turn: float, spread: float) -> Array:
    """`fold` equal peaks around the circle, mean 1, (ANGLES,)."""
    step = 2 * math.pi / fold
    total: Array = sum((von_mises(turn + step * n, spread) for n in range(fold)), np.zeros(ANGLES)) / fold
    return total
