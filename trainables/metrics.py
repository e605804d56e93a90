"""Metrics of fills: functions of predicted and true values over chosen pixels."""

from __future__ import annotations

import numpy as np

from scattering.arrays import Reals


def mean_absolute_error(prediction: Reals, truth: Reals) -> float | None:
    """Mean |prediction - truth|; None without pixels."""
    if truth.size == 0:
        return None
    return float(np.abs(prediction.astype(np.float64) - truth.astype(np.float64)).mean())


def correlation(prediction: Reals, truth: Reals) -> float | None:
    """Pearson correlation; None with fewer than two pixels, or where either is constant."""
    if truth.size < 2:
        return None
    p = prediction.astype(np.float64) - prediction.mean(dtype=np.float64)
    t = truth.astype(np.float64) - truth.mean(dtype=np.float64)
    scale = float(np.sqrt((p * p).sum() * (t * t).sum()))
    return float((p * t).sum()) / scale if scale > 0 else None
