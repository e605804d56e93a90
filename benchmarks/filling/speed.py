"""How long a fill takes as users run it, against skimage's biharmonic, and in how much memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from scattering.dataset import RawFrame
from scattering.detectors import detector
from scattering.frame_file import write_frames
from scattering.simulation.recording import record

BIHARMONIC = """
import sys
import fabio, numpy as np
from skimage.restoration import inpaint_biharmonic
image = fabio.open(sys.argv[1])
missing = image.data < 0
known = np.log1p(np.where(missing, 0, image.data))
image.data = np.where(missing, np.rint(np.expm1(inpaint_biharmonic(known, missing))), image.data).astype(np.int32)
image.write(sys.argv[2])
"""
"""What a user would write: the gaps of a CBF file filled in its logarithm."""


def table(model: Path, frames: int, repeats: int) -> Iterator[str]:
    """Time whole processes on one simulated frame, taking turns, and one on a stack; in Markdown."""
    with tempfile.TemporaryDirectory(prefix="filling-") as name:
        folder = Path(name)
        stack, cbf = _simulated(folder, frames)
        commands = {
            "gapsearch": [sys.executable, "-m", "search.inpaint", str(model), str(cbf), "-o", str(folder / "out")],
            "biharmonic": [sys.executable, "-c", BIHARMONIC, str(cbf), str(folder / "biharmonic.cbf")],
        }
        took: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repeats):
            for label, command in commands.items():
                took[label].append(_run(command)[0])
        yield "| one frame, a process from start to end | fastest | median | slowest |"
        yield "|---|---|---|---|"
        for label, seconds in took.items():
            yield f"| {label} | {min(seconds):.2f} s | {np.median(seconds):.2f} s | {max(seconds):.2f} s |"
        ratios = np.divide(took["biharmonic"], took["gapsearch"])
        yield ""
        least, most = ratios.min(), ratios.max()
        yield f"Pair by pair biharmonic takes {np.median(ratios):.1f} ({least:.1f} to {most:.1f}) times as long."
        yield ""
        command = [sys.executable, "-m", "search.inpaint", str(model), str(stack), "-o", str(folder / "stack")]
        seconds, memory = _run(command)
        rate = frames / seconds
        yield f"A stack of {frames} frames: {seconds:.0f} s, {rate:.2f} frames/s, {memory / 1e9:.2f} GB at the peak."


def _run(command: list[str]) -> tuple[float, float]:
    """Run a process: its seconds, and the most memory that it held, in bytes."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command} ended with {status}")
    return time.perf_counter() - started, usage.ru_maxrss * 1024.0


def _simulated(folder: Path, frames: int) -> tuple[Path, Path]:
    """Write a stack of full-size frames of one exposure, ten patterns in turn, and the first one as a CBF file."""
    from fabio.cbfimage import CbfImage

    chosen = detector("Pilatus2M")
    few = [
        RawFrame(f.name, f.name, f.category, f.truth.astype(np.int32), f.valid, f.observed)
        for f in record(chosen, chosen.gap.shape, min(frames, 10), seed=5, exposures=1)
    ]
    stack = folder / "stack.h5"
    many = (few[n % len(few)]._replace(name=f"{n:04d}") for n in range(frames))
    write_frames(stack, many, frames, chosen.name)
    with h5py.File(stack) as file:
        CbfImage(data=file["frames"][0].astype(np.int32)).write(str(folder / "frame.cbf"))
    return stack, folder / "frame.cbf"
