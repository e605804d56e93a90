"""Parameters of the training, which the spaces of all networks have in common."""

from __future__ import annotations

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

TASK = CategoricalDistribution(("residual", "blind"))
"""Blind is the paper's way; residual learns much faster. Which wins depends on data and budget."""

GEOMETRY = CategoricalDistribution(("yes", "no"))
"""Whether a residual network looks along the rings of the frame: in a run whose frames have a known geometry."""


def training(batch_size: tuple[int, int], learning_rate: tuple[float, float]) -> dict[str, BaseDistribution]:
    """Return the distributions of the windows a step and of Adam's learning rate."""
    return {
        # In octaves: halving it doubles the steps, which is what matters.
        "batch_size": IntDistribution(*batch_size, log=True),
        "learning_rate": FloatDistribution(*learning_rate, log=True),
    }
