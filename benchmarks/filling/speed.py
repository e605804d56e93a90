"""Time and memory of a fill as users run it, beside skimage's biharmonic."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from scattering.dataset import RawFrame
from scattering.detectors import detector
from scattering.frame_file import write_frames
from scattering.simulation.recording import record

BIHARMONIC = """
import pathlib, sys
import fabio, numpy as np
from skimage.restoration import inpaint_biharmonic
output = pathlib.Path(sys.argv[-1])
output.mkdir(exist_ok=True)
for path in map(pathlib.Path, sys.argv[1:-1]):
    image = fabio.open(path)
    missing = image.data < 0
    known = np.log1p(np.where(missing, 0, image.data))
    filled = np.rint(np.expm1(inpaint_biharmonic(known, missing)))
    image.data = np.where(missing, filled, image.data).astype(np.int32)
    image.write(output / path.name)
"""
"""What a user would write: the gaps of CBF files filled in their logarithm."""

FILES = 10
"""A process fills one file, and so many: what it costs to start, and what each costs."""


def table(model: Path, frames: int, repeats: int) -> Iterator[str]:
    """Time whole processes on simulated frames, taking turns, and one on a stack; in Markdown."""
    with tempfile.TemporaryDirectory(prefix="filling-") as name:
        folder = Path(name)
        stack, files = _simulated(folder, frames)
        yield "| a process: read, fill, write | gapsearch | skimage's biharmonic | ratio, pair by pair |"
        yield "|---|---|---|---|"
        times = []
        for count in (1, FILES):
            given = [str(path) for path in files[:count]]
            own = [sys.executable, "-m", "search.inpaint", str(model), *given, "-o", str(folder / "filled")]
            other = [sys.executable, "-c", BIHARMONIC, *given, str(folder / "biharmonic")]
            pairs = np.array([[_run(own)[0], _run(other)[0]] for _ in range(repeats)])
            times.append(pairs)
            yield _row(f"{count} CBF file{'s' if count > 1 else ''}", pairs)
        yield _row("each further file", (times[1] - times[0]) / (FILES - 1))
        yield ""
        command = [sys.executable, "-m", "search.inpaint", str(model), str(stack), "-o", str(folder / "stack")]
        seconds, memory = _run(command)
        rate = frames / seconds
        yield f"A stack of {frames} frames: {seconds:.0f} s, {rate:.2f} frames/s, {memory / 1e9:.2f} GB at the peak."


def _row(what: str, pairs: npt.NDArray[np.float64]) -> str:
    """Medians of both, and of how many times longer the other takes, with its range."""
    own, other = np.median(pairs, axis=0)
    ratios = pairs[:, 1] / pairs[:, 0]
    spread = f"{ratios.min():.2f} to {ratios.max():.2f}"
    return f"| {what} | {own:.2f} s | {other:.2f} s | {np.median(ratios):.2f} ({spread}) |"


def _run(command: list[str]) -> tuple[float, float]:
    """Run a process: its seconds, and the most memory that it held, in bytes."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    memory = 0.0
    while process.poll() is None:
        # What wait4 says of it began with the size of this process.
        with suppress(OSError, IndexError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            memory = max(memory, 1024.0 * int(status.partition("VmHWM:")[2].split()[0]))
        time.sleep(0.02)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return time.perf_counter() - started, memory


def _simulated(folder: Path, frames: int) -> tuple[Path, list[Path]]:
    """Write a stack of full-size frames of one exposure, ten patterns in turn, and each of these as a CBF file."""
    from fabio.cbfimage import CbfImage

    chosen = detector("Pilatus2M")
    few = [
        RawFrame(f.name, f.name, f.category, f.truth.astype(np.int32), f.valid, f.observed)
        for f in record(chosen, chosen.gap.shape, FILES, seed=5, exposures=1)
    ]
    stack = folder / "stack.h5"
    many = (few[n % len(few)]._replace(name=f"{n:04d}") for n in range(frames))
    write_frames(stack, many, frames, chosen.name)
    files = [folder / f"frame_{number}.cbf" for number in range(FILES)]
    with h5py.File(stack) as file:
        for path, counts in zip(files, file["frames"], strict=False):
            CbfImage(data=counts.astype(np.int32)).write(str(path))
    return stack, files
