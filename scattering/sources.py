"""Where a data set comes from: detector files, the simulator, or the cache of simulated ones."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scattering import dataset
from scattering.calibration import UNKNOWN, Calibration, read_poni
from scattering.dataset import Dataset, RawFrame
from scattering.detectors import Detector
from scattering.errors import InputError
from scattering.formats import find_files, frame_shapes, read_frames
from scattering.preprocessing import footprint


def from_files(patterns: Sequence[str], detector: Detector, size: int, poni: str | None = None) -> Dataset:
    """Prepare detector files at size x size, with the gaps of `detector` laid over every frame.

    `poni` names a PONI file with the geometry of all frames.
    Raises InputError for files that cannot be used.
    """
    files = find_files(patterns)
    narrowest = min(columns for path in files for _, columns in frame_shapes(path))
    settings = {
        "title": f"{len(files)} files, {', '.join(patterns)}",
        "simulated": False,
        "detector": detector.name,
        "size": size,
        "files": [path.name for path in files],
    }
    return dataset.build(_lay_gaps(files, detector, poni), detector, (size, size), settings, narrowest)


def simulated(detector: Detector, size: int, frames: int, seed: int) -> Dataset:
    """Simulate frames of `detector` at size x size, or read them from the cache of an earlier call.

    The cache (`$XDG_CACHE_HOME/gapsearch`, else `~/.cache/gapsearch`) may be deleted at any time.
    """
    settings = {
        "title": f"{frames} simulated frames",
        "simulated": True,
        "detector": detector.name,
        "size": size,
        "frames": frames,
        "seed": seed,
    }
    cached = _cache_folder() / f"{_cache_key(settings)}.h5"
    if cached.exists():
        try:
            return dataset.read(cached)
        except InputError:
            cached.unlink(missing_ok=True)  # a damaged cache is made again
    data = _simulate(detector, size, frames, seed, settings)
    # A full or read-only cache costs time at the next start, not this run.
    with suppress(InputError):
        dataset.write(cached, data)
    return data


def _simulate(detector: Detector, size: int, frames: int, seed: int, settings: dict[str, object]) -> Dataset:
    from scattering.simulation.simulator import simulate_frames

    rows, columns = detector.gap.shape
    pixel_size = (detector.pixel_size[0] * rows / size, detector.pixel_size[1] * columns / size)
    working = Detector(detector.name, detector.gap_for((size, size)), pixel_size)
    exposures = simulate_frames(
        frames,
        seed=seed,
        gap=working.gap,
        pixel_size=pixel_size,
        footprint=footprint((rows, columns), (size, size)),
        # The second exposure: far enough that no gap hides behind a gap again.
        shift_rows=2 * _tallest_gap(working.gap),
    )
    # Each simulated frame is a sample of its own.
    raw = (
        RawFrame(f.name, f.name, f.category, f.truth, f.valid, f.observed, f.counts, f.clean, f.calibration)
        for f in exposures
    )
    return dataset.build(raw, working, (size, size), settings, narrowest=size)


def _tallest_gap(gap: npt.NDArray[np.bool_]) -> int:
    """Rows of the tallest horizontal gap, those that reach across more than half of the width."""
    edges = np.diff(np.concatenate(([False], gap.mean(axis=1) > 0.5, [False])).astype(np.int8))
    return int((np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)).max(initial=0))


def _lay_gaps(files: Sequence[Path], detector: Detector, poni: str | None) -> Iterator[RawFrame]:
    stems = Counter(path.stem for path in files)
    calibrations: dict[tuple[int, int], Calibration] = {}
    for path in files:
        for frame in read_frames(path, path.stem if stems[path.stem] == 1 else f"{path.parent.name}/{path.stem}"):
            shape = (frame.counts.shape[0], frame.counts.shape[1])
            gap = detector.gap_for(shape)
            if not gap.any():
                raise InputError(
                    f"the gaps of {detector.name} must cover pixels of every frame, got none in {frame.name!r} of "
                    f"{gap.shape[0]} x {gap.shape[1]} pixels: it is too small, leave it out"
                )
            # One constant in every gap pixel is a code, not a measurement: there is no truth.
            valid = frame.valid & ~gap if np.ptp(frame.counts[gap]) == 0 else frame.valid
            if shape not in calibrations:
                calibrations[shape] = read_poni(Path(poni), shape) if poni else UNKNOWN
            yield RawFrame(
                frame.name, frame.group, frame.category, frame.counts, valid, frame.valid & ~gap,
                calibration=calibrations[shape],
            )  # fmt: skip


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gapsearch"


def _cache_key(settings: dict[str, object]) -> str:
    """Name a simulated data set by its settings, the code that makes it, and NumPy, whose streams may change."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    folder = Path(__file__).parent
    for source in sorted(folder.rglob("*.py")):
        digest.update(source.read_bytes())
    digest.update(np.__version__.encode())
    return digest.hexdigest()[:16]
