"""Fills of real frames against what truly lies under gaps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage, optimize

from benchmarks.filling.methods import intensity, methods
from inpainting.model import Model
from scattering.arguments import Options
from scattering.arrays import Bools, Reals
from scattering.artificial import shifted
from scattering.calibration import Calibration
from scattering.detectors import detector
from scattering.survey.findings import Measured, identify, measured_frames
from trainables.metrics import correlation, mean_absolute_error

MOVED = "mda_cms.h5"
"""One scene recorded twice, the detector moved by this many rows (`python -m scattering.merge` finds them)."""
ROWS = -30

GAPLESS = (
    "dioptas_pi_ccd",
    "fabio_marccd2k",
    "fabio_mar345",
    "sastool_gabriel",
    "gisaxs_gui_xeuss_vd",
    "fabio_frelon2k",
)
"""Sources without gaps: those of a PILATUS 2M are laid over them."""


class Case(NamedTuple):
    """A frame with gaps, and what lies in them."""

    name: str
    counts: Reals
    seen: Bools
    truth: Reals
    scored: Bools
    calibration: Calibration | None


def table(model: Model, folder: Path) -> Iterator[str]:
    """Compare fills frame by frame, in Markdown."""
    yield "| frame, pixels scored | method | L1 (1e-3) | correlation | mean error in counts | within 68 % |"
    yield "|---|---|---|---|---|---|"
    for case in (moved(folder / MOVED), *gapless(model, folder)):
        own = model.fill(case.counts, case.seen, force=True)
        scored = case.scored & ~np.isnan(own.uncertainty)
        truth = intensity(case.truth[scored])
        label = f"{case.name}, {int(scored.sum())}"
        for name, fill in methods(model, case.calibration).items():
            found = fill(case.counts, case.seen)[scored]
            prediction = intensity(found)
            within = np.abs(own.counts[scored] - case.truth[scored]) <= own.uncertainty[scored]
            yield (
                f"| {label} | {name} | {1e3 * mean_absolute_error(prediction, truth):.2f} | "
                f"{correlation(prediction, truth):.4f} | {(found - case.truth[scored]).mean():+.2f} | "
                f"{f'{within.mean():.1%}' if name == 'model' else ''} |"
            )
            label = ""


def moved(path: Path) -> Case:
    """Take the first of two exposures, and what the second, moved back and scaled, has in its gaps."""
    first, second = measured_frames(identify([str(path)], Options()), [0, 1])
    counts, seen = first.counts.astype(np.float64), first.valid & ~first.hidden
    known = shifted(second.valid & ~second.hidden, ROWS)
    other = np.roll(second.counts, ROWS, axis=0).astype(np.float64)
    both = known & seen
    truth = other * (counts[both].sum() / other[both].sum())
    gap = detector("Pilatus1M").gap
    return Case("mda_cms, second exposure", counts, seen, truth, ~first.valid & known & gap, _centred(counts, seen))


def gapless(model: Model, folder: Path) -> Iterator[Case]:
    """Lay the model's gaps, in pixels of the detector, over frames of detectors that have none."""
    gap = detector(model.description.detector).gap
    for source in GAPLESS:
        findings = identify([str(folder / f"{source}.h5")], Options(pedestal="auto"))
        frame: Measured = next(measured_frames(findings, [0]))
        counts = frame.counts.astype(np.float64) - findings.pedestals[0]
        known = frame.valid & ~frame.hidden
        rows, columns = (np.arange(size) % whole for size, whole in zip(counts.shape, gap.shape, strict=True))
        laid = gap[np.ix_(rows, columns)]
        # Margins that the light does not reach are no test.
        lit = ndimage.uniform_filter((counts > 0).astype(np.float32), 31) > 0.2
        yield Case(source, np.maximum(counts, 0), known & ~laid, np.maximum(counts, 0), known & laid & lit, None)


def _centred(counts: Reals, seen: Bools) -> Calibration:
    """Guess where the beam hits: where rings about it are smoothest. Nobody says it of this frame."""
    row, column = np.nonzero(seen & (np.add.outer(*map(np.arange, counts.shape)) % 7 == 0))
    values = intensity(counts[row, column])

    def roughness(centre: Reals) -> float:
        ring = np.hypot(row - centre[0], column - centre[1]).astype(np.int64) // 4
        pixels = np.maximum(np.bincount(ring), 1)
        mean = np.bincount(ring, values) / pixels
        return float(((values - mean[ring]) ** 2).mean())

    starts = [np.array([r, c]) for r in (500.0, 600.0, 700.0) for c in (400.0, 480.0, 560.0)]
    best = min((optimize.minimize(roughness, s, method="Nelder-Mead") for s in starts), key=lambda found: found.fun)
    pixel = 172e-6
    return Calibration(0.25, (best.x[0] + 0.5) * pixel, (best.x[1] + 0.5) * pixel, 0, 0, 0, pixel, pixel, 1e-10)
