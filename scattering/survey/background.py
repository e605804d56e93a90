"""Frames from which a background was subtracted: numbers below 0 are counts in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scattering.arrays import Bools, Counts
from scattering.survey.validity import lowest

FEW = 4
"""Different numbers below 0 that codes are: PILATUS writes two, and programs have one of their own."""

SCATTERED = 0.01
"""Share of the pixels that differ from the one before and the one behind in their row, in being below 0. Codes fill
gaps, modules and shadows; single pixels that are dead are one in a thousand or fewer."""

MOVING = 1e-5
"""Share of the pixels that hold -1, unlike their neighbours, and not in every frame: where noise is below 0, that is
its most frequent number. Dead pixels stay where they are, unless the detector is another one: PILATUS writes -2."""


def subtracted(frames: Iterable[tuple[Counts, Bools]]) -> bool:
    """Tell whether numbers below 0 are counts in frames of one sensor: what each holds, and what is hidden in it.

    What is hidden, as gaps, takes no part. In doubt they are codes, as detectors write them.
    """
    numbers: set[float] = set()
    shares: list[float] = []
    once = always = None
    for counts, hidden in frames:
        negative = _below_zero(counts) & ~hidden
        if negative.any():
            numbers.update(np.unique(counts[negative])[: FEW + 1].tolist())
        changes = negative[:, 1:] ^ negative[:, :-1]
        shares.append(float((changes[:, 1:] & changes[:, :-1]).sum() / max((~hidden).sum(), 1)))
        around = ndimage.uniform_filter(negative.astype(np.float32), 3, mode="constant")
        alone = negative & (counts == -1) & (around < 1.5 / 9)
        once = alone if once is None else once | alone
        always = negative if always is None else always & negative
    if once is None or always is None:
        return False
    moving = float((once & ~always).mean())
    return len(numbers) > FEW or float(np.mean(shares)) > SCATTERED or moving > MOVING


def _below_zero(counts: Counts) -> Bools:
    """Whole numbers below 0, but those that no counter counts."""
    values: npt.NDArray[Any] = counts
    negative = np.asarray((values < 0) & (values > lowest(values.dtype)))
    if values.dtype.kind == "f" and negative.any():
        negative &= values == np.trunc(values)
    return negative
