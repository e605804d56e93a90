"""Losses over chosen pixels: pure functions."""

from __future__ import annotations

from torch import Tensor


def absolute_error(prediction: Tensor, truth: Tensor, scored: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of |prediction - truth| over the pixels where `scored` is True, and their number (at least 1)."""
    return ((prediction - truth).abs() * scored).sum(), scored.sum().clamp(min=1)
