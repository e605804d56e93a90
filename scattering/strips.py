"""Strips: the surroundings of artificial gaps, resized without the pixels under them.

An artificial gap is laid on the frame before the resize: laid after it, the pixels beside the gap would still carry
some of what lies under it.
"""

from __future__ import annotations

import numpy as np

from scattering.arrays import Bools, Floats
from scattering.preprocessing import ColumnSums, means, reach
from scattering.windows import Windows


def strip_columns(layout: Windows, narrowest: int) -> tuple[tuple[int, ...], int]:
    """Return the first column of the strip of each gap pattern, within the window, and the width of a strip.

    A strip holds the gap and all that a resize from `narrowest` columns lets it touch, within the window.
    """
    margin = reach(narrowest, layout.frame_shape[1])
    spans = (np.ptp(np.flatnonzero(layout.pattern(number))) for number in layout.gapped)
    widest = max((int(span) + 1 for span in spans), default=0)
    width = min(widest + 2 * margin, layout.width)
    return tuple(min(max(left - margin, 0), layout.width - width) for left in layout.left_edges), width


def strips(
    sums: ColumnSums, vertical: Bools, layout: Windows, starts: tuple[int, ...], width: int
) -> tuple[Floats, Bools]:
    """Lay every gap pattern in every free window and resize what is left around it: (values, known), (P, F, H, S).

    `sums` are of what one exposure measured; `vertical` (columns,) are the vertical gaps at the frame's own size.
    """
    columns = len(vertical)
    scale = columns / layout.frame_shape[1]
    values = np.zeros((len(starts), len(layout.free), layout.frame_shape[0], width), np.float32)
    known = np.zeros(values.shape, bool)
    for p, gapped in enumerate(layout.gapped):
        first = layout.starts[gapped]
        under = np.flatnonzero(vertical)
        under = under[(under >= first * scale) & (under < (first + layout.width) * scale)]
        # In frames of few pixels the gap may round out of the window, or to less than half a pixel.
        middles = (first + np.flatnonzero(layout.pattern(gapped)) + 0.5) * scale
        under = np.union1d(under, middles.astype(np.int64))
        for f, free in enumerate(layout.free):
            place = under + round((layout.starts[free] - first) * scale)
            hidden = np.zeros(columns, bool)
            hidden[place[place < columns]] = True
            left = layout.starts[free] + starts[p]
            strip = slice(left, left + width)
            values[p, f], known[p, f] = means(sums, layout.frame_shape[1], strip, hidden)
    return values, known
