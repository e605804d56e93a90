"""Detectors by name: where their gaps are. The geometry is pyFAI's, nothing is retyped here."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scattering.errors import InputError
from scattering.preprocessing import resize

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Detector:
    """Where a detector, or a frame of it at the working size, has no data."""

    name: str
    gap: Bools
    """(rows, columns), True where there is no sensor."""
    pixel_size: tuple[float, float]
    """Height and width of a pixel, in metres."""

    def gap_for(self, shape: tuple[int, int]) -> Bools:
        """Lay the gaps over frames of another shape: (rows, columns), True in gaps.

        The detector is stretched over the frame: a gap keeps its share of height or width. A pixel is
        a gap when sensor carries no more than half the weight of its footprint, as in `resize`.
        """
        if shape == self.gap.shape:
            return self.gap
        _, sensor = resize(np.zeros(self.gap.shape, np.float32), ~self.gap, shape)
        return ~sensor


def detector(name: str) -> Detector:
    """Look a detector up in pyFAI's registry, any spelling (`Pilatus2M`, `pilatus 2m`, `eiger_4m`).

    Raises InputError for a name that pyFAI does not know, with the nearest ones it knows.
    """
    # The import takes 2-5 s (it loads silx, fabio, numexpr): only those who ask for a detector pay.
    from pyFAI.detectors import Detector as PyFAIDetector
    from pyFAI.detectors import detector_factory

    registry = set(PyFAIDetector.registry) - {"detector"}
    spellings = [name.lower().replace(" ", "_"), re.sub(r"[ _]", "", name.lower())]
    key = next((spelling for spelling in spellings if spelling in registry), None)
    if key is None:
        near = difflib.get_close_matches(spellings[-1], sorted(registry), n=3, cutoff=0.4)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        raise InputError(f"the detector must be one that pyFAI knows, got {name!r}{hint}")
    found = detector_factory(key)
    shape = found.shape or (0, 0)
    # pyFAI gives None or an empty array for detectors without gaps.
    gap = np.zeros(shape, bool) if found.mask is None or np.size(found.mask) <= 1 else found.mask.astype(bool)
    return Detector(found.name, gap, (float(found.pixel1), float(found.pixel2)))
