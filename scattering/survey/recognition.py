"""Recognition of the detector from the shape of frames, the text of the file, and the pixels without counts."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from scattering.arrays import Bools
from scattering.detectors import Detector, detectors_of
from scattering.survey.tally import Tally

UNKNOWN_GAPS = ("Lambda 9M",)
"""pyFAI's mask of these is empty: each piece has gaps of its own."""

CLEAR = 0.99
"""Share of the pixels that only one detector leaves out: so many must be dark to speak for it, and a pixel in a
hundred that counts speaks against it."""


class Recognised(NamedTuple):
    """A detector, and how it was found."""

    detector: Detector
    origin: str


def recognise(shape: tuple[int, int], said: str, tally: Tally) -> Recognised:
    """Find the detector of frames of this shape, (rows, columns).

    `said` is what the file says of it. One that pyFAI does not know is described in words; its gaps are then
    where no frame of the sample has anything but codes, or nothing in whole rows or columns.
    """
    candidates = sorted(detectors_of(shape), key=lambda candidate: candidate.name)
    if candidates:
        chosen, clear = _choose(candidates, said, tally)
        if chosen.name in UNKNOWN_GAPS:
            return Recognised(
                Detector(chosen.name, coded_gap(tally), chosen.pixel_size),
                "from the shape of its frames, gaps from codes",
            )
        if clear:
            named = _agreement(chosen.name, said)
            return Recognised(chosen, "as the file says" if named else "from the shape of its frames")
    gap = coded_gap(tally)
    kind = "gaps from codes" if gap.any() else "no gaps"
    name = f"unknown, {shape[0]} x {shape[1]}, {kind}"
    described = Detector(name, gap, (math.nan, math.nan))
    return Recognised(described, "several have this shape" if candidates else "none that pyFAI knows has this shape")


def coded_gap(tally: Tally) -> Bools:
    """Gaps that show in the frames alone: codes in every frame, across half of the height or width or more.

    Also whole rows and columns that are dark in every frame, two or more together, between those that are not; the
    margin of the frame is no gap. A streak of full counters beside a bright peak holds codes, too: it is shorter.
    """
    labels, _ = ndimage.label(~tally.uncoded)
    gap = np.zeros(labels.shape, bool)
    if not tally.uncoded.any():  # frames without a single count tell nothing
        return gap
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        if any(2 * (side.stop - side.start) >= size for side, size in zip(box, labels.shape, strict=True)):
            gap[box] |= labels[box] == number
    dark = tally.dark()
    gap |= _enclosed(np.asarray(dark.all(axis=1)))[:, None]
    gap |= _enclosed(np.asarray(dark.all(axis=0)))
    # Nothing lies beyond the edges of the frame: a dead margin is no gap between modules.
    margins = [_outermost(np.asarray(gap.all(axis=axis))) for axis in (0, 1)]
    return gap & ~margins[0] & ~margins[1][:, None]


def _outermost(lines: Bools) -> Bools:
    """Lines (lines,) before the first and after the last that are not among them."""
    return np.asarray(lines & ~np.asarray(ndimage.binary_fill_holes(~lines)))


def _enclosed(dark: Bools) -> Bools:
    """Dark lines (lines,) between others, two or more together.

    One alone is a dead line of the readout; beyond the outermost that count the light may have ended.
    """
    return np.asarray(ndimage.binary_opening(dark & ndimage.binary_fill_holes(~dark), np.ones(2, bool)))


def _choose(candidates: list[Detector], said: str, tally: Tally) -> tuple[Detector, bool]:
    """Pick the detector that agrees best with the frames, then with the file; and whether no other is as good."""
    common = np.logical_and.reduce([candidate.gap for candidate in candidates])
    dark = tally.dark()

    def merit(candidate: Detector) -> tuple[bool, int, bool]:
        own = candidate.gap & ~common
        contradicted = own.any() and tally.counted[own].mean() > 1 - CLEAR
        confirmed = own.any() and dark[own].mean() >= CLEAR
        return not contradicted, _agreement(candidate.name, said), bool(confirmed)

    best = max(map(merit, candidates))
    # The plain one goes before its variants, "CdTe" and the like, where nothing speaks for these.
    equal = sorted((c for c in candidates if merit(c) == best), key=lambda c: len(_words(c.name)))
    variants = all(_words(equal[0].name) <= _words(candidate.name) for candidate in equal)
    return equal[0], variants or bool(equal[0].gap.any())


def _agreement(name: str, said: str) -> int:
    """Number of words of a name, if the file says all of them, else 0."""
    words = _words(name.partition(",")[0])
    return len(words) if words <= _words(said) else 0


def _words(text: str) -> set[str]:
    """Lower-case words; "PILATUS3 2M" are "pilatus", "3" and "2m"."""
    return set(re.findall(r"\d+[a-z]*|[a-z]+", text.lower().replace("-", "")))
