"""The shift of the detector between two exposures, found from the exposures themselves.

For every shift at once: the mean squared difference of the two over the pixels that both measure, from masked
cross-correlations (Padfield, IEEE Trans. Image Process. 21 (2012) 2706). Square roots of counts all have the same
noise (Anscombe, Biometrika 35 (1948) 246), so that neither bright nor dark parts decide. The highest correlation does
less well: where a pattern is smooth, shifts that bring more contrast into view correlate more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.fft

from scattering.arrays import Bools, Reals
from scattering.errors import InputError

Shift = tuple[int, int]
"""Rows down and columns to the right by which the second exposure is moved to lie on the first."""

Pixel = TypeVar("Pixel", bound=np.generic)

FARTHEST = 1 / 4
"""Share of rows and columns by which a detector may have been moved."""

LEAST_OVERLAP = 1 / 4
"""Share of the pixels valid in both as they lie; fewer may agree by chance."""

STRIPE = 16
"""Columns of the stripes that belong to one half of a frame and to the other in turn."""

TOLERANCE = 1
"""Pixels by which the halves may differ: detectors are moved by fractions of a pixel, too."""

MOST_UNEXPLAINED = 0.1
"""Share of the first exposure's variance that neither the second nor photon noise explains: 0.009 for a film that
changed between its exposures, below 0.02 in simulated pairs, above 0.15 in nearly all pairs of different patterns."""

NOISE = 1 / 4
"""Variance of the square root of a number of photons."""

WAY_OUT = "give the shift with --shift=ROWS,COLUMNS if it is known"


class Exposure(NamedTuple):
    """One exposure; both arrays (rows, columns)."""

    counts: npt.NDArray[Any]
    valid: Bools

    def moved(self, shift: Shift) -> Exposure:
        """Move it down and to the right by whole pixels; what comes in at its edges is not valid."""
        return Exposure(_moved(self.counts, shift), _moved(self.valid, shift))


def find_shift(pairs: Sequence[tuple[Exposure, Exposure]]) -> Shift:
    """Find the one shift that lays the second exposures of all pairs on the first.

    Raises InputError where the exposures do not tell: the two halves of the frames (alternate stripes of columns) do
    not agree within a pixel, the patterns differ, or they agree best as they lie. What is fixed to the detector and
    not to the beam, a mask's shadow or uneven pixels, speaks for no shift: where it outweighs the pattern, the shift
    must be given.
    """
    both, *halves = (_lowest(part) for part in np.mean([_differences(*pair) for pair in pairs], axis=0))
    if any(np.abs(np.subtract(half, both)).max() > TOLERANCE for half in halves):
        raise InputError(
            f"the exposures must tell how far the detector was moved, got (rows, columns) {halves[0]} from one half "
            f"of their columns and {halves[1]} from the other: {WAY_OUT}"
        )
    share = float(np.mean([_unexplained(first, second.moved(both)) for first, second in pairs]))
    if share > MOST_UNEXPLAINED:
        raise InputError(
            f"both exposures must show the same pattern, got {share:.0%} of it unexplained at the best shift, "
            f"(rows, columns) {both}: {WAY_OUT}"
        )
    if both == (0, 0):
        raise InputError(f"the detector must have been moved, got exposures that agree best as they lie: {WAY_OUT}")
    return both


def correlation(first: Exposure, second: Exposure) -> float:
    """Correlation of the logarithms of the counts where both are valid; NaN where they are constant."""
    both = first.valid & second.valid
    logs = [np.log1p(np.maximum(exposure.counts[both], 0).astype(float)) for exposure in (first, second)]
    if not all(np.ptp(log) > 0 for log in logs):
        return float("nan")
    return float(np.corrcoef(*logs)[0, 1])


def _unexplained(first: Exposure, second: Exposure) -> float:
    """Share of the variance of the first exposure's roots that neither photon noise nor the second explains."""
    both = first.valid & second.valid
    root, other = _root(first)[both], _root(second)[both]
    scale = float(root @ other) / max(float(other @ other), 1e-9)
    differences = float(np.mean((root - scale * other) ** 2) / (1 + scale**2))
    return max(differences - NOISE, 0.0) / max(float(root.var()) - NOISE, 1e-9)


def _moved(frame: npt.NDArray[Pixel], shift: Shift) -> npt.NDArray[Pixel]:
    result = np.zeros_like(frame)
    to, since = zip(*(_lying(size, step) for size, step in zip(frame.shape, shift, strict=True)), strict=True)
    result[to] = frame[since]
    return result


def _lying(size: int, step: int) -> tuple[slice, slice]:
    """Return the part of a moved axis that lies on the old one, on each of them."""
    return slice(max(step, 0), max(size + min(step, 0), 0)), slice(max(-step, 0), max(size - max(step, 0), 0))


def _differences(first: Exposure, second: Exposure) -> Reals:
    """Mean squared differences of the whole and of its two halves, (3, rows of shifts, columns of shifts)."""
    shape = first.valid.shape
    farthest = [int(side * FARTHEST) for side in shape]
    size = [scipy.fft.next_fast_len(side + far, real=True) for side, far in zip(shape, farthest, strict=True)]
    root, other_root = _root(first), _root(second)
    other = [scipy.fft.rfft2(part, size).conj() for part in (second.valid.astype(float), other_root, other_root**2)]

    def sums(stripes: Reals) -> Reals:
        """Pixels valid in both, sums of squares of the first and of the second, and of products, at all shifts."""
        own = [scipy.fft.rfft2(part * stripes, size) for part in (first.valid.astype(float), root, root**2)]
        products = (own[0] * other[0], own[2] * other[0], own[0] * other[2], own[1] * other[1])
        return np.stack([_near(scipy.fft.irfft2(product, size), farthest) for product in products])

    left = (np.arange(shape[1]) // STRIPE % 2).astype(float)
    halves = [sums(left), sums(1 - left)]
    return np.stack([_mean(*part) for part in (halves[0] + halves[1], *halves)])


def _root(exposure: Exposure) -> Reals:
    """Square root of the counts; 0 where not valid."""
    counts = np.where(exposure.valid, exposure.counts, 0).astype(float)
    return np.where(exposure.valid, np.sqrt(np.maximum(counts, 0) + 3 / 8), 0)


def _near(surface: Reals, farthest: list[int]) -> Reals:
    """Cut out the shifts of at most `farthest` rows and columns, ascending."""
    rows, columns = farthest
    return np.roll(surface, farthest, (0, 1))[: 2 * rows + 1, : 2 * columns + 1]


def _mean(number: Reals, squares: Reals, other_squares: Reals, products: Reals) -> Reals:
    """Mean squared difference at the relative scale of the exposures that makes it least, a shift at a time."""
    rows, columns = number.shape
    enough = number > max(LEAST_OVERLAP * number[rows // 2, columns // 2], 1)
    scale = products / np.maximum(other_squares, 1e-9)
    # Both exposures have noise: across the line, as in total least squares.
    differences = (squares - scale * products) / (1 + scale**2)
    result = np.full(number.shape, np.inf)
    result[enough] = differences[enough] / number[enough]
    return result


def _lowest(surface: Reals) -> Shift:
    if np.isinf(surface).all():
        raise InputError(f"both exposures must measure the same places, got next to none that both do: {WAY_OUT}")
    row, column = np.unravel_index(surface.argmin(), surface.shape)
    return int(row) - surface.shape[0] // 2, int(column) - surface.shape[1] // 2
