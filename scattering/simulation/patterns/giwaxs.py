"""Thin film at wide angle and grazing incidence: arcs, spots and rings over (|q|, angle from the surface normal).

    I = T(alpha_f) [ sum_G a_G exp(-(q - G)^2 / 2 s^2) exp(-(w - w_G)^2 / 2 m^2) + halo(q, w) ]

Fibre texture: crystallites share the out-of-plane axis and are random about it, so that a reflection G appears at
w_G = atan2(|G_ip|, G_oop) on both sides, with weight ~ 1 / |G_ip| (Breiby et al., J. Appl. Cryst. 41 (2008) 262;
Rivnay et al., Chem. Rev. 112 (2012) 5488). Three kinds of film:

    polymer   lamellar h00 along one direction, pi stacking (0.34-0.40 nm) across it, halo
    crystal   spots of a random cell with a low-index axis out of plane (perovskite, small molecule)
    oxide     rings with weak texture

Limits: lamellar d 1.4-3.2 nm, mosaic 1-40 degrees, halo at 9-17 nm^-1.
"""

from __future__ import annotations

import math

import numpy as np

from scattering.simulation.geometry import Array, Geometry, Panel
from scattering.simulation.patterns.cameras import WIDE, Pattern, grazing, log_uniform
from scattering.simulation.patterns.film import exit_factor
from scattering.simulation.patterns.lattice import draw_cell, families, reciprocal_points
from scattering.simulation.patterns.polar import (
    ANGLE,
    add_ring,
    add_spot,
    graininess,
    q_axis,
    texture,
    to_detector,
    von_mises,
)

LIMIT = 150
"""Reflections at most."""


def intensity(rng: np.random.Generator, panel: Panel) -> Pattern:
    """One kind of film, its halo, and at times a second, polycrystalline layer."""
    geometry = grazing(rng, panel, WIDE)
    q = q_axis(geometry)
    polar = halo(rng, q)
    kind = (polymer, polymer, crystal, oxide)[rng.integers(4)]
    kind(rng, geometry, polar)
    if rng.random() < 0.25:
        oxide(rng, geometry, polar)
    q_ip, q_oop = geometry.surface_q
    film = to_detector(polar, geometry.q_max, geometry.q, np.arctan2(q_ip, q_oop))
    film *= graininess(rng, geometry, log_uniform(rng, 50, 20000))
    return Pattern(film * exit_factor(rng, geometry) * sideways(rng, geometry), geometry)


def sideways(rng: np.random.Generator, geometry: Geometry) -> Array:
    """Left and right differ a little: the footprint is off centre, the film uneven, (1, W)."""
    right = geometry.position[0] / np.float32(max(geometry.panel.size))
    return np.exp(np.float32(rng.normal(0, 0.3)) * right + np.float32(rng.normal(0, 0.3)) * right**2)


def polymer(rng: np.random.Generator, geometry: Geometry, polar: Array) -> None:
    """Lamellar arcs and the pi-stacking arc: edge-on, face-on, or a mixture."""
    q = q_axis(geometry)
    first, decay = 2 * math.pi / rng.uniform(1.4, 3.2), rng.uniform(0.15, 0.5)
    edge_on, mosaic = rng.beta(0.5, 0.5), math.radians(log_uniform(rng, 4, 40))
    coherence, share = log_uniform(rng, 6, 40), rng.uniform(0.4, 0.97)
    normal = von_mises(0, mosaic)
    plane = (von_mises(math.pi / 2, mosaic) + von_mises(-math.pi / 2, mosaic)) / 2
    stacking = log_uniform(rng, 0.02, 0.5), 2 * math.pi / rng.uniform(0.34, 0.40), rng.uniform(0.5, 1.4)
    lines = [(decay**n, first * (n + 1), math.hypot(geometry.q_resolution, (n + 1) / coherence)) for n in range(5)]
    for number, (height, center, sigma) in enumerate([*lines, stacking]):
        up = edge_on if number < len(lines) else 1 - edge_on
        angular = (1 - share + share * (up * normal + (1 - up) * plane)) * height * 2.5 * sigma
        add_ring(polar, q, center, sigma, (angular * texture(rng, 0.05, mirrored=True)).astype(np.float32))


def crystal(rng: np.random.Generator, geometry: Geometry, polar: Array) -> None:
    """Spots of a fibre-textured crystal; mosaic from needle-sharp to arcs."""
    q = q_axis(geometry)
    _, vectors = reciprocal_points(draw_cell(rng, geometry.q_max, 0.5, 2.0), geometry.q_max)
    axis = np.array([(0, 0, 1), (1, 0, 0), (1, 1, 0), (1, 1, 1), (0, 1, 2)][rng.integers(5)], float)
    oop = (vectors * (axis / np.linalg.norm(axis))).sum(1)
    length = np.linalg.norm(vectors, axis=1)
    ip = np.sqrt(np.maximum(length**2 - oop**2, 0))
    mosaic = math.radians(log_uniform(rng, 1, 12))
    sigma = math.hypot(geometry.q_resolution, log_uniform(rng, 0.02, 0.2))
    strength = rng.lognormal(0, 1.3, LIMIT) * np.exp(-rng.uniform(0, 0.01) * np.arange(LIMIT))
    shown = np.flatnonzero(oop >= 0)
    shown = shown[np.argsort(length[shown], kind="stable")][:LIMIT]
    for index, weight in zip(shown, strength, strict=False):
        weight *= 3 * sigma * mosaic / (ip[index] + mosaic * length[index] + 0.5)
        for side in (-1, 1):
            angle = side * math.atan2(ip[index], oop[index])
            add_spot(polar, q, (length[index], angle), (sigma * (1 + 0.02 * length[index]), mosaic), weight)


def oxide(rng: np.random.Generator, geometry: Geometry, polar: Array) -> None:
    """Rings of a polycrystalline layer, weakly textured about the normal."""
    q = q_axis(geometry)
    centers, multiplicity = families(draw_cell(rng, geometry.q_max, 0.4, 1.0), geometry.q_max)
    strength, structure = log_uniform(rng, 0.05, 0.8), rng.lognormal(0, 1, LIMIT)
    sigma, height = math.hypot(geometry.q_resolution, log_uniform(rng, 0.03, 0.3)), log_uniform(rng, 0.1, 3)
    sizes = structure[: len(centers)] * (multiplicity / centers**2)[:LIMIT]
    for center, size, ring_rng in zip(centers, sizes / sizes.max(), rng.spawn(LIMIT), strict=False):
        angular = texture(ring_rng, strength, mirrored=True) * (size * height * 2.5 * sigma)
        add_ring(polar, q, center, sigma, angular.astype(np.float32))


def halo(rng: np.random.Generator, q: Array) -> Array:
    """Amorphous part: an elliptic, skewed hump, uneven in angle, over small-angle scattering, (Q, ANGLES)."""
    center, width = rng.uniform(9, 17), rng.uniform(0.12, 0.35)
    ellipse = rng.normal(0, 0.03)
    height, rise, power = log_uniform(rng, 0.01, 0.6), log_uniform(rng, 0.003, 0.3), rng.uniform(1.2, 3.2)
    stretch = (1 + ellipse * np.cos(2 * ANGLE)).astype(np.float32)
    scaled = np.log(np.maximum(q, 0.2))[:, None] + np.log(stretch / np.float32(center))
    hump: Array = np.exp(np.float32(-0.5 / width**2) * scaled**2)
    hump *= (height * texture(rng, 0.3, 2, mirrored=True)).astype(np.float32)
    small_angle = rise * (np.maximum(q, 0.4) / 2) ** -power
    hump += (small_angle[:, None] * texture(rng, 0.25, 2, mirrored=True) + 0.2 * height).astype(np.float32)
    return hump
