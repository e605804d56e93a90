"""The geometry of a frame: detector position, pixel sizes, wavelength, as pyFAI defines them.

The detector stands `distance` behind the sample; (`poni1`, `poni2`) is the point where the normal of the detector
through the sample meets it, in metres from the corner of the first pixel, along rows and columns; the rotations, in
radians, tilt it about the sample. Source: pyFAI's documentation of its geometry; the tests check this file against
pyFAI.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scattering.arrays import Reals
from scattering.errors import InputError, one_line


class Calibration(NamedTuple):
    """The geometry of one frame, at the size that its pixels have; metres and radians."""

    distance: float
    poni1: float
    poni2: float
    rot1: float
    rot2: float
    rot3: float
    pixel1: float
    """Height of a pixel."""
    pixel2: float
    """Width of a pixel."""
    wavelength: float

    def resized(self, shape: tuple[int, int], new_shape: tuple[int, int]) -> Calibration:
        """Return the geometry of a frame of `shape` that was stretched to `new_shape`: its pixels change, no more."""
        return self._replace(
            pixel1=self.pixel1 * shape[0] / new_shape[0], pixel2=self.pixel2 * shape[1] / new_shape[1]
        )

    @property
    def beam_center(self) -> tuple[float, float]:
        """Point of the detector that the beam hits, (row, col) in pixels; whole numbers are pixel centres."""
        row, col = self._pixels(np.array([[0.0], [0.0], [1.0]]))
        return float(row[0]), float(col[0])

    def q(self, shape: tuple[int, int]) -> Reals:
        """|q| = (4 pi / wavelength) sin(theta) of every pixel of a frame of `shape`, nm^-1."""
        right, up, along = self._directions(shape)
        half_angle = np.arctan2(np.hypot(right, up), along) / 2
        return np.asarray(4e-9 * math.pi / self.wavelength * np.sin(half_angle)).reshape(shape)

    def polar(self, shape: tuple[int, int]) -> tuple[Reals, Reals]:
        """Return where each pixel of a frame of `shape` lies around the beam: (radius, azimuth), each (pixels,).

        The radius is that on a detector which stands upright in the beam, in pixels, NaN from `WIDEST` on; the
        azimuth in radians, from 0 to 2 pi.
        """
        right, up, along = self._directions(shape)
        sideways = np.hypot(right, up)
        near = sideways < math.tan(WIDEST) * along
        tangent = np.divide(sideways, along, out=np.full_like(along, np.nan), where=near)
        return tangent * self.distance / math.sqrt(self.pixel1 * self.pixel2), np.arctan2(up, right) % (2 * math.pi)

    def opposite(self, shape: tuple[int, int]) -> tuple[Reals, Reals]:
        """Return the place of each pixel after a turn by 180 degrees about the beam: (rows, columns) of `shape`.

        On a detector that is not tilted this is the point reflection at the beam centre.
        """
        turned = self._directions(shape) * np.array([[-1.0], [-1.0], [1.0]])
        row, col = self._pixels(turned)
        return row.reshape(shape), col.reshape(shape)

    def integrator(self, shape: tuple[int, int]) -> Any:
        """Return pyFAI's AzimuthalIntegrator for frames of `shape`."""
        from pyFAI.detectors import Detector
        from pyFAI.integrator.azimuthal import AzimuthalIntegrator

        detector = Detector(pixel1=self.pixel1, pixel2=self.pixel2, max_shape=shape)
        # The pixels come last, as the detector.
        return AzimuthalIntegrator(*self[:6], detector=detector, wavelength=self.wavelength)

    @property
    def _rotation(self) -> Reals:
        """From the axes of the detector to those of the beam, (3, 3)."""
        (c1, s1), (c2, s2), (c3, s3) = (
            (math.cos(angle), math.sin(angle)) for angle in (self.rot1, self.rot2, self.rot3)
        )
        first = np.array([[1, 0, 0], [0, c1, s1], [0, -s1, c1]])
        second = np.array([[c2, 0, -s2], [0, 1, 0], [s2, 0, c2]])
        third = np.array([[c3, -s3, 0], [s3, c3, 0], [0, 0, 1]])
        return np.asarray(third @ second @ first)

    def _directions(self, shape: tuple[int, int]) -> Reals:
        """From the sample to each pixel, along the axes of the beam, (3, pixels)."""
        rows, cols = np.meshgrid(*(np.arange(size) + 0.5 for size in shape), indexing="ij")
        place = np.stack([
            rows.ravel() * self.pixel1 - self.poni1,
            cols.ravel() * self.pixel2 - self.poni2,
            np.full(rows.size, self.distance),
        ])  # fmt: skip
        return np.asarray(self._rotation @ place)

    def _pixels(self, directions: Reals) -> tuple[Reals, Reals]:
        """Rows and columns at which directions (3, N) meet the plane of the detector; inverse of `_directions`."""
        down, across, along = self._rotation.T @ directions
        # What never meets it lies outside.
        reach = np.divide(self.distance, along, out=np.full_like(along, np.inf), where=along > 0)
        with np.errstate(invalid="ignore"):
            row = (reach * down + self.poni1) / self.pixel1 - 0.5
            col = (reach * across + self.poni2) / self.pixel2 - 0.5
        return row, col


FAR = 100.0
"""Distance of a detector of which only the beam centre is known, in its longer sides: any will do, rings are
circles."""


def centred(row: float, column: float, shape: tuple[int, int], pixel_size: tuple[float, float]) -> Calibration:
    """Return the geometry of an upright detector of which no more is known than where the beam hits it, in pixels.

    Whole numbers are pixel centres. Pixels of unknown size (NaN) are taken for squares. Distance and wavelength are
    nominal: rings, and figures that have no unit, do not depend on them.
    """
    height, width = pixel_size if all(map(math.isfinite, pixel_size)) else (1e-4, 1e-4)
    distance = FAR * max(shape[0] * height, shape[1] * width)
    return Calibration(distance, (row + 0.5) * height, (column + 0.5) * width, 0, 0, 0, height, width, 1e-10)


WIDEST = math.radians(80)
"""Scattering angle from which a ring has no radius on an upright detector that would be of use."""

UNKNOWN = Calibration(*[math.nan] * len(Calibration._fields))


def read_poni(path: Path, shape: tuple[int, int]) -> Calibration:
    """Read the geometry of frames of `shape` from a PONI file, as pyFAI's calibration writes it.

    Raises InputError for a file that is none, lacks the wavelength, or is of a detector of another shape.
    """
    import pyFAI

    if not path.is_file():
        raise InputError(f"--poni must name a PONI file, as pyFAI-calib2 saves it, got {path}: nothing there")
    try:
        geometry = pyFAI.load(str(path))
        detector = geometry.detector
        position = [geometry.dist, geometry.poni1, geometry.poni2, geometry.rot1, geometry.rot2, geometry.rot3]
        values = [*position, detector.pixel1, detector.pixel2, geometry.wavelength]
        known = Calibration(*(math.nan if value is None else float(value) for value in values))
    except Exception as error:  # whatever pyFAI says of what it cannot read
        raise InputError(
            f"--poni must name a PONI file, as pyFAI-calib2 saves it, got {path}: {one_line(error)}"
        ) from None
    missing = [name for name in ("distance", "pixel1", "pixel2", "wavelength") if not getattr(known, name) > 0]
    if missing or any(map(math.isnan, known)):
        raise InputError(
            f"a PONI file must say where the detector stands, its pixels and the wavelength, got {path} without "
            f"{', '.join(missing) or 'all of it'}: calibrate again, or add what is missing"
        )
    if detector.shape and tuple(detector.shape) != shape:
        raise InputError(
            f"--poni must be of the detector that recorded the frames, of {shape[0]} x {shape[1]} pixels, got "
            f"{detector.shape[0]} x {detector.shape[1]} in {path}: calibrate with frames of this shape"
        )
    return _turned(known, int(detector.orientation or 3), shape)


def _turned(known: Calibration, orientation: int, shape: tuple[int, int]) -> Calibration:
    """Return the same geometry with rows and columns counted as we do; pyFAI's `orientation` 3 is ours."""
    if orientation in (1, 2):
        known = known._replace(poni1=shape[0] * known.pixel1 - known.poni1, rot2=-known.rot2, rot3=-known.rot3)
    if orientation in (1, 4):
        known = known._replace(poni2=shape[1] * known.pixel2 - known.poni2, rot1=-known.rot1, rot3=-known.rot3)
    return known
