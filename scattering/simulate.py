"""The command `python -m scattering.simulate`: frames of any detector, with the truth that lies in its gaps."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import numpy as np

from scattering.arguments import NATIVE, Parser, at_least, command, output_file, program, working_shape
from scattering.dataset import RawFrame
from scattering.detectors import detector
from scattering.errors import InputError
from scattering.frame_file import is_made_from, write_frames
from scattering.outputs import add_overwrite, check_output
from scattering.simulation.recording import record
from scattering.windows import SMALLEST_SIDE


def simulated_frames(
    name: str, size: str, frames: int, *, seed: int, exposures: int
) -> tuple[str, tuple[int, int], Iterator[RawFrame]]:
    """Simulate frames of a detector by name: (its name, shape of the frames, the frames), each a group of its own.

    Raises InputError for a detector that pyFAI does not know, or a size that makes no frame.
    """
    chosen = detector(name)
    shape = working_shape(size, chosen.gap.shape)
    if min(shape) < SMALLEST_SIDE:
        raise InputError(
            f"a frame needs at least {SMALLEST_SIDE} x {SMALLEST_SIDE} pixels, got {shape[0]} x {shape[1]} for "
            f"{chosen.name}: choose another --detector or --size"
        )
    # Whole photons, unless a pixel is the mean of several.
    dtype = np.int32 if shape == chosen.gap.shape else np.float32
    recorded = record(chosen, shape, frames, seed=seed, exposures=exposures)
    return chosen.name, shape, (
        RawFrame(
            f.name, f.name, f.category, f.truth.astype(dtype), f.valid, f.observed, None, f.clean, f.calibration
        )
        for f in recorded
    )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate frames into a file; returns the exit code."""

    def work() -> None:
        arguments = parser().parse_args(argv)
        source = f"simulated {arguments.detector}"
        check_output(arguments.output, is_made_from(source), overwrite=arguments.overwrite)
        name, shape, frames = simulated_frames(
            arguments.detector, arguments.size, arguments.frames, seed=arguments.seed, exposures=arguments.exposures
        )
        print(f"{arguments.frames} frames of {name}, {shape[0]} x {shape[1]} pixels", file=sys.stderr)
        write_frames(arguments.output, _watched(frames, arguments.frames), arguments.frames, name, source)
        print(arguments.output)

    return command(work)


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(
        prog=program("simulate", "scattering.simulate"),
        description="Simulate frames of a detector into an HDF5 file: powders, solutions, films, with beamstop, "
        "photon noise, gaps, the truth in the gaps, and the noise-free counts.",
    )
    p.add_argument("--detector", default="Pilatus2M", metavar="NAME", help="as pyFAI calls it (default: Pilatus2M)")
    p.add_argument("--frames", type=at_least(1), required=True, metavar="N", help="number of frames")
    p.add_argument("-o", "--output", type=output_file, required=True, metavar="FILE", help="HDF5 file to write")
    add_overwrite(p)
    p.add_argument(
        "--size", default=NATIVE, metavar="PIXELS",
        help=f"PIXELS, ROWSxCOLUMNS or {NATIVE}, the detector's own pixels (default: {NATIVE})",
    )  # fmt: skip
    p.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="equal seeds give equal files (default: 0)"
    )
    p.add_argument(
        "--exposures", type=int, choices=(1, 2), default=2,
        help="2: the detector is moved for a second exposure, which sees the horizontal gaps; 1: no truth in gaps "
        "(default: 2)",
    )  # fmt: skip
    return p


def _watched(frames: Iterator[RawFrame], count: int) -> Iterator[RawFrame]:
    """Show on a terminal how far it is."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(frames, "simulating", total=count, console=console, disable=not console.is_terminal)


if __name__ == "__main__":
    sys.exit(main())
