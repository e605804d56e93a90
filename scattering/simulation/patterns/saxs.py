"""Small-angle scattering of particles and disordered media.

    sphere          P(q) = [3 (sin x - x cos x) / x^3]^2, x = qR; first zero at x = 4.493  (Rayleigh 1914)
    core-shell      amplitude = sum over surfaces of contrast x volume x sphere
    chain           2 (exp(-y) + y - 1) / y^2, y = (q Rg)^2  (Debye 1947)
    fractal         Guinier then power law, joined smoothly  (Hammouda, J. Appl. Cryst. 43 (2010) 716)
    microemulsion   1 / (a + b q^2 + c q^4), peak at 2 pi / d  (Teubner & Strey, J. Chem. Phys. 87 (1987) 3195)

Particles have a log-normal radius distribution (Gauss-Hermite average) and may repel each other (Percus-Yevick S(q)).
Flow or stretching makes the pattern elliptical: q is replaced by q sqrt(cos^2 / s + s sin^2).

Limits: R and Rg 3-40 nm, polydispersity 2-35 %, packing 0-0.45, elongation s 0.5-2.
"""

from __future__ import annotations

import math

import numpy as np

from scattering.simulation.geometry import Array, Panel
from scattering.simulation.patterns.amorphous import hard_spheres
from scattering.simulation.patterns.cameras import SMALL, Pattern, log_uniform, period_in_view, transmission

KINDS = ("sphere", "sphere", "core_shell", "chain", "fractal", "microemulsion")


def intensity(rng: np.random.Generator, panel: Panel) -> Pattern:
    """One kind of particle or medium, often with large-scale structure beneath."""
    geometry = transmission(rng, panel, SMALL)
    q = np.linspace(geometry.q_max / 2000, 1.5 * geometry.q_max, 3000)
    radius = period_in_view(rng, geometry, 0.03, 0.6) / 2
    curve = form(rng, KINDS[rng.integers(len(KINDS))], q, radius)
    large = log_uniform(rng, 1e-4, 0.1) * (1 + (q * rng.uniform(30, 80)) ** 2) ** -rng.uniform(1.2, 2)
    curve = curve / curve[0] + large + log_uniform(rng, 1e-6, 1e-3)
    elongation = log_uniform(rng, 0.5, 2) if rng.random() < 0.3 else 1.0
    angle = geometry.azimuth - rng.uniform(0, math.pi)
    stretch = np.sqrt(np.cos(angle) ** 2 / elongation + np.sin(angle) ** 2 * elongation)
    value = np.exp(np.interp(geometry.q * stretch, q, np.log(curve)))
    return Pattern(value.astype(np.float32), geometry)


def form(rng: np.random.Generator, kind: str, q: Array, radius: float) -> Array:
    """1-D intensity of a random member of `kind`, of about `radius` (nm), at `q` (nm^-1)."""
    spread = log_uniform(rng, 0.02, 0.35)
    if kind == "chain":
        return debye_chain(q, radius)
    if kind == "fractal":
        return guinier_porod(q, radius, rng.uniform(1.6, 4))
    if kind == "microemulsion":
        return teubner_strey(q, 2 * radius, rng.uniform(0.25, 1.2))
    shell, contrast = (rng.uniform(0.1, 0.5), rng.uniform(-1.5, 0.8)) if kind == "core_shell" else (0.0, 0.0)
    particle = polydisperse(q, radius, spread, shell, contrast)
    packed = rng.uniform(0.05, 0.45) * (rng.random() < 0.6)
    return particle * hard_spheres(q, 2 * radius * rng.uniform(1.0, 1.3), packed)


def sphere_amplitude(x: Array) -> Array:
    """3 (sin x - x cos x) / x^3, which is 1 at 0."""
    x = np.maximum(x, 1e-3)
    return 3 * (np.sin(x) - x * np.cos(x)) / x**3


def polydisperse(q: Array, radius: float, spread: float, shell: float = 0.0, contrast: float = 0.0) -> Array:
    """Mean intensity of spheres of median `radius` (nm), log-normal `spread`, shell thickness / radius `shell`."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(21)
    radii = radius * np.exp(spread * nodes)[:, None]
    amplitude = radii**3 * sphere_amplitude(q * radii)
    if shell:
        outer = radii * (1 + shell)
        amplitude = (1 - contrast) * amplitude + contrast * outer**3 * sphere_amplitude(q * outer)
    mean: Array = (weights[:, None] * amplitude**2).sum(0)
    return mean


def debye_chain(q: Array, gyration: float) -> Array:
    """Gaussian chain of radius of gyration `gyration` (nm)."""
    y = np.maximum((q * gyration) ** 2, 1e-3)
    chain: Array = 2 * (np.expm1(-y) + y) / y**2
    return chain


def guinier_porod(q: Array, gyration: float, power: float) -> Array:
    """Guinier up to q1 = sqrt(3 power / 2) / Rg, then q^-power; value and slope continuous."""
    joint = math.sqrt(1.5 * power) / gyration
    guinier = np.exp(-((q * gyration) ** 2) / 3)
    return np.where(q < joint, guinier, math.exp(-power / 2) * (joint / q) ** power)


def teubner_strey(q: Array, period: float, correlation: float) -> Array:
    """Two-phase medium of `period` (nm) and correlation length `correlation` x period."""
    k, xi = 2 * math.pi / period, correlation * period
    square = k**2 + xi**-2
    return 1 / (square**2 - 2 * (k**2 - xi**-2) * q**2 + q**4)
