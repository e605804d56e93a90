"""Gaps laid where the detector measured, so that what lies under them is known.

Vertical gaps are laid window by window as batches are drawn (`scattering.windows`). The others need a truth: a second
exposure, or, where there is none, the same gaps laid a second time beside the real ones.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scattering.arrays import Bools
from scattering.windows import vertical_gaps

TALLEST = 1 / 8
"""Share of a frame's height. What is taller is no gap between modules but a missing module or a masked shadow: laid a
second time it would hide much that is measured, and nothing could fill it."""


def moved_gaps(gap: Bools, valid: Bools, name: str) -> Bools:
    """Lay the gaps that are no vertical ones a second time, moved along the columns: (rows, columns), True to hide.

    For frames of one exposure, which have no truth in these gaps; nowhere True for a frame that has some. How far
    they are moved follows from the frame's `name`, each of the shifts that `allowed_shifts` gives being as likely.
    """
    nothing = np.zeros_like(gap)
    crossing = gap & ~vertical_gaps(gap)
    if not crossing.any() or (valid & crossing).any():
        return nothing
    narrow, shifts = _movable(np.packbits(crossing.T, axis=1).tobytes(), gap.shape)
    first = int.from_bytes(hashlib.sha256(f"moved gaps {name}".encode()).digest()[:8])
    for number in range(len(shifts)):
        moved = shifted(narrow, shifts[(first + number) % len(shifts)])
        if (moved & valid).any():
            return moved
    return nothing


def shifted(gap: Bools, rows: int) -> Bools:
    """Move gaps down by `rows`, up where it is negative; what leaves the frame is lost."""
    moved = np.zeros_like(gap)
    if rows >= 0:
        moved[rows:] = gap[: len(gap) - rows]
    else:
        moved[:rows] = gap[-rows:]
    return moved


# Frames of a data set share their gaps, and packed bits are a small key.
@lru_cache(maxsize=8)
def _movable(packed: bytes, shape: tuple[int, int]) -> tuple[Bools, tuple[int, ...]]:
    """Return what can be laid again of the gaps, (rows, columns), and the rows by which it may be moved."""
    rows, columns = shape
    # Most columns of a detector are alike.
    different, column, count = np.unique(
        np.frombuffer(packed, np.uint8).reshape(columns, -1), axis=0, return_inverse=True, return_counts=True
    )
    gap = np.unpackbits(different, axis=1, count=rows).astype(bool)
    narrow = gap & (_heights(gap) <= TALLEST * rows)
    return narrow[column].T, allowed_shifts(gap, narrow, count)


def allowed_shifts(gap: Bools, narrow: Bools, count: npt.NDArray[np.integer]) -> tuple[int, ...]:
    """Rows by which the `narrow` part of `gap` can be moved, ascending; none where there is nothing to move.

    Both are (columns, rows), of which column i stands for `count[i]` equal ones. At least half of what is moved stays
    in the frame, and all of this is at least a gap's height clear of the real gaps and of the frame's edges: a gap
    has measured rows on both sides. Where no shift is, as clear as can be, else with the least overlap.
    """
    rows, size = gap.shape[1], 2 * gap.shape[1]
    moving = count[:, None] * np.conj(np.fft.rfft(narrow, size))
    pixels = np.fft.irfft((moving * np.fft.rfft(np.ones(rows), size)).sum(axis=0), size)
    shifts = np.concatenate([np.arange(1 - rows, 0), np.arange(1, rows)])
    kept = shifts[np.rint(2 * pixels[shifts]) >= max(round(pixels[0]), 1)]
    if not kept.size:
        return ()
    for clearance in range(int(_heights(gap)[narrow].max()), -1, -1):
        close = ndimage.maximum_filter1d(gap.astype(np.uint8), 2 * clearance + 1, axis=1, mode="constant", cval=1)
        overlap = np.fft.irfft((moving * np.fft.rfft(close, size)).sum(axis=0), size)
        share = np.rint(overlap[kept]) / np.rint(pixels[kept])
        if not share.min():
            break
    return tuple(kept[share == share.min()].tolist())


def _heights(gap: Bools) -> npt.NDArray[np.int64]:
    """Rows of the gap that each pixel lies in, all (columns, rows); 0 elsewhere.

    At the upper or lower edge a gap counts as tall as the frame: none between modules has a single measured side.
    """
    rows = gap.shape[1]
    row = np.arange(rows)
    before = np.maximum.accumulate(np.where(gap, -1, row), axis=1)
    after = np.minimum.accumulate(np.where(gap, rows, row)[:, ::-1], axis=1)[:, ::-1]
    return np.where((before < 0) | (after == rows), rows, after - before - 1) * gap
