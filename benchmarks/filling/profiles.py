"""I(q) of filled frames against that of complete ones, beside that of the measured pixels alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from benchmarks.filling.methods import methods
from inpainting.model import Model
from scattering.arrays import Bools, Reals
from scattering.calibration import Calibration
from scattering.detectors import detector
from scattering.filling.polar import azimuthal_average
from scattering.preprocessing import footprint
from scattering.simulation.simulator import simulate_frame

BINS = 400
ENOUGH_COUNTS = 400.0
"""Counts in a bin from which it is compared: photon noise is then at most a twentieth of I(q)."""
SEED = 20_261_122


def table(model: Model, frames: int) -> Iterator[str]:
    """Compare I(q) over simulated frames at the detector's own size, by kind of sample, in Markdown."""
    errors: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    whole = detector(model.description.detector)
    for index in range(frames):
        frame = simulate_frame(
            index,
            seed=SEED,
            gap=np.zeros(whole.gap.shape, bool),  # the same pattern on a detector without gaps
            pixel_size=whole.pixel_size,
            footprint=footprint(whole.gap.shape, whole.gap.shape),
            shift_rows=0,
        )
        counts, lit = frame.counts.astype(np.float64), frame.observed
        seen = lit & ~whole.gap
        expected = _profile(frame.clean.astype(np.float64), lit, frame.calibration)
        fills = {"measured pixels alone": (counts, seen), "noise of a complete frame": (counts, lit)}
        for name, fill in methods(model, frame.calibration).items():
            # pixels behind a beamstop stay out
            fills[name] = (fill(np.where(seen, counts, 0), seen), lit)
        for name, (filled, used) in fills.items():
            error = _error(filled, used, frame.calibration, expected, counts, lit)
            errors[name][frame.category].append(error)
    categories = sorted({category for by in errors.values() for category in by})
    yield f"| error of I(q) (1e-3) | all {frames} | {' | '.join(categories)} |"
    yield "|---" * (len(categories) + 2) + "|"
    for name, by in errors.items():
        every = [error for some in by.values() for error in some]
        cells = [f"{1e3 * np.mean(some):.2f}" for some in (every, *(by[category] for category in categories))]
        yield f"| {name} | {' | '.join(cells)} |"


def _profile(counts: Reals, used: Bools, calibration: Calibration) -> Reals:
    q = calibration.q((counts.shape[0], counts.shape[1]))
    edges = np.linspace(q.min(), q.max(), BINS + 1)
    return azimuthal_average(counts[used], q[used], edges)[0]


def _error(filled: Reals, used: Bools, calibration: Calibration, expected: Reals, counts: Reals, lit: Bools) -> float:
    """Mean relative error over the bins in which the complete frame counts enough."""
    found = _profile(filled, used, calibration)
    q = calibration.q((counts.shape[0], counts.shape[1]))
    edges = np.linspace(q.min(), q.max(), BINS + 1)
    enough = np.histogram(q[lit], edges, weights=counts[lit])[0] >= ENOUGH_COUNTS
    enough &= np.isfinite(found)
    return float(np.mean(np.abs(found - expected)[enough] / expected[enough]))
