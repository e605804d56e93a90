"""Around the beam: pyFAI's fill in polar coordinates, and the azimuthal average I(q)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scattering.arrays import Bools, Floats, Reals
from scattering.calibration import Calibration


class Bins(NamedTuple):
    """Numbers of bins of pyFAI's polar image, and by how many of them the gaps are widened along the rings."""

    npt_rad: int
    npt_azim: int
    grow_mask: int


def inpaint(values: Floats, observed: Bools, calibration: Calibration, bins: Bins | None = None) -> Floats:
    """Fill the unobserved pixels of one frame (rows, columns) along its rings, as pyFAI's `inpainting` does.

    Without `bins` with pyFAI's own: 1024 x 512, gaps widened by 3. Meant for rings and halos of any texture; what is
    not centred on the beam it smears.
    """
    integrator = _integrator(calibration, values.shape)
    chosen = bins._asdict() if bins else {}
    filled = integrator.inpainting(values, ~observed, **chosen)
    return np.where(observed, values, filled).astype(np.float32)


@lru_cache(maxsize=8)
def _integrator(calibration: Calibration, shape: tuple[int, int]) -> Any:
    """Keep the last ones: what each prepares takes three times as long as a fill, and 15 to 30 MB."""
    return calibration.integrator(shape)


def azimuthal_average(
    values: npt.NDArray[np.floating], q: Reals, edges: Reals
) -> tuple[Reals, npt.NDArray[np.int64]]:
    """Average the values of pixels (N,) at q (N,) between the edges of bins: (mean, pixels), NaN in empty bins.

    A pixel belongs to the bin that holds its centre; the last bin holds its upper edge.
    """
    pixels, _ = np.histogram(q, edges)
    total, _ = np.histogram(q, edges, weights=values)
    return np.divide(total, pixels, out=np.full(len(pixels), np.nan), where=pixels > 0), pixels
