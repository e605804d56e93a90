"""Spotty rings: few crystallites in the beam, each a sharp spot where a reflection meets the Ewald sphere.

    spot at s_out = (k + G) / |k + G|   with weight   |F|^2 / G^2  exp(-e^2 / 2 w^2),   e = | |k + G| - k |

G = R hkl B, R a random rotation for each crystallite (Shoemake's uniform quaternions, Graphics Gems III, 1992); w is
the reach of the rocking curve (mosaic, divergence, band width). A spot is a Gaussian: the beam's image in the radial
direction, widened by the mosaic spread along the ring. Few large crystallites give separate spots, thousands give
grainy rings; a fine powder of the same phase and a glassy halo lie beneath.

Limits: 20-2000 crystallites (volumes log-normal), mosaic spread 0.03-0.5 degrees.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from scattering.simulation.geometry import Array, Geometry, Panel
from scattering.simulation.patterns import powder
from scattering.simulation.patterns.cameras import WIDE, Pattern, log_uniform, transmission
from scattering.simulation.patterns.lattice import Cell, draw_cell, families, reciprocal_points
from scattering.simulation.patterns.polar import isotropic, q_axis

SPOTS = 2000
"""Spots drawn at most: the strongest."""

CANDIDATES = 100_000
"""Reflections of all crystallites together at most."""

REACH = 4.0
"""Half width of a spot's patch in standard deviations."""


def intensity(rng: np.random.Generator, panel: Panel) -> Pattern:
    """Spots over a fine powder's rings and a halo."""
    geometry = transmission(rng, panel, WIDE)
    cell = draw_cell(rng, geometry.q_max, shortest=0.4, longest=1.6)
    mosaic = math.radians(log_uniform(rng, 0.03, 0.5))
    sharp = spots(rng, geometry, cell, mosaic)
    centers, multiplicity = families(cell, geometry.q_max)
    centers, multiplicity = centers[: powder.LINES], multiplicity[: powder.LINES]
    areas = rng.lognormal(0, 0.7, powder.LINES)[: len(centers)] * multiplicity / centers**2
    fine = log_uniform(rng, 3e-4, 0.05) * powder.rings(rng, geometry, centers, areas)
    return Pattern(sharp + fine + halo(rng, geometry), geometry)


def rotations(rng: np.random.Generator, number: int) -> Array:
    """Uniform random rotation matrices, (number, 3, 3)."""
    x, y, z, w = (v := rng.normal(size=(4, number))) / np.sqrt((v**2).sum(0))
    return np.moveaxis(
        np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        ),
        2,
        0,
    )


def spots(rng: np.random.Generator, geometry: Geometry, cell: Cell, mosaic: float) -> Array:
    """All crystallites' spots, (H, W), the strong ones of height about 1."""
    hkl, vectors = reciprocal_points(cell, geometry.q_max)
    grains = min(round(log_uniform(rng, 20, 2000)), CANDIDATES // len(vectors))
    turn, volume, reach = rotations(rng, grains), rng.lognormal(0, 1, grains), log_uniform(rng, 0.02, 0.4)
    structure = rng.lognormal(0, 1.0, powder.LINES)[np.abs(hkl).sum(1) % powder.LINES]
    turned = np.einsum("gij,nj->gni", turn, vectors).reshape(-1, 3)
    weight = (volume[:, None] * structure / (vectors**2).sum(1)).reshape(-1)
    outgoing = turned + np.array([0, 0, geometry.wavenumber])
    length = np.linalg.norm(outgoing, axis=1)
    weight = weight * np.exp(-0.5 * ((length - geometry.wavenumber) / reach) ** 2)
    strongest = np.argsort(-weight)[:SPOTS]
    position = outgoing[strongest, :2] / outgoing[strongest, 2:] * geometry.distance
    weight = weight[strongest]
    return stamp(geometry, position, weight / max(weight[len(weight) // 50], 0.02 * weight[0]), mosaic)


def stamp(geometry: Geometry, position: Array, flux: Array, mosaic: float) -> Array:
    """Gaussian spots of `flux` (N,) at `position` (N, 2: right and up, m), `mosaic` (rad) long."""
    rows, cols = geometry.panel.shape
    pixel = np.array(geometry.panel.pixel_size)
    radius = np.hypot(*position.T)
    narrow = math.hypot(geometry.spot, math.sqrt(pixel.prod() / 12))
    wide = np.hypot(narrow, mosaic * radius)
    center = np.array(geometry.beam_center) + position[:, ::-1] * (-1, 1) / pixel
    half = math.ceil(REACH * max(narrow, np.median(wide)) / pixel.min())
    steps = np.arange(-half, half + 1)
    row, col = (np.round(center[:, axis]).astype(np.int64)[:, None] + steps for axis in (0, 1))
    down, right = (row - center[:, :1]) * pixel[0], (col - center[:, 1:]) * pixel[1]
    cos, sin = (position / np.maximum(radius, 1e-9)[:, None]).T[:, :, None, None]
    radial = right[:, None, :] * cos - down[:, :, None] * sin
    along = right[:, None, :] * sin + down[:, :, None] * cos
    exponent = (radial / narrow) ** 2 + (along / wide[:, None, None]) ** 2
    peak = flux * geometry.spot**2 / (narrow * wide)
    value = peak[:, None, None] * np.exp(-0.5 * exponent)
    inside = ((row >= 0) & (row < rows))[:, :, None] & ((col >= 0) & (col < cols))[:, None, :]
    index: npt.NDArray[np.int64] = (row[:, :, None] * cols + col[:, None, :])[inside]
    return np.bincount(index, value[inside], rows * cols).reshape(rows, cols).astype(np.float32)


def halo(rng: np.random.Generator, geometry: Geometry) -> Array:
    """Glass, solvent or mounting medium: one ring of diffuse scattering on a plateau."""
    q = q_axis(geometry)
    height, floor = log_uniform(rng, 5e-4, 0.05), rng.uniform(0.1, 0.6)
    center, width = rng.uniform(10, 19), rng.uniform(1.5, 4)
    return isotropic(height * (floor + np.exp(-0.5 * ((q - center) / width) ** 2)), geometry)
