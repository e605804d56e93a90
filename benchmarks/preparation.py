"""Speed and memory of the preparation of a data set from detector files, and the effect of a kill on the way.

`python -m benchmarks.preparation --output benchmarks/results/preparation.md`

Full-size frames are simulated into several files, some 10 MB a frame before compression, in a temporary folder. Then
`python -m scattering.prepare` is run as users run it, with one core and with more. Memory is the sum of the
proportional set sizes of all its processes, Ray's among them, sampled twice a second. At last it is killed (-9, all
processes at once) when half of the frames are done, and run again. Linux.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from filecmp import cmp
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from scattering.dataset_file import read
from scattering.files import replacing
from scattering.provenance import machine
from tests.processes import descendants, kill

PER_FILE = 50
"""Frames."""
LINE = re.compile(r"(\d+) of \d+ frames(?: ([\d.]+) frames/s)?")
"""What the command prints on the way."""


class Measured(NamedTuple):
    """One run of the command."""

    seconds: float
    """From start to end."""
    rate: float
    """Frames a second, from when the first are done."""
    memory: float
    """Bytes, of all processes together, at the peak."""
    largest: float
    """Bytes of the largest process, then."""


def main(argv: Sequence[str] | None = None) -> None:
    """Simulate, prepare, kill, prepare again; print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=500, help="simulated frames (default: %(default)s)")
    parser.add_argument("--detector", default="Pilatus2M", help="whose frames (default: %(default)s)")
    parser.add_argument("--size", default="512", help="working size (default: %(default)s)")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2], help="numbers of cores (default: 1 2)")
    parser.add_argument("--repeats", type=int, default=2, help="runs with each number (default: %(default)s)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write what is printed to this file too")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="preparation-") as folder:
        lines = list(report(options, Path(folder)))
    text = "\n".join(lines) + "\n"
    print(text)
    if options.output:
        with replacing(options.output) as temporary:
            temporary.write_text(text, encoding="utf-8")


def report(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    """Measure, in Markdown, line by line."""
    simulate(options.detector, options.frames, folder)
    raw = sum(path.stat().st_size for path in folder.glob("raw_*.h5"))
    runs: dict[int, list[Measured]] = {cores: [] for cores in options.cores}
    for _ in range(options.repeats):  # taking turns, so that a slow phase of the machine meets all
        for cores, measured in runs.items():
            measured.append(undisturbed(options, folder, cores))
    size = (folder / "data.h5").stat().st_size
    facts = machine()
    yield "# Preparing detector frames"
    yield ""
    yield f"- Command: `{' '.join(['python -m benchmarks.preparation', *sys.argv[1:]])}`"
    yield f"- Date: {date.today()}. Machine: {facts['cores']} CPU cores ({facts['processor']})"
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "h5py", "ray"))
    yield f"- Versions: Python {platform.python_version()}, {packages}"
    yield (
        f"- {options.frames} simulated full-size frames of {options.detector} in files of {PER_FILE}, "
        f"{raw / 1e9:.2f} GB compressed; working size {options.size}; data set {size / 1e9:.2f} GB"
    )
    yield (
        f"- Median of {options.repeats} runs (least–most). Frames/s from when the first are done; start-up: "
        "the rest of the wall time. Memory: sum of PSS of all processes, Ray's too, at the peak"
    )
    yield ""
    yield "| cores | frames/s | wall time, s | start-up, s | memory, GB | of it the largest process, GB |"
    yield "|---|---|---|---|---|---|"
    for cores, measured in runs.items():
        columns = (
            spread([run.rate for run in measured], ".1f"),
            spread([run.seconds for run in measured], ".0f"),
            spread([run.seconds - options.frames / run.rate for run in measured], ".1f"),
            spread([run.memory / 1e9 for run in measured], ".2f"),
            spread([run.largest / 1e9 for run in measured], ".2f"),
        )
        yield f"| {cores} | {' | '.join(columns)} |"
    yield ""
    few, many = (statistics.median(run.rate for run in runs[cores]) for cores in (min(runs), max(runs)))
    yield f"From {min(runs)} to {max(runs)} cores: {many / few:.2f} times the frames a second."
    yield killed(options, folder)
    yield reading(folder / "data.h5")


def simulate(detector: str, frames: int, folder: Path) -> None:
    """Write raw files of PER_FILE frames each."""
    for number, first in enumerate(range(0, frames, PER_FILE)):
        count = min(PER_FILE, frames - first)
        subprocess.run(
            [sys.executable, "-m", "scattering.simulate", "--detector", detector, "--frames", str(count),
             "--seed", str(number), "-o", folder / f"raw_{number:03d}.h5"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip


@contextmanager
def started(options: argparse.Namespace, folder: Path, cores: int, output: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command; whatever of it is left at the end of the block is killed."""
    sources = sorted(folder.glob("raw_*.h5"))
    process = subprocess.Popen(
        [sys.executable, "-m", "scattering.prepare", *sources, "-o", folder / output, "--detector", options.detector,
         "--size", options.size, "--cores", str(cores)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            kill(descendants(process.pid))
        process.communicate()


def undisturbed(options: argparse.Namespace, folder: Path, cores: int) -> Measured:
    """Run the command to its end."""
    begun = time.monotonic()
    with started(options, folder, cores, "data.h5") as process, peak(process.pid) as memory:
        rate = max(progress(process), default=(0, 0.0))[1]
        process.wait()
    if process.returncode:
        raise SystemExit(f"the command failed with {process.returncode}")
    return Measured(time.monotonic() - begun, rate, *max(memory))


def killed(options: argparse.Namespace, folder: Path) -> str:
    """Kill the command in the middle, run it again and compare."""
    with started(options, folder, max(options.cores), "killed.h5") as process:
        for done, _ in progress(process):
            if 2 * done >= options.frames:
                break
    again = resumed(options, folder)
    equal = cmp(folder / "data.h5", folder / "killed.h5", shallow=False)
    return (
        f"Killed (-9) after {done} frames were told of, run again: "
        f"{'byte for byte the file' if equal else 'NOT the file'} of a run that was left alone, in {again:.0f} s."
    )


def resumed(options: argparse.Namespace, folder: Path) -> float:
    """Go on with what was killed; seconds."""
    begun = time.monotonic()
    with started(options, folder, max(options.cores), "killed.h5") as process:
        for _ in progress(process):
            pass
        process.wait()
    return time.monotonic() - begun


def reading(path: Path) -> str:
    """Read the data set, which checks every frame."""
    begun = time.monotonic()
    read(path)
    seconds = time.monotonic() - begun
    size = path.stat().st_size
    return f"Reading it, with the check of every frame: {seconds:.1f} s, {size / seconds / 1e9:.1f} GB/s."


def progress(process: subprocess.Popen[str]) -> Iterator[tuple[int, float]]:
    """Frames done and frames a second, as the command says them."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := LINE.match(line):
            yield int(found[1]), float(found[2] or 0)


@contextmanager
def peak(pid: int) -> Iterator[list[tuple[float, float]]]:
    """Sample memory: (bytes of all processes, bytes of the largest) twice a second."""
    ended, samples = threading.Event(), []

    def sample() -> None:
        while not ended.wait(0.5):
            sizes = [proportional(process) for process in descendants(pid)]
            samples.append((sum(sizes), max(sizes)))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def proportional(pid: int) -> float:
    """Proportional set size of a process, bytes; none of one that has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return 1024.0 * int(line.split()[1])
    return 0.0


def spread(values: Sequence[float], how: str) -> str:
    """Return median (least–most)."""
    return f"{statistics.median(values):{how}} ({min(values):{how}}–{max(values):{how}})"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
