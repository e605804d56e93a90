"""Between a detector's own pixels and the working grid: fills computed there, laid into the gaps here."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scattering.arrays import Counts, Floats, Reals
from scattering.preprocessing import resize_matrix
from scattering.survey.validity import FULL_COUNTERS, LARGEST

Places = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


def enlarge(image: Floats, shape: tuple[int, int], places: Places) -> Reals:
    """Interpolate an image of the working grid (bicubic) at pixels `places` = (rows, columns) of a frame of `shape`.

    Not below or above the working pixels nearby: a cubic overshoots beside bright lines.
    """
    rows, row_weights = _taps(image.shape[0], shape[0])
    columns, column_weights = _taps(image.shape[1], shape[1])
    # Along columns of the image whole, which is few numbers; then along rows, at the places alone.
    tall = np.zeros((shape[0], image.shape[1]))
    lowest, highest = np.full(tall.shape, np.inf), np.full(tall.shape, -np.inf)
    for i in range(rows.shape[1]):
        value = image[rows[:, i]].astype(np.float64)
        tall += value * row_weights[:, i, None]
        np.minimum(lowest, value, out=lowest)
        np.maximum(highest, value, out=highest)
    row, column = places
    total = np.zeros(len(row))
    low, high = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for j in range(columns.shape[1]):
        place = row * image.shape[1] + columns[column, j]
        total += tall.ravel()[place] * column_weights[column, j]
        np.minimum(low, lowest.ravel()[place], out=low)
        np.maximum(high, highest.ravel()[place], out=high)
    return np.clip(total, low, high)


def nearest(image: npt.NDArray[np.int64], shape: tuple[int, int], places: Places) -> npt.NDArray[np.int64]:
    """Return the working pixel that holds the centre of each pixel `places` of a frame of `shape`."""
    row, column = (
        (2 * place + 1) * new // (2 * old) for place, new, old in zip(places, image.shape, shape, strict=True)
    )
    return np.asarray(image[row, column])


def whole_counts(values: Reals, places: Places, dtype: np.dtype[Any]) -> Counts:
    """Give counts the type of a file; integers so that many together keep their mean.

    Rounding to the nearest would lose 0.3 counts a pixel. Each is rounded up or down by a threshold that depends on
    its place: the R2 sequence (Roberts 2018, "The unreasonable effectiveness of quasirandom sequences"), even in the
    small as random numbers are not. What no counter holds, or means that it was full, does not come out.
    """
    if dtype.kind == "f":
        return np.asarray(values.astype(dtype))
    row, column = places
    threshold = (0.7548776662466927 * row + 0.5698402909980532 * column) % 1
    most = min(np.iinfo(dtype).max, LARGEST) - 1
    whole = np.clip(np.floor(values + threshold), 0, most).astype(np.int64)
    whole[np.isin(whole, FULL_COUNTERS)] -= 1
    return np.asarray(whole.astype(dtype))


def _taps(size: int, new_size: int) -> tuple[npt.NDArray[np.intp], Reals]:
    """Working pixels (new_size, taps) that each pixel is made of, and their weights; unused taps weigh 0."""
    matrix = resize_matrix(size, new_size)
    used = np.diff(matrix.indptr)
    indices = np.zeros((new_size, int(used.max())), np.intp)
    weights = np.zeros(indices.shape)
    filled = np.arange(indices.shape[1]) < used[:, None]
    # An unused tap repeats the first one.
    indices[:] = matrix.indices[matrix.indptr[:-1]][:, None]
    indices[filled], weights[filled] = matrix.indices, matrix.data
    return indices, weights
