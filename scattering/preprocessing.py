"""From counts on the detector to intensity in [0, 1] on the working grid, and back."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.sparse

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Reals = npt.NDArray[np.floating]

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
    import torch

    identity = torch.eye(size, dtype=torch.float64)[None, None]
    weights = torch.nn.functional.interpolate(identity, (new_size, size), mode="bicubic", antialias=True)
    return scipy.sparse.csr_array(weights[0, 0].numpy().astype(np.float32))


def resize(
    counts: npt.NDArray[np.generic],
    known: Bools,
    shape: tuple[int, int],
    columns: slice = slice(None),
) -> tuple[Floats, Bools]:
    """Resize a frame from its known pixels alone (normalised convolution), so that no gap value bleeds.

    counts and known are (rows, columns); the result is (values, known) of the new `shape`, cut to its
    `columns`. A new pixel is known when known pixels carry more than half the weight of its footprint;
    elsewhere its value is 0. At its own size a frame stays as it is. What is below zero, bicubic overshoot or noise
    about a pedestal, is clipped: counts are not negative.
    """
    if counts.shape == shape:
        values = np.where(known, counts, 0)[:, columns].astype(np.float32)
        return np.maximum(values, 0), known[:, columns].copy()
    vertical = resize_matrix(counts.shape[0], shape[0])
    horizontal = resize_matrix(counts.shape[1], shape[1])[columns]
    # Only the part of the frame that these columns are made of.
    used = np.unique(horizontal.indices)
    part = slice(int(used[0]), int(used[-1]) + 1)
    horizontal = horizontal[:, part]

    def apply(image: Floats) -> Floats:
        rows = np.ascontiguousarray((vertical @ image).T)
        return np.ascontiguousarray((horizontal @ rows).T)

    weight = apply(known[:, part].astype(np.float32))
    total = apply(np.where(known[:, part], counts[:, part], 0).astype(np.float32))
    enough = weight > 0.5
    values = np.divide(total, weight, out=np.zeros_like(total), where=enough)
    return np.maximum(values, 0), enough


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
