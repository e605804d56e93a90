"""Hints for the residual task: what cheap interpolations would put into each gap, made once for all trainings.

They depend on measured pixels and gaps alone. A window has one of few gap patterns, so all that a search ever needs
is a table; a step then takes them from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scattering.arrays import Floats
from scattering.filling.interpolation import linear, slanted
from scattering.filling.rings import Estimates

if TYPE_CHECKING:
    from trainables.batches import WindowSet

SLOPES = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
"""Directions in which the residual task looks across a gap: the best of them errs by a third of `linear`."""

CHANNELS = 1 + len(SLOPES)
"""Of the hints: the fill by `linear`, and what lines of other slopes would add to it."""


RING_CHANNELS = len(Estimates._fields)
"""Of what rings say."""


class Hints(NamedTuple):
    """The hints of every window of a data set under every gap pattern, in its gap pixels.

    Row (patterns + 1) * window + pattern + 1, where pattern -1 is no artificial gap. Rows with fewer gap pixels than
    others repeat a pixel.
    """

    pixels: npt.NDArray[np.int32]
    """(R, G), places in the flattened window."""
    start: Floats
    """(R, G), the fill by `linear`."""
    slants: npt.NDArray[np.float16]
    """(R, slopes, G): small differences, which half precision holds to a thousandth."""

    def first(self, rows: int) -> Hints:
        """Keep so many rows."""
        return Hints(self.pixels[:rows], self.start[:rows], self.slants[:rows])


class RingTable(NamedTuple):
    """The estimates of whole frames' rings (`scattering.filling.rings`) in every window under every gap pattern.

    Rows as those of `Hints`; in gap pixels and those close by.
    """

    pixels: npt.NDArray[np.int32]
    """(R, G), places in the flattened window."""
    values: npt.NDArray[np.float16]
    """(R, RING_CHANNELS, G), the fields of `Estimates`; NaN where nothing is known."""

    def first(self, rows: int) -> RingTable:
        """Keep so many rows."""
        return RingTable(self.pixels[:rows], self.values[:rows])


def make(measured: Tensor, observed: Tensor) -> Tensor:
    """Return the hints of windows (N, 1, H, W) in all their pixels, (N, CHANNELS, H, W)."""
    start = linear(measured, observed)
    return torch.cat((start, slanted(start, observed, SLOPES)), dim=1)


def tabulate(windows: WindowSet) -> Hints:
    """Make the hints of all windows of a data set under every gap pattern."""
    rows = []
    for row in range(len(windows) * (windows.patterns + 1)):
        # One at a time: more do not stay in the caches of a core.
        window, pattern = divmod(row, windows.patterns + 1)
        batch = windows.batch(torch.tensor([window]), torch.tensor([pattern - 1]))
        pixels = (~batch.observed.flatten()).nonzero()[:, 0]
        # A window without gaps has a row, too: of its first pixel, which is measured.
        pixels = pixels if len(pixels) else torch.zeros(1, dtype=torch.int64)
        rows.append((pixels, make(batch.measured, batch.observed).flatten(2)[0, :, pixels]))
    places, values = stacked(rows)
    return Hints(places.astype(np.int32), values[:, 0].copy(), values[:, 1:].astype(np.float16))


def stacked(rows: Sequence[tuple[Tensor, Tensor]]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Stack rows of places (G,) and values (C, G) that differ in length."""
    widest = max(len(pixels) for pixels, _ in rows)
    table = [(_widened(pixels.numpy(), widest), _widened(values.numpy(), widest)) for pixels, values in rows]
    places, values = (np.stack(column) for column in zip(*table, strict=True))
    return places, values


def size(windows: WindowSet) -> int:
    """Return the bytes of the table of a data set, at most."""
    rows = len(windows) * (windows.patterns + 1)
    own = (~windows.observed).flatten(2).sum(2).max()
    laid = (~windows.strips_observed).flatten(3).sum(3).max() if windows.patterns else 0
    return rows * int(own + laid) * (4 + 4 + 2 * len(SLOPES))


Table = TypeVar("Table", Hints, RingTable)


def join(parts: Sequence[Table]) -> Table:
    """Join the tables of consecutive windows."""
    widest = max(part.pixels.shape[-1] for part in parts)
    arrays = (np.concatenate([_widened(array, widest) for array in column]) for column in zip(*parts, strict=True))
    return type(parts[0])(*arrays)


def _widened(rows: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """Repeat the last place of each row."""
    return np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, width - rows.shape[-1])], mode="edge")
