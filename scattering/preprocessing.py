"""From counts on the detector to intensity in [0, 1] on the working grid, and back."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse

from scattering.arrays import Bools, Floats

FULL_SCALE = 2.0**20
"""Counts that map to 1: a PILATUS counter is 20 bits wide. One constant for a data set, never a frame's
own maximum, which would let bright unobserved pixels change what the network sees."""


def to_intensity(counts: npt.NDArray[np.floating], full_scale: float = FULL_SCALE) -> npt.NDArray[np.floating]:
    """Map counts to log1p(counts) / log1p(full_scale), in the precision given."""
    scale = counts.dtype.type(np.log1p(full_scale))
    return np.asarray(np.log1p(counts) / scale)


def to_counts(intensity: npt.NDArray[np.floating], full_scale: float = FULL_SCALE) -> npt.NDArray[np.floating]:
    """Invert `to_intensity`; exact for whole counts up to full_scale in float64, after rounding."""
    scale = intensity.dtype.type(np.log1p(full_scale))
    return np.asarray(np.expm1(intensity * scale))


@lru_cache(maxsize=32)
def resize_matrix(size: int, new_size: int) -> scipy.sparse.csr_array:
    """Weights (new_size, size) of torch's anti-aliased bicubic resize along one axis."""
    if size == new_size:
        return scipy.sparse.csr_array(scipy.sparse.eye_array(size, dtype=np.float32))
    import torch

    identity = torch.eye(size, dtype=torch.float64)[None, None]
    weights = torch.nn.functional.interpolate(identity, (new_size, size), mode="bicubic", antialias=True)
    return scipy.sparse.csr_array(weights[0, 0].numpy().astype(np.float32))


class ColumnSums(NamedTuple):
    """A frame resized along its columns only, not yet divided: both (new rows, columns)."""

    total: Floats
    """Weighted counts of the known pixels."""
    weight: Floats
    """How much of the weight known pixels carry."""


def column_sums(counts: npt.NDArray[np.generic], known: Bools, rows: int) -> ColumnSums:
    """Do the first half of `resize`: each column on its own, so columns can be left out afterwards."""
    vertical = resize_matrix(counts.shape[0], rows)
    total = np.zeros(counts.shape, np.float32)
    np.copyto(total, counts, where=known, casting="unsafe")
    return ColumnSums(vertical @ total, vertical @ known.astype(np.float32))


def means(
    sums: ColumnSums, columns: int, part: slice = slice(None), hidden: Bools | None = None
) -> tuple[Floats, Bools]:
    """Do the second half of `resize`: (values, known), the `part` of the new `columns`.

    Nothing of the old columns that are `hidden` enters.
    """
    horizontal = resize_matrix(sums.total.shape[1], columns)[part]
    # Only the part of the frame that these columns are made of.
    used = slice(int(horizontal.indices.min()), int(horizontal.indices.max()) + 1)
    halves = []
    for half in sums:
        lines = half[:, used].T.copy()
        if hidden is not None:
            lines[hidden[used]] = 0
        halves.append((horizontal[:, used] @ lines).T)
    total, weight = halves
    enough = weight > 0.5
    values = np.divide(total, weight, out=np.zeros(total.shape, np.float32), where=enough)
    return np.maximum(values, 0), np.ascontiguousarray(enough)


def resize(counts: npt.NDArray[np.generic], known: Bools, shape: tuple[int, int]) -> tuple[Floats, Bools]:
    """Resize a frame from its known pixels alone (normalised convolution), so that no gap value bleeds.

    counts and known are (rows, columns); the result is (values, known) of the new `shape`. A new pixel is known
    when known pixels carry more than half the weight of its footprint; elsewhere its value is 0. At its own size a
    frame stays as it is. What is below zero, bicubic overshoot or noise about a pedestal, is clipped: counts are not
    negative.
    """
    return means(column_sums(counts, known, shape[0]), shape[1])


def footprint(shape: tuple[int, int], new_shape: tuple[int, int]) -> float:
    """Number of pixels that a resized pixel averages, as far as its noise goes: 1 / sum of squared weights.

    14.2 from PILATUS 2M to 512 x 512.
    """
    averaged = 1.0
    for size, new_size in zip(shape, new_shape, strict=True):
        weights = resize_matrix(size, new_size)
        averaged /= float(np.median((weights * weights).sum(axis=1)))
    return averaged


def reach(size: int, new_size: int) -> int:
    """Half-width, in new pixels, of the band around an old pixel that its value can touch."""
    return 2 * max(1, -(-new_size // size)) + 1
