"""Sources of a data set: its file, detector files, the simulator, or the cache of data sets made from these."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from scattering import dataset, dataset_file
from scattering.arguments import Options, working_shape
from scattering.dataset import Dataset, RawFrame
from scattering.detectors import Detector
from scattering.errors import InputError
from scattering.preparation import Tasks, code_version, plan, prepare
from scattering.split import too_few_groups
from scattering.survey.findings import survey


def from_files(
    patterns: Sequence[str],
    options: Options,
    size: str,
    seed: int,
    *,
    tasks: Tasks = map,
    progress: Callable[[int], None] = lambda done: None,
    notes: Callable[[str], None] = lambda note: None,
) -> Dataset:
    """Read a data set, or prepare detector files for the working `size` unless the cache has them.

    The size is as in `scattering.arguments.working_shape`; `tasks` and `progress` as in
    `scattering.preparation.prepare`; `notes` is told of files that are left out, as they cannot be read.
    Raises InputError for files that cannot be used.
    """
    if len(patterns) == 1 and dataset_file.is_dataset(only := Path(patterns[0]).expanduser()):
        return dataset_file.read(only)
    findings = survey(patterns, options)
    for note in findings.notes:
        notes(note)
    todo = plan(findings, working_shape(size, findings.native), seed)
    if not all(todo.parts):
        raise too_few_groups(findings.groups)
    with _cache() as folder:
        path = folder / f"{todo.key[:16]}.h5"
        found = _cached(path)
        if found is None:
            prepare(todo, path, tasks=tasks, progress=progress)
            _make_room(folder, path)
            found = dataset_file.read(path)
        return found


def simulated(detector: Detector, shape: tuple[int, int], frames: int, seed: int) -> Dataset:
    """Simulate frames of `detector` at the working `shape`, or read them from the cache of an earlier call."""
    settings = {
        "title": f"{frames} simulated frames",
        "simulated": True,
        "detector": detector.name,
        "native": list(detector.gap.shape),
        "size": list(shape),
        "frames": frames,
        "seed": seed,
    }
    name = hashlib.sha256(json.dumps([settings, code_version()]).encode()).hexdigest()[:16]
    with _cache() as folder:
        path = folder / f"{name}.h5"
        found = _cached(path)
        if found is None:
            found = _simulate(detector, shape, frames, seed, settings)
            # A full disk costs time at the next start, not this run.
            with suppress(InputError):
                dataset_file.write(path, found)
                _make_room(folder, path)
        return found


LARGEST_CACHE = 20e9
"""Bytes that the cache may take."""

UNFINISHED = 7 * 86_400
"""Seconds for which an unfinished data set is kept for the command that would go on with it."""


@contextmanager
def _cache() -> Iterator[Path]:
    """Folder of what was made earlier, `$XDG_CACHE_HOME/gapsearch`, else `~/.cache/gapsearch`; it may be deleted.

    Where it cannot be written, a temporary one: data sets read from it last as long as they are in use.
    """
    folder = None
    with suppress(OSError, RuntimeError):  # RuntimeError: no home at all
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gapsearch"
        folder.mkdir(parents=True, exist_ok=True)
    if folder is not None and os.access(folder, os.W_OK | os.X_OK):
        yield folder
    else:
        with TemporaryDirectory(prefix="gapsearch-") as temporary:
            yield Path(temporary)


def _cached(path: Path) -> Dataset | None:
    """Read a data set of the cache; a damaged one is removed, to be made again."""
    if not path.exists():
        return None
    try:
        found = dataset_file.read(path)
        with suppress(OSError):
            os.utime(path)  # the least recently used go first
        return found
    except InputError:
        path.unlink(missing_ok=True)
        return None


def _make_room(folder: Path, kept: Path, limit: float = LARGEST_CACHE) -> None:
    """Remove the data sets of the cache that were not used for longest, until the others fit the limit.

    One that another run reads goes on to be read: a file lives as long as somebody maps it.
    """
    files = []
    for path in (*folder.glob("*.h5"), *folder.glob(".*.part")):
        with suppress(OSError):
            files.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in files)
    for used, size, path in sorted(files):
        if total <= limit:
            return
        if path != kept and not (path.suffix == ".part" and time.time() - used < UNFINISHED):
            with suppress(OSError):
                path.unlink()
                total -= size


def _simulate(
    detector: Detector, shape: tuple[int, int], frames: int, seed: int, settings: dict[str, object]
) -> Dataset:
    from scattering.simulation.recording import record

    # Each simulated frame is a sample of its own.
    raw = (
        RawFrame(f.name, f.name, f.category, f.truth, f.valid, f.observed, f.counts, f.clean, f.calibration)
        for f in record(detector, shape, frames, seed=seed)
    )
    working = replace(detector, gap=detector.gap_for(shape))
    return dataset.build(raw, working, shape, settings, narrowest=shape[1], seed=seed)
