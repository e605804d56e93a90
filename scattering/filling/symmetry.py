"""Friedel's law as a fill: a pattern in transmission looks the same when it is turned by 180 degrees about the beam.

Exactly so at small angles and for samples with many orientations; a single crystal, or a film at grazing incidence,
is not symmetric, and neither is what shadows the detector.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from scattering.arrays import Bools, Floats
from scattering.calibration import Calibration
from scattering.filling.interpolation import biharmonic

ENOUGH = 0.5
"""Weight of observed pixels in the bilinear mean from which a value counts as seen: that of the resize."""


def friedel(values: Floats, observed: Bools, calibration: Calibration) -> Floats:
    """Fill the unobserved pixels of one frame (rows, columns) with what is seen opposite, across the beam.

    What is hidden there as well, or lies outside of the frame, is filled by `biharmonic`.
    """
    gap = ~observed
    down, across = calibration.opposite((values.shape[0], values.shape[1]))
    # Far outside is as good as beside the frame, and finite.
    place = [np.clip(np.nan_to_num(axis[gap], nan=-2), -2, max(axis.shape) + 1) for axis in (down, across)]

    def opposite(image: Floats) -> Floats:
        return ndimage.map_coordinates(image, place, order=1, mode="grid-constant", cval=0.0, output=np.float32)

    weight = opposite(observed.astype(np.float32))
    total = opposite(np.where(observed, values, 0).astype(np.float32))
    seen = weight > ENOUGH
    filled, known = values.copy(), observed.copy()
    filled[gap] = np.divide(total, weight, out=np.zeros_like(total), where=seen)
    known[gap] = seen
    return np.where(observed, values, biharmonic(filled, known))
