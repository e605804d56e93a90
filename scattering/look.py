"""Show what detector files hold before frames are prepared: `python -m scattering.look FILE...`."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scattering.arguments import Parser, add_frame_options, at_least, command, frame_options, output_file, program
from scattering.arrays import Bools
from scattering.dataset import RawFrame
from scattering.errors import InputError
from scattering.outputs import add_overwrite, check_output, is_picture_of
from scattering.split import split
from scattering.survey.contact_sheet import SHEET, write_contact_sheet
from scattering.survey.findings import Findings, Sensor, check_all_read, identify, raw_frames
from scattering.survey.validity import LARGEST, full, is_round

FILES = 50
"""Lines of the table."""

GROUPS = 12
"""Groups that are named in each part of the split."""

HOT = 12
"""Hot pixels that are named."""

LOOKED_AT = 3
"""Frames of each file that are read for its line."""

NOT_FOUND = "not found: --poni FILE or --beam ROW,COL says where it is, for networks that follow rings"

# Shares of valid pixels, and of the sensor, above which a frame is odd.
MANY_ZEROS = 0.5
LOST = 0.05


def main(arguments: Sequence[str] | None = None) -> int:
    """Look at files, print what was found, write the contact sheet; returns the exit code."""
    return command(lambda: _look(parser().parse_args(arguments)))


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(prog=program("look", "scattering.look"), description=__doc__)
    p.add_argument(
        "files", nargs="+", metavar="FILE", help="files, folders, globs, or paths in HDF5: scan.h5::/entry/data/data"
    )
    add_frame_options(p)
    p.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="of the split (default: 0)")
    p.add_argument(
        "-o", "--output", type=output_file, default=Path("contact_sheet.png"), metavar="FILE.png",
        help="contact sheet (default: contact_sheet.png)",
    )  # fmt: skip
    add_overwrite(p)
    return p


def _look(given: argparse.Namespace) -> None:
    findings = identify(given.files, frame_options(given))
    for note in findings.notes:
        print(note, file=sys.stderr)
    for line in _report(findings, given.seed):
        print(line)
    check_output(given.output, is_picture_of(SHEET), overwrite=given.overwrite)
    write_contact_sheet(findings, given.output)
    print(f"Contact sheet: {given.output}")
    check_all_read(findings)


def _report(findings: Findings, seed: int) -> Iterator[str]:
    """Say what was found, line by line."""
    files = {stack.location.path for stack in findings.stacks}
    hot = {shape: np.zeros(shape, bool) for shape in findings.sensors}
    table = list(_table(findings, hot))
    yield f"{_count(len(findings), 'frame')} in {_count(len(files), 'file')}"
    yield ""
    for shape, sensor in findings.sensors.items():
        yield from _sensor(findings, shape, sensor, hot[shape])
        yield ""
    yield from table
    yield ""
    yield from _groups(findings, seed)
    yield ""
    if findings.obstacle:
        yield from _wrapped(f"Not ready to be prepared: {findings.obstacle}", 0)
    else:
        yield f"To be filled: the gaps of {findings.target.name}"


def _sensor(findings: Findings, shape: tuple[int, int], sensor: Sensor, hot: Bools) -> Iterator[str]:
    """Describe the detector of one frame shape, and what is odd about all of its frames."""
    known = all(map(math.isfinite, sensor.pixel_size))
    pixels = (
        " x ".join(f"{1e6 * side:.4g}" for side in sensor.pixel_size) + " um pixels" if known else "pixels unknown"
    )
    yield f"{shape[0]} x {shape[1]}: {sensor.name} ({sensor.origin}), {pixels}"
    yield f"  gaps      {_stripes(sensor.gap)}"
    if sensor.masked.any():
        yield f"  mask      {sensor.masked.mean():.2%} of the frame"
    looked = _count(len(sensor.sample), "frame")
    yield f"  dead      {_count(int(sensor.dead.sum()), 'pixel')}, hot {hot.sum()} (in {looked} looked at)"
    if hot.any():
        places = "; ".join(f"{row},{column}" for row, column in np.argwhere(hot)[:HOT].tolist())
        more = f" and {hot.sum() - HOT} more" if hot.sum() > HOT else ""
        yield from _wrapped(f"hot       {places}{more} (row,column), hidden where they are hot", 2, 12)
    taken = next(p for stack, p in zip(findings.stacks, findings.pedestals, strict=True) if stack.shape == shape)
    yield from _beams(findings, shape)
    yield f"  pedestal  {taken:g}" + (" (estimated)" if findings.options.pedestal == "auto" else "")
    if sensor.pedestal and findings.options.pedestal is None:
        yield f"  note: a pedestal of about {sensor.pedestal:g} counts looks present; --pedestal auto takes it off"


def _beams(findings: Findings, shape: tuple[int, int]) -> Iterator[str]:
    """Say where the beam hits the frames of a shape, group by group where these differ."""
    groups: dict[str, list[str]] = {}
    for (own, group), geometry in findings.geometries.items():
        if own == shape:
            groups.setdefault(geometry.origin if geometry.known else NOT_FOUND, []).append(group)
    for words, names in list(groups.items())[:GROUPS]:
        more = f" and {len(names) - 1} more" if names[1:] else ""
        whose = "" if len(groups) == 1 else f": {_short(names[0], 30)}{more}"
        yield from _wrapped(f"beam      {words}{whose}", 2, 12)
    if len(groups) > GROUPS:
        yield f"            and {len(groups) - GROUPS} more places"


def _stripes(gap: Bools) -> str:
    """Describe gaps by their stripes and their share."""
    if not gap.any():
        return "none"
    told = [
        f"{len(sizes)} {kind} of {_range(sizes)} {unit}"
        for kind, unit, flags in (
            ("horizontal", "rows", gap.mean(axis=1) > 0.5),
            ("vertical", "columns", gap.mean(axis=0) > 0.5),
        )
        if (sizes := _runs(flags))
    ]
    return ", ".join([*told, f"{gap.mean():.2%} of the frame"])


def _runs(flags: Bools) -> list[int]:
    """Lengths of the runs of True."""
    edges = np.diff(np.concatenate(([False], flags, [False])).astype(np.int8))
    return [int(length) for length in np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)]


def _range(sizes: Sequence[int]) -> str:
    return f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)}-{max(sizes)}"


def _table(findings: Findings, hot: dict[tuple[int, int], Bools]) -> Iterator[str]:
    """Yield a line a file, and below it what is odd; of files of many frames, a few are read.

    Their hot pixels are added to those of their shape in `hot`.
    """
    yield f"{'file':<34} {'frames':>6} {'shape':>9} {'type':<7} {'valid':>6} {'range':>14}  {'group':<14} detector"
    # Ranges as the file has them.
    plain = replace(findings, pedestals=(0.0,) * len(findings.stacks))
    starts = np.cumsum([0, *map(len, findings.stacks)])
    several = Counter(stack.location.path for stack in findings.stacks)
    for number, stack in enumerate(findings.stacks[:FILES]):
        chosen = np.unique(np.linspace(0, len(stack) - 1, LOOKED_AT).round().astype(int)) + starts[number]
        sensor = findings.sensors[stack.shape]
        seen = []
        for frame in raw_frames(plain, chosen.tolist()):
            seen.append(_seen(frame, sensor))
            if frame.hot is not None:
                hot[stack.shape] |= frame.hot
        groups = sorted(set(findings.groups[starts[number] : starts[number + 1]]))
        path = stack.location.path
        label = path.name + (f"::{stack.location.inside}" if several[path] > 1 else "")
        low, high = min(one.low for one in seen), max(one.high for one in seen)
        yield (
            f"{_short(label, 34):<34} {len(stack):>6} {'x'.join(map(str, stack.shape)):>9} {stack.dtype!s:<7} "
            f"{np.mean([one.valid for one in seen]):>6.1%} {f'{low:g}..{high:g}' if low <= high else '-':>14}  "
            f"{_short(groups[0] if len(groups) == 1 else f'{len(groups)} groups', 14):<14} {_short(sensor.name, 22)}"
        )
        # One of a kind: frames of a file differ by their numbers.
        notes = {re.sub(r"[\d.]+", "", note): note for one in seen for note in one.notes}
        notes |= dict(zip(stack.unclear, stack.unclear, strict=True))
        yield from (line for note in notes.values() for line in _wrapped(f"note: {note}", 4))
    if len(findings.stacks) > FILES:
        yield f"and {len(findings.stacks) - FILES} more"
    if max(map(len, findings.stacks)) > LOOKED_AT:
        yield f"(valid, range and notes are of {LOOKED_AT} frames where a file has more)"


class _Seen(NamedTuple):
    """Findings about one frame."""

    valid: float
    """Share of its pixels."""
    low: float
    high: float
    """Least and largest valid count; inf and -inf where there is none."""
    notes: list[str]


def _seen(frame: RawFrame, sensor: Sensor) -> _Seen:
    counts = frame.truth[frame.valid]
    low, high = (float(counts.min()), float(counts.max())) if counts.size else (math.inf, -math.inf)
    return _Seen(float(frame.valid.mean()), low, high, list(_odd(frame, sensor)))


def _odd(frame: RawFrame, sensor: Sensor) -> Iterator[str]:
    """Say what a user should look into."""
    counts = frame.truth[frame.valid]
    if not frame.observed.any():
        yield f"nothing is observed in {frame.name}: leave it out"
    if counts.size:
        yield from _units(counts)
        zeros = float((counts == 0).mean())
        if zeros == 1:
            yield "all valid counts are 0"
        elif zeros > MANY_ZEROS:
            yield f"{zeros:.0%} zeros: few photons, or clipped at 0"
        elif is_round(frame.truth):
            yield "the corners hold 0 and the middle does not: a round sensor? --mask hides what lies around it"
    # What is larger than any counter is the code of a pixel.
    beyond = sensor.gap | sensor.no_data(frame.truth) | (frame.truth.astype(np.float64) > LARGEST)
    saturated = int((full(frame.truth, sensor.gap, frame.stated) & ~beyond).sum())
    if saturated:
        yield f"{_count(saturated, 'saturated pixel')}, not valid"
    filled = float(frame.valid[sensor.gap].mean()) if sensor.gap.any() else 0.0
    if filled:
        yield f"{filled:.0%} of the gap pixels hold counts that differ: taken for truth, filled by a second exposure"
    lost = float((~frame.valid & ~sensor.masked)[~sensor.gap].mean())
    if lost > LOST:
        yield f"{lost:.0%} of the sensor without counts: modules missing or hidden"
    below = float((counts.astype(np.float64) < 0).mean()) if counts.size else 0.0
    if sensor.below_zero and below:
        yield f"{below:.1%} of the counts are below 0: taken for measured, a background was subtracted"


FAINTEST = 1.0
"""Largest count of a frame, at least, that holds counts: one photon."""

LARGEST_LOGARITHM = 25.0
"""Of counts, whatever the base."""


def _units(counts: npt.NDArray[Any]) -> Iterator[str]:
    """Say where a frame does not seem to hold counts."""
    highest = float(counts.max())
    if 0 < highest < FAINTEST:
        yield f"all values lie below one count (up to {highest:.3g}): divided by a monitor? multiply them by it"
    elif (
        counts.dtype.kind == "f" and highest < LARGEST_LOGARITHM and (counts != np.trunc(counts)).mean() > MANY_ZEROS
    ):
        yield f"fractions up to {highest:.3g}: logarithms, or divided by a monitor? networks expect counts"


def _groups(findings: Findings, seed: int) -> Iterator[str]:
    """Say which groups there are, and on which side of the split each falls."""
    sizes = Counter(findings.groups)
    yield f"{_count(len(sizes), 'group')}; split with seed {seed}:"
    try:
        parts = split(findings.groups, seed)
    except InputError as error:
        yield from _wrapped(str(error), 2)
        parts = (list(range(len(findings))),)
    for name, part in zip(("train", "validation", "test") if len(parts) > 1 else ("all",), parts, strict=True):
        inside = sorted({findings.groups[frame] for frame in part})
        told = ", ".join(f"{_short(group, 30)} ({sizes[group]})" for group in inside[:GROUPS])
        more = f" and {len(inside) - GROUPS} more" if len(inside) > GROUPS else ""
        text = f"{name:<11}{_count(len(part), 'frame')} in {_count(len(inside), 'group')}: {told}{more}"
        yield from _wrapped(text, 2, 13)


def _wrapped(text: str, indent: int, hang: int | None = None) -> list[str]:
    return wrap(text, 100, initial_indent=" " * indent, subsequent_indent=" " * (indent if hang is None else hang))


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")


def _short(text: str, width: int) -> str:
    """Cut text in the middle: series differ at their ends."""
    if len(text) <= width:
        return text
    return f"{text[: (width - 1) // 2]}…{text[-(width // 2) :]}"


if __name__ == "__main__":
    sys.exit(main())
