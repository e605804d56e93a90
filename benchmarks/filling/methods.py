"""Methods that fill the same frames as a model, at the frames' own size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from inpainting.model import Model, working_shape
from inpainting.native import enlarge
from scattering.arrays import Bools, Floats, Reals
from scattering.calibration import Calibration
from scattering.filling import interpolation
from scattering.filling.polar import Bins, inpaint
from scattering.preprocessing import resize, to_counts, to_intensity

Fill = Callable[[Reals, Bools], Reals]
"""Takes counts (rows, columns) and what of them is measured, gives counts."""

TUNED = Bins(1024, 512, 1)
"""pyFAI's bins with gaps widened by one of them: the best of those tried in benchmarks/LOG.md."""


def methods(model: Model, calibration: Calibration | None = None) -> dict[str, Fill]:
    """Return the model and its peers by name; pyFAI's fill where the geometry is known."""

    def by_model(counts: Reals, seen: Bools) -> Reals:
        return model.fill(counts, seen, force=True).counts.astype(np.float64)

    found: dict[str, Fill] = {
        "model": by_model,
        "linear": _on_intensity(linear),
        "biharmonic": _on_intensity(interpolation.biharmonic),
        "linear, working grid": _on_working_grid(model, linear),
        "biharmonic, working grid": _on_working_grid(model, interpolation.biharmonic),
    }
    if calibration is not None:
        found["pyFAI"] = _on_intensity(lambda image, seen: inpaint(image, seen, calibration))
        found["pyFAI, gaps widened by 1"] = _on_intensity(
            lambda image, seen: inpaint(image, seen, calibration, TUNED)
        )
    return found


def intensity(counts: npt.NDArray[np.generic]) -> Reals:
    """Transform counts as the evaluation does."""
    return np.asarray(to_intensity(np.maximum(counts.astype(np.float64), 0)))


def linear(image: Floats, seen: Bools) -> Floats:
    """Interpolate along rows and columns."""
    filled: Floats = interpolation.linear(torch.from_numpy(image), torch.from_numpy(seen)).numpy()
    return filled


def _on_intensity(fill: Callable[[Floats, Bools], Floats]) -> Fill:
    """Fill the transformed frame at its own size."""

    def each(counts: Reals, seen: Bools) -> Reals:
        filled = fill(np.where(seen, intensity(counts), 0).astype(np.float32), seen)
        return np.where(seen, counts, to_counts(np.clip(filled, 0, 1).astype(np.float64)))

    return each


def _on_working_grid(model: Model, fill: Callable[[Floats, Bools], Floats]) -> Fill:
    """Fill the frame resized as for the model, and enlarge what lies in the gaps as the model does."""

    def each(counts: Reals, seen: Bools) -> Reals:
        shape = (counts.shape[0], counts.shape[1])
        values, known = resize(counts, seen, working_shape(model.description, shape))
        filled = fill(intensity(values).astype(np.float32), known)
        row, column = np.nonzero(~seen)
        result = counts.copy()
        result[row, column] = to_counts(enlarge(filled, shape, (row, column)))
        return result

    return each
