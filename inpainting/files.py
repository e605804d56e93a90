"""Frames of files filled one after another, and written as they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from inpainting.model import Model, Report
from inpainting.picture import write_picture
from scattering.arguments import Options
from scattering.errors import InputError
from scattering.outputs import check_output
from scattering.provenance import versions
from scattering.reading.locations import Location
from scattering.survey.findings import Findings, measured_frames
from scattering.writing.filled import Filled
from scattering.writing.paths import beside, is_hdf5
from scattering.writing.process import is_filled_from
from scattering.writing.stacks import write_filled


@dataclass(frozen=True)
class FileFiller:
    """A model, and how users want files to be filled by it."""

    model: Model
    options: Options
    """What is said of the frames."""
    max_uncertainty: float
    force: bool
    overwrite: bool
    """Whether files of any origin may be replaced."""
    pictures: list[Path]
    """Pictures that are still to be made: of the next frame that is filled."""

    def fill(
        self, findings: Findings, number: int, output: Path, progress: Callable[[int], None] = lambda done: None
    ) -> str:
        """Fill the frames of one stack, by its number in the findings; returns what was done, in words.

        A frame that is unlike those of the training is left as it is, with the reason in its note.
        Raises InputError where all of them are, where the file cannot be read or written, or where it would replace a
        file of another origin.
        """
        tally: Counter[str] = Counter()
        stack = findings.stacks[number]
        source = _source(stack.location)
        extra = None if is_hdf5(stack, output) else beside(output)
        check_output(output, is_filled_from(source, extra), overwrite=self.overwrite)
        if extra is not None:
            check_output(extra, is_filled_from(source), overwrite=self.overwrite)
        frames = self._frames(findings, number, tally, progress)
        write_filled(stack, output, frames, {**self.note, "source": source})
        return _summary(tally)

    @cached_property
    def note(self) -> dict[str, Any]:
        """With what frames were filled, for whoever reads them later."""
        told = self.model.description
        return {
            "program": "gapsearch",
            "versions": versions(),
            "model": {
                "run": told.run,
                "created": told.created,
                "members": [asdict(member) for member in told.members],
                "detector": told.detector,
                "native": list(told.native),
                "working": list(told.working),
                "data": told.data,
                "versions": told.versions,
            },
            "settings": {
                "max_uncertainty": self.max_uncertainty,
                "force": self.force,
                **{name: value for name, value in asdict(self.options).items() if value is not None},
            },
        }

    def _frames(
        self, findings: Findings, number: int, tally: Counter[str], progress: Callable[[int], None]
    ) -> Iterator[Filled]:
        """Fill frame after frame, and count what becomes of them."""
        first = findings.firsts[number]
        mine = range(first, first + len(findings.stacks[number]))
        for done, (place, frame) in enumerate(zip(mine, measured_frames(findings, mine), strict=True), 1):
            try:
                fill, report = self.model.fill_frame(
                    frame.counts,
                    frame.valid,
                    hidden=frame.hidden,
                    pedestal=findings.pedestals[number],
                    calibration=findings.geometry(place).calibration,
                    max_uncertainty=self.max_uncertainty,
                    force=self.force,
                )
            except InputError as error:
                tally["refused"] += 1
                if tally["refused"] == len(mine):
                    raise
                nothing = np.zeros(frame.counts.shape, bool)
                unknown = np.full(frame.counts.shape, np.nan, np.float32)
                yield Filled(frame.counts, nothing, unknown, {"refused": str(error)})
            else:
                tally["frames"] += 1
                while self.pictures:
                    write_picture(self.pictures.pop(), findings.names[place], frame.counts, frame.valid, fill)
                tally.update({"filled": report.filled, "far": report.far, "unsure": report.unsure})
                yield Filled(
                    fill.counts,
                    ~np.isnan(fill.uncertainty),
                    fill.uncertainty,
                    {**asdict(report), **_geometry(report, findings, place)},
                )
            progress(done)


def _geometry(report: Report, findings: Findings, place: int) -> dict[str, str]:
    """Say by which geometry a fill follows the rings of its frame."""
    return {"geometry": findings.geometry(place).origin} if report.rings else {}


def _source(location: Location) -> str:
    """Return the name of a stack, by which its filled file is known again."""
    return str(Location(location.path.resolve(), location.inside))


def _summary(tally: Counter[str]) -> str:
    """Say what became of the frames of a file."""
    pixels = tally["filled"] + tally["far"] + tally["unsure"]
    parts = [f"{tally['filled']} of {pixels} missing pixels filled"]
    if tally["frames"] + tally["refused"] > 1:
        parts[0] += f" in {tally['frames']} frames"
    for key, why in (("far", "too far from measured ones"), ("unsure", "too uncertain")):
        if tally[key]:
            parts.append(f"{tally[key]} left: {why}")
    if tally["refused"]:
        parts.append(f"{tally['refused']} frames refused: see their notes")
    return "; ".join(parts)
