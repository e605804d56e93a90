"""Simulated pairs of exposures with the detector moved between them."""

from __future__ import annotations

import numpy as np

from scattering.dataset import RawFrame
from scattering.detectors import Detector
from scattering.simulation import simulator
from scattering.simulation.geometry import Panel

MARGIN = 48
"""Pixels of the pattern beyond each edge of the detector, for it to be moved into."""


def small_detector() -> Detector:
    """Three rows of two modules, as in a PILATUS of half as many pixels, twice as large."""
    gap = np.zeros((309, 243), bool)
    gap[97:106] = gap[203:212] = True
    gap[:, 120:124] = True
    return Detector("small", gap, (344e-6, 344e-6))


DETECTOR = small_detector()


def pair(
    category: str, seed: int, shift: tuple[int, int], scale: float = 1.0, uneven: float = 0.0
) -> tuple[RawFrame, RawFrame]:
    """Two exposures, which `shift` lays on each other; the first is `scale` times as intense.

    `uneven`: standard deviation of the pixels' sensitivity, which is fixed to the detector.
    """
    rng = np.random.default_rng(seed)
    rows, columns = DETECTOR.gap.shape
    panel = Panel((rows + 2 * MARGIN, columns + 2 * MARGIN), DETECTOR.pixel_size)
    clean, hidden, _ = simulator.expose(rng, category, panel)
    sensitivity = np.clip(1 + uneven * rng.standard_normal(DETECTOR.gap.shape), 0, None)
    frames = []
    for (down, right), intensity in (((0, 0), 1.0), (shift, 1 / scale)):
        seen = np.s_[MARGIN + down : MARGIN + down + rows, MARGIN + right : MARGIN + right + columns]
        counts = rng.poisson(clean[seen] * sensitivity * intensity).astype(np.int32)
        valid = ~DETECTOR.gap & ~hidden[seen]
        counts[~valid] = -1
        frames.append(
            RawFrame(f"{category} {seed}", f"sample {seed}", category, counts, valid, valid, clean=clean[seen])
        )
    return frames[0], frames[1]
