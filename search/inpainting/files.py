"""Frames of files filled one after another, and written as they come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scattering.arguments import Options
from scattering.errors import InputError
from scattering.survey.findings import Findings, measured_frames
from scattering.writing.filled import Filled
from scattering.writing.stacks import write_filled
from search.inpainting.model import Model
from search.inpainting.picture import write_picture
from search.provenance import versions


@dataclass(frozen=True)
class Settings:
    """What the user says of a fill."""

    options: Options
    max_uncertainty: float
    force: bool


def fill_stack(
    model: Model,
    findings: Findings,
    number: int,
    output: Path,
    settings: Settings,
    pictures: list[Path],
    progress: Callable[[int], None] = lambda done: None,
) -> str:
    """Fill the frames of one stack, by its number in the findings; returns what was done, in words.

    The first frame that is filled is shown in the `pictures` that are still to be made, which are taken off the list.

    A frame that is unlike those of the training is left as it is, with the reason in its note.
    Raises InputError where all of them are, and where the file cannot be read or written.
    """
    tally: Counter[str] = Counter()
    frames = _filled(model, findings, number, settings, tally, pictures, progress)
    write_filled(findings.stacks[number], output, frames, note(model, settings))
    return _summary(tally)


def note(model: Model, settings: Settings) -> dict[str, Any]:
    """Say with what frames were filled, for whoever reads them later."""
    told = model.description
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
            "max_uncertainty": settings.max_uncertainty,
            "force": settings.force,
            **{name: value for name, value in asdict(settings.options).items() if value is not None},
        },
    }


def _filled(
    model: Model,
    findings: Findings,
    number: int,
    settings: Settings,
    tally: Counter[str],
    pictures: list[Path],
    progress: Callable[[int], None],
) -> Iterator[Filled]:
    first = findings.firsts[number]
    mine = range(first, first + len(findings.stacks[number]))
    for done, frame in enumerate(measured_frames(findings, mine), 1):
        try:
            fill, report = model.fill_frame(
                frame.counts,
                frame.valid,
                hidden=frame.hidden,
                pedestal=findings.pedestals[number],
                max_uncertainty=settings.max_uncertainty,
                force=settings.force,
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
            while pictures:
                write_picture(pictures.pop(), findings.names[mine[done - 1]], frame.counts, frame.valid, fill)
            tally.update({"filled": report.filled, "far": report.far, "unsure": report.unsure})
            yield Filled(fill.counts, ~np.isnan(fill.uncertainty), fill.uncertainty, asdict(report))
        progress(done)


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
