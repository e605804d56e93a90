"""Liquid crystals and fibres: layer reflections along the director, the molecular halo across it.

    I(q, chi) = sum_n a_n V(q - 2 pi n / d) M(chi; m) + H(q) M(chi + pi/2; m') + diffuse

M: Maier-Saupe orientation, exp(m cos^2(chi - chi_0)) (Maier & Saupe, Z. Naturforsch. 14a (1959) 882; Leadbetter &
Norris, Mol. Phys. 38 (1979) 669). Nematic: broad layer peak; smectic A: sharp orders; smectic C: layers tilted, four
spots; columnar: 1 sqrt3 2 across the director; cholesteric polydomain: m near 0.

Limits: layer d 1.8-5 nm, molecular halo at 13-15.5 nm^-1 (0.4-0.48 nm), m 0-40 (narrow beams of fibres: to 150).
"""

from __future__ import annotations

import math

import numpy as np

from scattering.simulation.geometry import Array, Panel
from scattering.simulation.patterns.cameras import MIDDLE, WIDE, Pattern, log_uniform, transmission
from scattering.simulation.patterns.polar import ANGLE, ANGLES, add_ring, around_beam, graininess, mean_one, q_axis

PHASES = ("nematic", "smectic_a", "smectic_c", "columnar")


def intensity(rng: np.random.Generator, panel: Panel) -> Pattern:
    """Arcs of one phase, with its alkyl halo."""
    geometry = transmission(rng, panel, (WIDE, MIDDLE)[rng.integers(2)])
    q = q_axis(geometry)
    phase = PHASES[rng.integers(len(PHASES))]
    director, order = rng.uniform(-math.pi, math.pi), log_uniform(rng, 0.3, 150)
    polar = layers(rng, q, geometry.q_resolution, phase, director, order)
    center, width = rng.uniform(13, 15.5), rng.uniform(0.7, 2.2)
    halo = log_uniform(rng, 0.05, 0.8) * np.exp(-0.5 * ((q - center) / (width * (1 + 0.4 * (q > center)))) ** 2)
    across = maier_saupe(director + math.pi / 2, order * rng.uniform(0.05, 0.4))
    polar += halo[:, None].astype(np.float32) * across.astype(np.float32)
    rest = log_uniform(rng, 0.003, 0.1) * (0.3 + 1 / (1 + (q * rng.uniform(0.3, 2)) ** 2))
    value = around_beam(polar + rest[:, None].astype(np.float32), geometry)
    return Pattern(value * graininess(rng, geometry, log_uniform(rng, 30, 20000)), geometry)


def maier_saupe(director: float, order: float) -> Array:
    """Orientation distribution exp(m cos^2), mean 1 over the circle, (ANGLES,)."""
    return mean_one(np.exp(order * (np.cos(ANGLE - director) ** 2 - 1)))


def layers(rng: np.random.Generator, q: Array, resolution: float, phase: str, director: float, order: float) -> Array:
    """Layer or column reflections on the polar grid (Q, ANGLES)."""
    first = 2 * math.pi / rng.uniform(1.8, 5)
    ratios = (1, math.sqrt(3), 2, math.sqrt(7)) if phase == "columnar" else (1, 2, 3, 4)
    correlation = rng.uniform(1.5, 6) if phase == "nematic" else log_uniform(rng, 8, 80)
    decay, eta = rng.uniform(0.08, 0.5), rng.uniform(0.2, 0.8)
    angular = maier_saupe(director + math.pi / 2 * (phase == "columnar"), order)
    if phase == "smectic_c":
        tilt = math.radians(rng.uniform(12, 40))
        angular = (maier_saupe(director - tilt, order) + maier_saupe(director + tilt, order)) / 2
    polar = np.zeros((len(q), ANGLES), np.float32)
    for number, ratio in enumerate(ratios):
        sigma = math.hypot(resolution, first / (2.35 * correlation) * math.sqrt(ratio))
        area = decay**number * rng.lognormal(0, 0.3) * 2.5 * sigma
        add_ring(polar, q, first * ratio, sigma, (area * angular).astype(np.float32), eta)
    return polar
