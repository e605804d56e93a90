"""What detector files hold: whose frames they are, which of their pixels are to be believed, what belongs together.

Found once, from the lists of frames and a sample of them, and shown by `python -m scattering.look`; then every frame
is read as these findings say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scattering.arguments import Options
from scattering.dataset import RawFrame
from scattering.detectors import Detector
from scattering.reading.stacks import Stack

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Sensor:
    """What recorded the frames of one shape."""

    name: str
    """As pyFAI calls it, or in words where it knows none."""
    gap: Bools
    """(rows, columns), where it has no sensor."""
    pixel_size: tuple[float, float]
    masked: Bools
    """What the mask file adds."""
    dead: Bools
    """Pixels that stay dark where their neighbours count."""
    hot: Bools
    """Pixels that count far more than their neighbours in every frame."""


class Place(NamedTuple):
    """One frame: a stack by its number in the findings, and the frame's number in it."""

    stack: int
    frame: int


@dataclass(frozen=True)
class Findings:
    """All that is known before frames are prepared. It can be pickled: tasks on other machines read by it."""

    stacks: tuple[Stack, ...]
    sensors: dict[tuple[int, int], Sensor]
    """By frame shape."""
    pedestals: tuple[float, ...]
    """Counts to subtract, one a stack."""
    places: tuple[Place, ...]
    """Every frame, in the order of the data set."""
    names: tuple[str, ...]
    groups: tuple[str, ...]
    categories: tuple[str, ...]
    """One a frame, in the order of `places`."""
    target: Detector
    """Whose gaps are filled."""
    options: Options

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.places)


def survey(patterns: Sequence[str], options: Options) -> Findings:
    """Find out what the files hold.

    Raises InputError for files that cannot be used, or where it cannot be told whose gaps are to be filled.
    """
    raise NotImplementedError


def read_raw(findings: Findings, numbers: Sequence[int]) -> Iterator[RawFrame]:
    """Read frames by their numbers in `findings.places`, with what is valid and observed in each.

    Raises InputError for a damaged file, or a frame without a single observed pixel.
    """
    raise NotImplementedError
