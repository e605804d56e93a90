"""A frame whose gaps were filled, as it is handed to be written."""

from __future__ import annotations

from typing import Any, NamedTuple

from scattering.arrays import Bools, Counts, Floats


class Filled(NamedTuple):
    """One frame; all arrays (rows, columns)."""

    counts: Counts
    """In the type of the source; equal to it, bit by bit, wherever `filled` is False."""
    filled: Bools
    """True where counts were filled."""
    uncertainty: Floats
    """Counts: half the width of the interval that holds 68 %; NaN where nothing was filled."""
    note: dict[str, Any]
    """What is said of this frame, such as why it was not filled; of types that JSON knows."""
