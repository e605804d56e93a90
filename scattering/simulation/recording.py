"""Simulated frames of a detector by name, at its own size or a smaller one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scattering.arrays import Bools
from scattering.detectors import Detector
from scattering.preprocessing import footprint
from scattering.simulation.simulator import SimulatedFrame, simulate_frames


def record(
    detector: Detector, shape: tuple[int, int], frames: int, *, seed: int, exposures: int = 2
) -> Iterator[SimulatedFrame]:
    """Simulate frames as `detector` would record them, resized to `shape` (its own size: whole photons).

    Two exposures are merged to the truth, the second with the detector moved down by twice its tallest gap: far
    enough that no gap hides behind a gap again. One exposure has no truth in the gaps.
    """
    rows, columns = detector.gap.shape
    gap = detector.gap_for(shape)
    return simulate_frames(
        frames,
        seed=seed,
        gap=gap,
        pixel_size=(detector.pixel_size[0] * rows / shape[0], detector.pixel_size[1] * columns / shape[1]),
        footprint=footprint((rows, columns), shape),
        shift_rows=2 * _tallest_gap(gap) if exposures == 2 else 0,
    )


def _tallest_gap(gap: Bools) -> int:
    """Rows of the tallest horizontal gap, those that reach across more than half of the width."""
    edges = np.diff(np.concatenate(([False], gap.mean(axis=1) > 0.5, [False])).astype(np.int8))
    return int((np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)).max(initial=0))
