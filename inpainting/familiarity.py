"""Likeness of a frame to those of the training: the quality of fills of other frames has never been measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from scattering.arrays import Bools, Floats
from scattering.preprocessing import to_counts

Ranges = dict[str, tuple[float, float]]
"""Smallest and largest value of each trait among the training frames."""

TRAITS = ("median", "bright", "hidden")

BRIGHT = 0.999
"""Quantile of the observed intensity that stands for a frame's bright spots: its maximum is one hot pixel's."""

MARGIN = 0.25
"""How far beyond the training frames a trait may lie, as a share of their range,"""
LEAST_MARGIN = 0.03
"""and at least: intensity. Half as many counts again, and as large a share of hidden pixels."""


def traits(measured: Floats, observed: Bools, gap: Bools) -> dict[str, float]:
    """Describe one frame at the working size by a few numbers; all arrays (H, W), intensity in [0, 1].

    `median` and `bright` intensity of its observed pixels, and what share of the pixels beside the gaps is `hidden`.
    """
    seen = measured[observed]
    return {
        "median": float(np.median(seen)),
        "bright": float(np.quantile(seen, BRIGHT)),
        "hidden": float((~observed & ~gap).sum() / max((~gap).sum(), 1)),
    }


def ranges(frames: Iterable[dict[str, float]]) -> Ranges:
    """Return the range of each trait over the training frames, of which there is at least one."""
    rows = list(frames)
    return {name: (min(row[name] for row in rows), max(row[name] for row in rows)) for name in rows[0]}


def unlike(found: Mapping[str, float], known: Ranges, full_scale: float) -> list[str]:
    """Say in which traits a frame is unlike the training frames; nothing where it is like them.

    Of the traits found; one that cannot be compared may be missing.
    """
    reasons = []
    for name in found:
        low, high = known[name]
        margin = max(MARGIN * (high - low), LEAST_MARGIN)
        if low - margin <= found[name] <= high + margin:
            continue
        if name == "hidden":
            reasons.append(
                f"{found[name]:.0%} of its pixels are hidden beside the gaps, {low:.0%} to {high:.0%} in training"
            )
        else:
            value, least, most = to_counts(np.array([found[name], low, high]), full_scale)
            what = "median" if name == "median" else f"{BRIGHT:.1%} quantile"
            reasons.append(f"the {what} of its pixels is {value:.4g} counts, {least:.4g} to {most:.4g} in training")
    return reasons
