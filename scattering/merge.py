"""The command `python -m scattering.merge`: two exposures with the detector moved between them become the truth.

As in section 2 of the paper: the second exposure, laid on the first and scaled to it, fills what the first has no
data for.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scattering.arguments import Parser, add_frame_options, command, frame_options, output_file, program
from scattering.arrays import Bools
from scattering.dataset import RawFrame
from scattering.errors import InputError
from scattering.frame_file import is_made_from, write_frames
from scattering.outputs import add_overwrite, check_output
from scattering.registration import Exposure, Shift, correlation, find_shift
from scattering.survey.findings import Findings, read_raw, survey

Numbers = npt.NDArray[np.generic]

SAMPLE = 4
"""Pairs that the shift is found from: the detector is moved once for a whole series."""

TILE = 32
"""Pixels a side of the tiles whose intensities are compared."""

OUTLIER = 5.0
"""Standard deviations; a tile farther off does not count: a spot that came or went, an edge of a shadow."""


class Agreement(NamedTuple):
    """Figures that tell whether two exposures belong together, and the gain of their merging."""

    name: str
    scale: float
    """Intensity of the first exposure relative to the second."""
    uncertainty: float
    """Standard deviation of the scale."""
    correlation: float
    """Of the logarithms of the counts that both measured."""
    missing: int
    """Pixels that the first has no data for."""
    covered: int
    """Those of them that the second measured."""


def merge(first: RawFrame, second: RawFrame, shift: Shift, hidden: Bools | None = None) -> tuple[RawFrame, Agreement]:
    """Fill what the first exposure has no data for from the second, moved by `shift` and scaled.

    Counts of the first stay as they are. Pixels that are `hidden`, (rows, columns), by what does not move with the
    detector stay unknown. Raises InputError where too few pixels tell the scale.
    """
    one, other = Exposure(first.truth, first.valid), Exposure(second.truth, second.valid).moved(shift)
    scale, uncertainty = relative_scale(one, other, first.name)
    missing = ~one.valid if hidden is None else ~(one.valid | hidden)
    gained = other.valid & missing
    # Wide enough for every count of the first.
    truth = first.truth.astype(np.result_type(first.truth.dtype, np.float32))
    truth[gained] = scale * other.counts[gained].astype(float)
    agreement = Agreement(
        first.name, scale, uncertainty, correlation(one, other), int(missing.sum()), int(gained.sum())
    )
    return first._replace(truth=truth, valid=one.valid | gained), agreement


def relative_scale(first: Exposure, second: Exposure, name: str) -> tuple[float, float]:
    """Intensity of the first exposure relative to the second, and its standard deviation.

    The ratio of all counts where both are valid, which is what counts tell best, without the tiles that differ from
    it by far more than the others; the scatter of the others gives the uncertainty.
    Raises InputError where that leaves next to nothing.
    """
    both = first.valid & second.valid
    sums = np.array([_tiles(np.where(both, exposure.counts, 0)) for exposure in (first, second)])
    one, other = sums[:, (sums > 0).any(axis=0)]
    kept = np.ones(len(one), bool)
    for _ in range(20):
        if kept.sum() < 2 or not (one[kept].sum() > 0 and other[kept].sum() > 0):
            raise InputError(
                f"both exposures must count something in the same places, got next to nothing in {name!r}"
            )
        scale = one[kept].sum() / other[kept].sum()
        # Photon noise, and beyond it what the tiles' own scatter shows.
        expected = np.sqrt(np.maximum(one + scale**2 * other, 1))
        deviation = (one - scale * other) / expected
        spread = max(1.0, 1.4826 * float(np.median(np.abs(deviation[kept]))))
        again = np.abs(deviation) <= OUTLIER * spread
        if (again == kept).all():
            break
        kept = again
    residual = (one - scale * other)[kept]
    return float(scale), float(np.sqrt((residual**2).sum()) / other[kept].sum())


def _tiles(image: Numbers) -> npt.NDArray[np.float64]:
    """Sums over tiles of an image (rows, columns), (tiles,)."""
    down = np.add.reduceat(image.astype(float), np.arange(0, image.shape[0], TILE), axis=0)
    return np.asarray(np.add.reduceat(down, np.arange(0, image.shape[1], TILE), axis=1).ravel())


def main(argv: Sequence[str] | None = None) -> int:
    """Merge two stacks of frames pair by pair; returns the exit code."""

    def work() -> None:
        arguments = parser().parse_args(argv)
        options = frame_options(arguments)
        first, second = (survey([pattern], options) for pattern in (arguments.first, arguments.second))
        sensor = _common_sensor(first, second)
        shift = arguments.shift or find_shift(_sample(first, second))
        print(f"shift: {shift[0]} rows, {shift[1]} columns, {'given' if arguments.shift else 'found'}")
        if arguments.output.resolve() in (*first.files, *second.files):
            raise InputError(f"-o must not take the place of an exposure, got {arguments.output}: take another name")
        source = "\n".join(str(path.resolve()) for path in (*first.files, *second.files))
        check_output(arguments.output, is_made_from(source), overwrite=arguments.overwrite)
        hidden = _hidden(first)
        agreements: list[Agreement] = []

        def merged() -> Iterator[RawFrame]:
            for pair in _pairs(first, second, range(len(first))):
                frame, agreement = merge(*pair, shift, hidden)
                agreements.append(agreement)
                yield frame

        write_frames(arguments.output, merged(), len(first), sensor, source)
        print("\n".join(_report(agreements)))
        print(arguments.output)

    return command(work)


def _common_sensor(first: Findings, second: Findings) -> str:
    """Name what recorded the frames of both.

    Raises InputError where they cannot be paired.
    """
    shapes = {stack.shape for findings in (first, second) for stack in findings.stacks}
    if len(first) != len(second):
        raise InputError(
            f"FIRST and SECOND must hold equally many frames, pairs in order, got {len(first)} and {len(second)}"
        )
    if len(shapes) > 1:
        sizes = ", ".join(f"{rows} x {columns}" for rows, columns in sorted(shapes))
        raise InputError(f"both exposures must be of one detector, got frames of {sizes} pixels")
    return first.sensors[shapes.pop()].name


def _hidden(findings: Findings) -> Bools:
    """Return the pixels that the mask file hides beyond the gaps: a beamstop or a shadow, staying with the beam."""
    (sensor,) = findings.sensors.values()
    return sensor.masked & ~findings.target.gap_for((sensor.gap.shape[0], sensor.gap.shape[1]))


def _pairs(first: Findings, second: Findings, numbers: Sequence[int]) -> Iterator[tuple[RawFrame, RawFrame]]:
    return zip(read_raw(first, numbers), read_raw(second, numbers), strict=True)


def _sample(first: Findings, second: Findings) -> list[tuple[Exposure, Exposure]]:
    numbers = sorted({round(number) for number in np.linspace(0, len(first) - 1, SAMPLE)})
    return [
        (Exposure(one.truth, one.valid), Exposure(other.truth, other.valid))
        for one, other in _pairs(first, second, numbers)
    ]


def _report(agreements: Sequence[Agreement]) -> Iterator[str]:
    """Lines on what came out, (of many pairs) how far apart they are."""
    worst = min(agreements, key=lambda agreement: agreement.correlation)
    scales = [agreement.scale for agreement in agreements]
    covered, missing = (sum(getattr(each, name) for each in agreements) for name in ("covered", "missing"))
    if len(agreements) == 1:
        yield f"scale: {worst.scale:.4f} +- {worst.uncertainty:.4f}"
        yield f"correlation of log counts: {worst.correlation:.3f}"
    else:
        typical = float(np.median([agreement.uncertainty for agreement in agreements]))
        mean = float(np.mean([agreement.correlation for agreement in agreements]))
        yield f"scale: {min(scales):.4f} to {max(scales):.4f} in {len(scales)} pairs, each +- {typical:.4f}"
        yield f"correlation of log counts: {mean:.3f}, least {worst.correlation:.3f} in {worst.name!r}"
    yield f"covered: {covered / max(missing, 1):.1%} of the pixels without data in the first exposure"


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(
        prog=program("merge", "scattering.merge"),
        description="Merge exposures with the detector moved between them: the second fills the gaps of the first.",
    )
    p.add_argument("first", metavar="FIRST", help="frames whose gaps are filled: a file, or HDF5 file::path")
    p.add_argument("second", metavar="SECOND", help="as many frames with the detector moved, in the same order")
    p.add_argument("-o", "--output", type=output_file, required=True, metavar="FILE", help="HDF5 file to write")
    add_overwrite(p)
    p.add_argument(
        "--shift", type=_shift, metavar="ROWS[,COLUMNS]",
        help="pixels down and to the right that lay SECOND on FIRST, as in --shift=-30 (default: found)",
    )  # fmt: skip
    add_frame_options(p)
    return p


def _shift(text: str) -> Shift:
    found = re.fullmatch(r"(-?\d{1,5})(?:,(-?\d{1,5}))?", text)
    if not found:
        raise argparse.ArgumentTypeError(
            f"it must be ROWS or ROWS,COLUMNS in whole pixels, got {text!r}: --shift=-30,0"
        )
    return int(found[1]), int(found[2] or 0)


if __name__ == "__main__":
    sys.exit(main())
