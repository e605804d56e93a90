"""Overhead of a trial beside its training: start, reports, checkpoints, the search's own work.

`python -m benchmarks.overhead --output benchmarks/results/overhead.md`
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as `search.run` sets it

import ray

from records.tables import Trial
from scattering import provenance
from scattering.arguments import working_shape
from scattering.detectors import detector
from scattering.files import replacing
from scattering.sources import simulated
from scattering.split import PARTS
from search.machines.cluster import cluster
from search.machines.resources import resources
from search.settings import Settings, resolve
from search.tuning.course import ladder
from search.tuning.tuner import search
from trainables.batches import Part, count_windows


def main() -> None:
    """Search with one place at a time and print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=4, help="of each trial (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="write the table to this file too")
    options = parser.parse_args()
    output = options.output.resolve() if options.output else None
    quick = resolve("tunet", "x", "quick", {})
    data = simulated(detector("Pilatus2M"), working_shape(quick.size, (0, 0)), quick.frames, seed=0)
    train, validation, _ = map(data.part, PARTS)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        # The second and later trials are stopped early at the first rung or not at all: there is one.
        settings = resolve(
            "tunet", "overhead", "quick", {"trials": options.trials, "epochs": options.epochs, "task": "residual"}
        )
        settings.folder.mkdir(parents=True)
        (settings.folder / "run.json").touch()
        began = time.monotonic()
        with cluster():
            started = time.monotonic() - began
            place = resources(parallel=1)
            study, windows = settings.studies[0], count_windows(train)
            ladders = {study.name: ladder(study, windows, options.epochs * windows)}
            trials = search(settings, ray.put((Part(train), Part(validation))), ladders, place)
        rows = measured(settings, trials)
    text = "\n".join([*_heading(options.trials, options.epochs, started), "", *_table(rows)]) + "\n"
    print(text)
    if output:
        with replacing(output) as temporary:
            temporary.write_text(text, encoding="utf-8")


class Measured(NamedTuple):
    """A trial and the seconds from the end of the one before to its start and to its end; None for the first."""

    trial: Trial
    start: float | None
    whole: float | None


def measured(settings: Settings, trials: list[Trial]) -> list[Measured]:
    """Return each trial with its times.

    From the trials' logs: with one place at a time nothing else lies between two ends.
    """
    rows: list[Measured] = []
    before: datetime | None = None
    for trial in sorted(trials, key=lambda trial: trial.trial):
        lines = (settings.folder / "trials" / f"{trial.trial:04d}.log").read_text().splitlines()
        # A trial that is stopped early ends with its last epoch.
        first, last = (datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f") for line in (lines[0], lines[-1]))
        start = None if before is None else (first - before).total_seconds()
        whole = None if before is None else (last - before).total_seconds()
        rows.append(Measured(trial, start, whole))
        before = last
    return rows


def _heading(trials: int, epochs: int, started: float) -> list[str]:
    versions, machine = provenance.versions(), provenance.machine()
    packages = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "ray", "optuna"))
    return [
        "# What a trial takes beside its training",
        "",
        f"- Command: `python -m benchmarks.overhead --trials {trials} --epochs {epochs} "
        "--output benchmarks/results/overhead.md`",
        f"- Date: {date.today()}. Machine: {machine['cores']} CPU cores ({machine['processor']}). "
        f"Versions: {packages}",
        f"- TUNet on the quick data set, one core, one trial at a time; Ray itself took {started:.1f} s to start",
        "- *Start*: from the end of the trial before to the first word of this one, on a worker that is warm",
        "- *Beside*: all from that end to this one's end that is neither training nor validation",
    ]


def _table(rows: list[Measured]) -> list[str]:
    lines = [
        "| trial | epochs | training (s) | start (s) | beside (s) | of the training |",
        "|---|---|---|---|---|---|",
    ]
    for trial, start, whole in rows:
        if start is None or whole is None:
            lines.append(f"| {trial.trial} | {trial.epochs} | {trial.seconds:.1f} | cold | | |")
            continue
        beside = whole - trial.seconds
        share = beside / trial.seconds
        lines.append(
            f"| {trial.trial} | {trial.epochs} | {trial.seconds:.1f} | {start:.2f} | {beside:.2f} | {share:.1%} |"
        )
    return lines


if __name__ == "__main__":
    main()
