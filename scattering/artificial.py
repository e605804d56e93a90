"""Gaps laid where the detector measured, so that what lies under them is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]


def moved_gaps(gap: Bools, valid: Bools, name: str) -> Bools:
    """Lay the gaps that are no vertical ones a second time, moved along the columns: (rows, columns), True to hide.

    For frames of one exposure, which have no truth in these gaps; nowhere True for a frame that has some. How far they
    are moved follows from the frame's `name`.
    """
    return np.zeros_like(valid)
