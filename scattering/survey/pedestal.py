"""The pedestal of CCD frames: counts that the readout adds to every pixel, estimated from dark parts of a frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scattering.arrays import Bools, Counts

BLOCK = 16
"""Side of the squares of pixels whose mean and noise are compared."""

DARK_SHARE = 0.01
"""Share of the blocks that the dark parts are."""


def estimate(counts: Counts, known: Bools) -> float:
    """Estimate the pedestal of one frame, (rows, columns); 0 where the noise leaves room for none.

    After the photon transfer curve (Janesick, "Photon Transfer", SPIE 2007): the variance of a signal grows with
    it, by `gain` counts, which is 1 or more in counts as they were read. So in the darkest blocks, of mean m and
    variance v, no more than v is signal: m - v is taken for the pedestal, less by the variance of the read noise.
    Optics and corrections that smooth a frame lower the gain, so it is believed only where the gain that the brighter
    blocks show leaves half of m as pedestal, too. Frames with fractions were averaged or corrected: none shows there.
    """
    values = _blocks(counts, known)
    if len(values) < 2 / DARK_SHARE or (values != np.trunc(values)).any():
        return 0.0
    means = np.median(values, axis=(1, 2)).astype(np.float64)
    # Second differences along rows: slopes are not taken for noise.
    curvature = np.diff(values, 2, axis=2)
    dark = means <= np.quantile(means, DARK_SHARE)
    mean, variance = float(np.median(means[dark])), float(np.median((curvature[dark] ** 2).mean(axis=(1, 2)) / 6))
    bright = means > mean + 3 * variance**0.5 + 1
    gain = 1.0
    if bright.mean() > DARK_SHARE:
        # Structure adds to the variance of some blocks: the gain is what nine in ten exceed.
        gains = (_noise(curvature[bright]) - variance) / (means[bright] - mean)
        gain = min(float(np.quantile(gains, 0.1)), 1.0)
    if gain <= 0 or mean - variance / gain < max(mean / 2, 1.0):
        return 0.0
    return round(mean - variance, 1)


def _noise(curvature: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Variance of the noise in blocks of second differences, (blocks,), without the largest quarter: spots."""
    inner = np.sort(np.abs(curvature).reshape(len(curvature), -1), axis=1)
    # Of a standard normal distribution, what is left has a mean absolute value of 0.5148.
    return np.asarray((inner[:, : 3 * inner.shape[1] // 4].mean(axis=1) / 0.5148) ** 2 / 6)


def _blocks(counts: Counts, known: Bools) -> npt.NDArray[np.float32]:
    """Squares of pixels without a code among them, (blocks, BLOCK, BLOCK)."""
    rows, columns = (size // BLOCK for size in counts.shape)
    cut = (slice(rows * BLOCK), slice(columns * BLOCK))
    squares, complete = (
        array[cut].reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(-1, BLOCK, BLOCK)
        for array in (counts, known)
    )
    return squares[complete.all(axis=(1, 2))].astype(np.float32)
