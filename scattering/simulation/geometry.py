"""Directions of detector pixels: scattering vector, azimuth, solid angle, polarisation.

The Ewald construction for a flat detector perpendicular to the beam. Axes: right (columns), up (against the rows),
along the beam. Angles in radians, lengths in metres, scattering vectors in nm^-1.

Source: Jiang, J. Appl. Cryst. 48 (2015) 917, doi:10.1107/S1600576715004434 (grazing incidence);
the conventions are those of pyFAI, against which the tests check this file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from scattering.calibration import Calibration

Array: TypeAlias = npt.NDArray[np.floating[Any]]

WAVELENGTH = 1.2398e-10
"""10 keV, in metres."""


class Panel(NamedTuple):
    """The sensitive area at the working resolution."""

    shape: tuple[int, int]
    pixel_size: tuple[float, float]
    """Metres, (row, col)."""

    @property
    def size(self) -> tuple[float, float]:
        """Height and width in metres."""
        return self.shape[0] * self.pixel_size[0], self.shape[1] * self.pixel_size[1]


@dataclass(frozen=True)
class Geometry:
    """One experiment: detector, sample distance, beam, and the tilt of a surface (zero in transmission).

    All maps are (H, W) float32 and computed once.
    """

    panel: Panel
    distance: float
    beam_center: tuple[float, float]
    """(row, col) in pixels; whole numbers are pixel centres. May lie outside of the panel."""
    wavelength: float = WAVELENGTH
    incidence: float = 0.0
    """Angle between beam and surface, rad."""
    tilt: float = 0.0
    """Rotation of the surface about the beam, rad."""
    spot: float = 0.3e-3
    """Standard deviation of the beam's image on the detector, m."""

    @property
    def wavenumber(self) -> float:
        """2 pi / wavelength in nm^-1."""
        return 2e-9 * math.pi / self.wavelength

    @property
    def q_resolution(self) -> float:
        """Standard deviation in q of an infinitely sharp ring: beam size and pixel size, nm^-1."""
        pixel_variance = self.panel.pixel_size[0] * self.panel.pixel_size[1] / 12
        return self.wavenumber * math.sqrt(self.spot**2 + pixel_variance) / self.distance

    @property
    def calibration(self) -> Calibration:
        """The same without sample and beam size: what files say of real frames."""
        height, width = self.panel.pixel_size
        poni = (self.beam_center[0] + 0.5) * height, (self.beam_center[1] + 0.5) * width
        return Calibration(self.distance, *poni, 0.0, 0.0, 0.0, height, width, self.wavelength)

    @cached_property
    def position(self) -> tuple[Array, Array]:
        """Metres right of the beam, shape (1, W), and above it, shape (H, 1)."""
        rows, cols = self.panel.shape
        up = (self.beam_center[0] - np.arange(rows)) * self.panel.pixel_size[0]
        right = (np.arange(cols) - self.beam_center[1]) * self.panel.pixel_size[1]
        return right[None, :].astype(np.float32), up[:, None].astype(np.float32)

    @cached_property
    def direction(self) -> tuple[Array, Array, Array]:
        """Unit vector to each pixel: right, up, and 1 minus its part along the beam (no cancellation)."""
        right, up = self.position
        off_axis = right**2 + up**2
        length = np.sqrt(off_axis + np.float32(self.distance**2))
        return right / length, up / length, off_axis / (length * (length + np.float32(self.distance)))

    @cached_property
    def q(self) -> Array:
        """|q| = (4 pi / wavelength) sin(theta), nm^-1."""
        return np.sqrt(2 * self.direction[2]) * np.float32(self.wavenumber)

    @property
    def q_max(self) -> float:
        """Largest |q| on the panel, nm^-1."""
        return float(self.q.max())

    @cached_property
    def azimuth(self) -> Array:
        """Angle about the beam from -pi to pi: 0 is right, pi / 2 is up."""
        right, up, _ = self.direction
        return np.arctan2(up, right)

    @cached_property
    def surface_q(self) -> tuple[Array, Array]:
        """In-plane (signed, negative on the left) and out-of-plane part of q for the surface, nm^-1.

        Near the normal |q_ip| cannot reach zero for a flat detector: the missing wedge, here by itself.
        """
        right, up, bend = self.direction
        sin_tilt, cos_tilt = np.float32(math.sin(self.tilt)), np.float32(math.cos(self.tilt))
        right, up = cos_tilt * right + sin_tilt * up, cos_tilt * up - sin_tilt * right
        sin_i, cos_i = np.float32(math.sin(self.incidence)), np.float32(math.cos(self.incidence))
        along = up * sin_i - bend * cos_i
        k = np.float32(self.wavenumber)
        return k * np.copysign(np.hypot(right, along), right), k * (up * cos_i + bend * sin_i)

    @cached_property
    def exit_angle(self) -> Array:
        """Angle above the surface (negative below the horizon), rad."""
        sine = self.surface_q[1] / np.float32(self.wavenumber) - np.float32(math.sin(self.incidence))
        angle: Array = np.arcsin(np.clip(sine, -1, 1))
        return angle

    @property
    def solid_angle(self) -> Array:
        """Relative to the pixel nearest to the sample: cos^3(2 theta)."""
        return (1 - self.direction[2]) ** 3

    def polarization(self, factor: float = 0.99) -> Array:
        """Scattered fraction for a beam polarised mostly horizontally (`factor`: 1 fully, 0 not at all)."""
        right, up, _ = self.direction
        return 1 - np.float32((1 + factor) / 2) * right**2 - np.float32((1 - factor) / 2) * up**2
