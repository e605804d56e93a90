"""Simulated frames of an X-ray area detector, with everything that is unknown about real ones: the truth in the gaps.

A frame is one of eight categories of pattern (`scattering.simulation.patterns`), seen by a real camera: solid angle,
polarisation, air scattering, flares, background, beamstop, dead pixels, photon noise, and gaps. It is exposed twice
with the detector moved vertically, so that the second exposure sees what the first one's horizontal gaps hide.

Frame `index` depends on (seed, index), the detector and nothing else: neither on the number of frames nor processes.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import types
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np

from scattering.arrays import Bools
from scattering.calibration import Calibration
from scattering.simulation.geometry import Array, Geometry, Panel
from scattering.simulation.patterns import CATEGORY_WEIGHTS, PATTERNS, surroundings
from scattering.simulation.patterns.cameras import log_uniform

FULL_SCALE = 2**20
"""Largest count: the counters of photon-counting detectors are 20 bits wide."""

PEAK_SHARE = 0.002
"""Share of pixels brighter than the peak: what `PEAK` speaks of, at any resolution."""

PEAK = (3.0, 0.9)
"""Mean and standard deviation of log10 of the peak counts.

Tuned so that the mean transformed intensity in horizontal gaps is about 0.25, that of the paper's data.
"""

SCALE_MISMATCH = 0.005
"""Standard deviation of the relative intensity between two exposures: beam current, exposure time."""

LOOK_AHEAD = 2
"""Frames in flight per process: keeps the processes busy and memory bounded (an Eiger 16M frame takes 250 MB)."""


class SimulatedFrame(NamedTuple):
    """One frame; all arrays (H, W)."""

    name: str
    category: str
    counts: Array
    """First exposure, float32, 0 where not observed."""
    truth: Array
    """Both exposures merged, the first where it saw, float32, 0 where not valid."""
    clean: Array
    """Expected counts of the first exposure without noise, everywhere, float32."""
    observed: Bools
    """The first exposure recorded it."""
    valid: Bools
    """Either exposure recorded it."""
    calibration: Calibration
    """Where the beam hits the frame."""


def simulate_frame(
    index: int, *, seed: int, gap: Bools, pixel_size: tuple[float, float], footprint: float, shift_rows: int
) -> SimulatedFrame:
    """Frame number `index` of the data set `seed`.

    `gap` (H, W) is True in the detector's gaps; `pixel_size` in metres (row, col) and `footprint`, the number of
    detector pixels that one working pixel averages, belong to the working resolution. The second exposure has the
    detector `shift_rows` rows lower.
    """
    rng = np.random.default_rng([seed, index])
    category = str(rng.choice(list(PATTERNS), p=list(CATEGORY_WEIGHTS.values())))
    rows, cols = gap.shape
    clean, hidden, geometry = expose(rng, category, Panel((rows, cols), pixel_size))
    seen_first, seen_second = ~gap & ~hidden, ~shifted(gap, shift_rows) & ~hidden
    counts = np.zeros_like(clean)
    counts[seen_first] = photons(rng, clean[seen_first], footprint)
    truth, only_second = counts.copy(), seen_second & ~seen_first
    scale = 1 + SCALE_MISMATCH * rng.standard_normal()
    truth[only_second] = photons(rng, clean[only_second] * np.float32(scale), footprint)
    valid = seen_first | seen_second
    name = f"{category}_{index:06d}"
    return SimulatedFrame(name, category, counts, truth, clean, seen_first, valid, geometry.calibration)


def expose(rng: np.random.Generator, category: str, panel: Panel) -> tuple[Array, Bools, Geometry]:
    """Expected counts (H, W), where beamstop, arm and dead pixels hide the detector, and how it stands."""
    scene, setting, pixels = rng.spawn(3)
    pattern = PATTERNS[category](scene, panel)
    geometry = pattern.geometry
    hidden = surroundings.beamstop(setting, geometry)
    signal = pattern.intensity
    level = np.median(signal)
    signal = signal + level * np.float32(log_uniform(setting, 0.003, 1)) * surroundings.air(setting, geometry)
    brightest = exceeded_by(signal[~hidden], PEAK_SHARE)
    signal += np.float32(brightest * log_uniform(setting, 1e-3, 0.1)) * surroundings.flares(setting, geometry)
    signal *= geometry.solid_angle * geometry.polarization()
    tube = surroundings.shadow(setting, geometry)
    if tube is not None:
        signal *= tube
    peak = min(10 ** setting.normal(*PEAK), FULL_SCALE)
    signal *= np.float32(peak / brightest)
    signal += np.float32(log_uniform(setting, 0.01, 2))
    dead = pixels.random((3, 2))[: pixels.integers(4)]
    hidden[tuple((dead * panel.shape).astype(np.int64).T)] = True
    return np.minimum(signal, np.float32(FULL_SCALE)), hidden, geometry


def exceeded_by(values: Array, share: float) -> float:
    """The value that the fraction `share` of `values` (N,) exceeds."""
    rank = round((1 - share) * (len(values) - 1))
    return float(np.partition(values, rank)[rank])


def photons(rng: np.random.Generator, expected: Array, footprint: float) -> Array:
    """Mean of the counts of `footprint` detector pixels, each Poisson with mean `expected`."""
    mean = rng.poisson(expected.astype(np.float64) * footprint) / footprint
    return np.minimum(mean, FULL_SCALE).astype(np.float32)


def shifted(gap: Bools, rows: int) -> Bools:
    """`gap` of the detector moved by `rows` downwards; what it no longer covers counts as gap."""
    moved = np.ones_like(gap)
    moved[rows:] = gap[: len(gap) - rows]
    return moved


def simulate_frames(
    frames: int,
    *,
    seed: int,
    gap: Bools,
    pixel_size: tuple[float, float],
    footprint: float,
    shift_rows: int,
    processes: int | None = None,
) -> Iterator[SimulatedFrame]:
    """Frames 0 to `frames` - 1 of `simulate_frame`, in order; `processes` defaults to the available cores."""
    simulate = partial(
        simulate_frame, seed=seed, gap=gap, pixel_size=pixel_size, footprint=footprint, shift_rows=shift_rows
    )
    workers = min(processes or available_cores(), frames)
    if workers <= 1:
        yield from map(simulate, range(frames))
        return
    pending: deque[Future[SimulatedFrame]] = deque()
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            for index in range(frames):
                with _hidden_main():
                    pending.append(pool.submit(simulate, index))
                if len(pending) >= LOOK_AHEAD * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _hidden_main() -> Iterator[None]:
    """Keep spawned processes from importing the caller's main module (the whole search: seconds, gigabytes)."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
