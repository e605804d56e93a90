"""The geometry of frames: as the user says, as their files say, or as the frames themselves tell."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from scattering.calibration import UNKNOWN, Calibration, centred, read_poni
from scattering.dataset import RawFrame
from scattering.errors import InputError
from scattering.survey.beam import find_beam


class Geometry(NamedTuple):
    """The geometry of frames, and how it is known."""

    calibration: Calibration
    origin: str
    """In words."""

    @property
    def known(self) -> bool:
        """Tell whether there is any."""
        return not math.isnan(self.calibration.distance)


NOWHERE = Geometry(UNKNOWN, "unknown")


def given_geometry(
    poni: str | None, beam: str | None, shape: tuple[int, int], pixel_size: tuple[float, float]
) -> Geometry | None:
    """Return what a PONI file says, or ROW,COL; None where neither is given.

    Raises InputError for both at once, and for what is neither.
    """
    if poni is not None and beam is not None:
        raise InputError(f"a PONI file says where the beam is, got --poni {poni} and --beam {beam}: leave out one")
    if poni is not None:
        return Geometry(read_poni(Path(poni), shape), f"--poni {poni}")
    if beam is None:
        return None
    try:
        row, column = (float(part) for part in beam.split(","))
    except ValueError:
        row = column = math.nan
    if not (math.isfinite(row) and math.isfinite(column)):
        raise InputError(f"--beam must be ROW,COL in pixels, got {beam!r}: 512.5,487")
    return Geometry(centred(row, column, shape, pixel_size), f"--beam {beam}")


def find_geometry(frames: Iterable[RawFrame], shape: tuple[int, int], pixel_size: tuple[float, float]) -> Geometry:
    """Return what the files say of frames of one detector position, all of one shape, else what the frames tell.

    Unknown where neither does, or where the files say that the frames are of several positions.
    """
    looked = list(frames)
    stated = {frame.calibration for frame in looked if not math.isnan(frame.calibration.distance)}
    if stated:
        return Geometry(stated.pop(), "as the file says") if len(stated) == 1 else NOWHERE
    found = find_beam([(frame.truth, frame.observed) for frame in looked])
    if found is None:
        return NOWHERE
    words = f"found at row {found.row:.1f}, column {found.column:.1f} (to {max(found.error, 0.1):.1f} pixels)"
    return Geometry(centred(found.row, found.column, shape, pixel_size), words)
