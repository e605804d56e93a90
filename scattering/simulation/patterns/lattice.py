"""Reciprocal lattices: which reflections a crystal has, and where.

The reciprocal matrix is B = 2 pi (A^-1)^T with the lattice vectors as rows of A; reflection conditions are those of
International Tables for Crystallography A, table 2.2.13.1. Lattice parameters in nm: powder standards (LaB6 NIST
SRM 660c, Si 640d, CeO2 674b, alumina 676a) and common materials.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scattering.arrays import Bools
from scattering.simulation.geometry import Array


class Cell(NamedTuple):
    """Unit cell with alpha = beta = 90 degrees; lengths in nm, gamma in degrees."""

    a: float
    b: float
    c: float
    gamma: float = 90.0
    centring: str = "P"
    """P, I, F, R (hexagonal axes, obverse) or D (diamond)."""


MATERIALS = (
    Cell(0.41569, 0.41569, 0.41569),  # LaB6
    Cell(0.54312, 0.54312, 0.54312, centring="D"),  # Si
    Cell(0.54115, 0.54115, 0.54115, centring="F"),  # CeO2
    Cell(0.47594, 0.47594, 1.29925, 120, "R"),  # alumina
    Cell(0.40786, 0.40786, 0.40786, centring="F"),  # Au
    Cell(0.37850, 0.37850, 0.95140, centring="I"),  # anatase
    Cell(0.32498, 0.32498, 0.52066, 120),  # ZnO
    Cell(0.62890, 0.62890, 0.62890),  # MAPbI3, cubic
    Cell(0.24640, 0.24640, 0.67110, 120),  # graphite
    Cell(1.0117, 1.0117, 1.0117, centring="I"),  # In2O3, indium tin oxide
)


def draw_cell(rng: np.random.Generator, q_max: float, shortest: float = 0.35, longest: float = 1.3) -> Cell:
    """One of MATERIALS, or an invented cubic, tetragonal, hexagonal or orthorhombic one, nm.

    Should none of its reflections lie within 0.8 `q_max` (nm^-1), a cubic one with four orders in view instead.
    """
    known = MATERIALS[rng.integers(len(MATERIALS))]
    a, b, c = np.exp(rng.uniform(math.log(shortest), math.log(longest), 3))
    invented = (Cell(a, a, a), Cell(a, a, c), Cell(a, a, c, 120), Cell(a, b, c))[rng.integers(4)]
    centring = "PPI"[rng.integers(3)] if invented.gamma == 90 else "P"
    cell = known if rng.random() < 0.45 else invented._replace(centring=centring)
    edge = 4 * 2 * math.pi / q_max
    return cell if len(reciprocal_points(cell, 0.8 * q_max)[0]) else Cell(edge, edge, edge)


def reciprocal_matrix(cell: Cell) -> Array:
    """Rows are the reciprocal lattice vectors, nm^-1, (3, 3)."""
    gamma = math.radians(cell.gamma)
    real = np.array([[cell.a, 0, 0], [cell.b * math.cos(gamma), cell.b * math.sin(gamma), 0], [0, 0, cell.c]])
    return 2 * math.pi * np.linalg.inv(real).T


def reciprocal_points(cell: Cell, q_max: float) -> tuple[npt.NDArray[np.int64], Array]:
    """Allowed reflections up to `q_max` (nm^-1): hkl (N, 3), and their scattering vectors (N, 3) in nm^-1."""
    limits = [math.ceil(q_max * length / (2 * math.pi)) for length in (cell.a, cell.b, cell.c)]
    if cell.gamma != 90:
        limits[:2] = [math.ceil(q_max * max(cell.a, cell.b) / (2 * math.pi))] * 2
    axes = [np.arange(-limit, limit + 1) for limit in limits]
    hkl = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = (hkl[:, :, None] * reciprocal_matrix(cell)).sum(1)
    length = np.linalg.norm(vectors, axis=1)
    kept = (length > 0) & (length <= q_max) & allowed(hkl, cell.centring)
    return hkl[kept], vectors[kept]


def allowed(hkl: npt.NDArray[np.int64], centring: str) -> Bools:
    """Return which of `hkl` (N, 3) the centring allows."""
    h, k, m = hkl.T
    same_parity = ((h + k) % 2 == 0) & ((k + m) % 2 == 0)
    conditions: dict[str, Bools] = {
        "P": np.ones(len(hkl), bool),
        "I": (h + k + m) % 2 == 0,
        "F": same_parity,
        "R": (-h + k + m) % 3 == 0,
        "D": same_parity & ((h % 2 == 1) | ((h + k + m) % 4 == 0)),
    }
    return conditions[centring]


def families(cell: Cell, q_max: float) -> tuple[Array, npt.NDArray[np.int64]]:
    """Powder lines up to `q_max`: |q| (nm^-1, ascending) and the number of reflections in each."""
    length = np.linalg.norm(reciprocal_points(cell, q_max)[1], axis=1)
    _, first, multiplicity = np.unique(np.round(length, 5), return_index=True, return_counts=True)
    return length[first], multiplicity
