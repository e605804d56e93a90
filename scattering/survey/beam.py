"""The beam centre, found from frames: where rings, or a halo, have their middle.

About the true centre all pixels of one radius are alike; about any other they are not. The centre is where the spread
of pixels within narrow rings is smallest. That of any picture is smallest somewhere: it is taken for the beam only
where parts of the frame agree on it, as they do on the middle of whole rings.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage, optimize

from scattering.arrays import Bools, Floats, Reals
from scattering.survey.validity import is_round

COARSE, FINE = 64, 240
"""Pixels of the longer side of the frame in which the centre is looked for, and then found."""

ENOUGH = 100
"""Squares that must have been measured: of a strip as narrow as one, none may be."""

AROUND = 0.5
"""How far outside of the frame it is looked for, in its sides."""

STARTS = 3
"""Places from which the best one is approached."""

AGREE = 1.0
"""Pixels of the frame by which parts of it may differ in the centre."""


class Beam(NamedTuple):
    """The place where the beam hits a frame, in its pixels; whole numbers are pixel centres."""

    row: float
    column: float
    error: float
    """Half of what parts of the frame differ by, at most."""


class _Image(NamedTuple):
    """Pixels that were measured, (N,): their place in the frame and the logarithm of their counts."""

    row: Reals
    column: Reals
    value: Reals


def find_beam(frames: Sequence[tuple[npt.NDArray[np.generic], Bools]]) -> Beam | None:
    """Find the beam centre of frames of one detector position: counts (rows, columns), and what was measured.

    None where the frames do not tell.
    """
    total, seen = _mean(frames)
    if is_round(total):
        seen &= ~_corners(total == 0)
    coarse, fine = (_image(total, seen, side) for side in (COARSE, FINE))
    if seen.sum() < COARSE**2 / 4 or len(coarse.row) < ENOUGH or len(fine.row) < ENOUGH:
        return None
    widths = [max(max(total.shape) / side, 1.0) for side in (COARSE, FINE)]
    near = _refined(coarse, _look(coarse, total.shape), widths[0], total.shape)
    width = widths[1]
    found = near and _refined(fine, [near], width, total.shape)
    if found is None:
        return None
    apart = [_refined(part, [found], width, total.shape) for part in _parts(fine, found)]
    error = max(np.inf if place is None else float(np.hypot(*np.subtract(place, found))) for place in apart) / 2
    return Beam(*found, error) if error <= AGREE else None


def _mean(frames: Sequence[tuple[npt.NDArray[np.generic], Bools]]) -> tuple[Floats, Bools]:
    """Return the mean of the logarithm over the frames in which each pixel was measured, and where that is known."""
    total = np.zeros(frames[0][1].shape)
    times = np.zeros(total.shape)
    for counts, seen in frames:
        total += np.log1p(np.maximum(np.where(seen, counts, 0).astype(np.float64), 0))
        times += seen
    return np.divide(total, times, out=np.zeros_like(total), where=times > 0).astype(np.float32), times > 0


RIM = 0.02
"""Width of the rim of a round sensor, whose counts fall off, in sides of the frame."""


def _corners(dark: Bools) -> Bools:
    """Tell the dark pixels that hang together with the corners, and the rim of what they surround."""
    labels, _ = ndimage.label(dark)
    own = [labels[row, column] for row in (0, -1) for column in (0, -1)]
    away = ndimage.distance_transform_edt(~np.isin(labels, own))
    return np.asarray(away <= RIM * min(dark.shape))


def _image(values: Floats, seen: Bools, side: int) -> _Image:
    """Average over squares, down to so many pixels of the longer side; places are those in the frame."""
    step = max(max(values.shape) // side, 1)
    rows, columns = (size // step for size in values.shape)

    def squares(array: npt.NDArray[np.generic]) -> Reals:
        cut = array[: rows * step, : columns * step].astype(np.float64)
        return np.asarray(cut.reshape(rows, step, columns, step).sum(axis=(1, 3)))

    count, total = squares(seen), squares(np.where(seen, values, 0))
    known = count > step**2 / 2
    mean = np.divide(total, count, out=np.zeros_like(total), where=known)
    row, column = np.nonzero(known)
    middle = (step - 1) / 2.0
    return _Image(row * step + middle, column * step + middle, mean[known])


def _scatter(image: _Image, center: Sequence[float], width: float) -> float:
    """Mean difference of pixels from their ring, of so many pixels in width."""
    radius = np.hypot(image.row - center[0], image.column - center[1]) / width
    place = radius.astype(np.int64)
    share = radius - place
    size = int(place.max()) + 2
    # Linear in radius between the middles of rings: no steps where pixels change from one to the next.
    weight = np.bincount(place, 1 - share, size) + np.bincount(place + 1, share, size)
    total = np.bincount(place, (1 - share) * image.value, size) + np.bincount(place + 1, share * image.value, size)
    profile = total / np.maximum(weight, 1e-9)
    expected = (1 - share) * profile[place] + share * profile[place + 1]
    return float(np.abs(image.value - expected).mean())


def _look(image: _Image, shape: Sequence[int]) -> list[tuple[float, float]]:
    """Return the best places for the centre on a grid that covers the frame and its surroundings, best first."""
    axes = [np.linspace(-AROUND * size, (1 + AROUND) * size, 33) for size in shape]
    width = max(shape) / COARSE
    ranked = sorted((_scatter(image, place, width), place) for place in product(*axes))
    return [place for _, place in ranked[:STARTS]]


def _refined(
    image: _Image, starts: Sequence[tuple[float, float]], width: float, shape: Sequence[int]
) -> tuple[float, float] | None:
    """Return the place near these where the scatter is smallest; None where it leads out of what is looked at."""
    found = []
    for start in starts:
        simplex = np.array(start) + 4 * width * np.array([[0, 0], [1, 0], [0, 1]])
        # Its types do not know of full_output.
        place, scatter, *_ = optimize.fmin(  # type: ignore[call-overload]
            lambda place: _scatter(image, place, width), start, xtol=0.02, ftol=1e-9, maxiter=200, disp=False,
            full_output=True, initial_simplex=simplex,
        )  # fmt: skip
        found.append((float(scatter), (float(place[0]), float(place[1]))))
    best = min(found)[1]
    inside = all(-AROUND * size < place < (1 + AROUND) * size for place, size in zip(best, shape, strict=True))
    return best if inside else None


SECTORS = 8
"""Equal parts of the pixels, in the order of their azimuth."""


def _parts(image: _Image, center: tuple[float, float]) -> list[_Image]:
    """Split pixels by their azimuth: into neighbouring halves, and into alternating sectors."""
    azimuth = np.arctan2(image.row - center[0], image.column - center[1])
    # From the widest empty sector on, so that a narrow view is cut into narrow sectors.
    order = np.sort(azimuth)
    gaps = np.diff(np.concatenate((order, order[:1] + 2 * np.pi)))
    turned = (azimuth - order[(int(gaps.argmax()) + 1) % len(order)]) % (2 * np.pi)
    sector = np.minimum((turned.argsort().argsort() * SECTORS) // len(turned), SECTORS - 1)
    chosen = (sector < SECTORS // 2, sector >= SECTORS // 2, sector % 2 == 0, sector % 2 == 1)
    return [_Image(*(array[part] for array in image)) for part in chosen]
