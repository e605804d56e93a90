"""Detectors by name: where their gaps are. The geometry is pyFAI's, nothing is retyped here."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from scattering.arrays import Bools
from scattering.errors import InputError
from scattering.preprocessing import resize


@dataclass(frozen=True)
class Detector:
    """A detector and its gaps, at its own size or at the working size."""

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

    def turned(self) -> Detector:
        """Return the same detector mounted on its side: rows become columns."""
        height, width = self.pixel_size
        return Detector(f"{self.name}, turned by 90 degrees", np.rot90(self.gap), (width, height))


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
    return _described(detector_factory(key))


def detectors_of(shape: tuple[int, int]) -> list[Detector]:
    """Detectors whose frames have this shape, (rows, columns): those mounted upright, else those turned."""
    from pyFAI.detectors import Detector as PyFAIDetector

    kinds = set(PyFAIDetector.registry.values()) - {PyFAIDetector}
    # The classes know their shapes: no mask is computed for those that do not fit.
    upright = [_described(kind()) for kind in kinds if shape == kind.MAX_SHAPE]
    if upright or shape[0] == shape[1]:
        return upright
    return [_described(kind()).turned() for kind in kinds if shape[::-1] == kind.MAX_SHAPE]


def _described(found: Any) -> Detector:
    shape = found.shape or (0, 0)
    with _quiet():
        mask = found.mask
    # pyFAI gives None or an empty array for detectors without gaps.
    gap = np.zeros(shape, bool) if mask is None or np.size(mask) <= 1 else mask.astype(bool)
    return Detector(found.name, gap, (float(found.pixel1), float(found.pixel2)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pyFAI from warning that it does not know the gaps of Lambda 9M: it is no concern of other users."""
    logger = logging.getLogger("pyFAI")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
