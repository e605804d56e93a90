"""Search space of MSDNet."""

from __future__ import annotations

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

DEFAULTS: dict[str, int | float | str] = {
    "task": "residual",
    "num_layers": 20,
    "max_dilation": 6,
    "batch_size": 2,
    "learning_rate": 5e-3,
}
"""Known to train within minutes on two CPU cores; the first trial of every search."""


def space(preset: str) -> dict[str, BaseDistribution]:
    """Return the distributions of a search; the quick preset is kept to what two CPU cores can train."""
    small = preset == "quick"
    return {
        # Blind is the paper's way; residual learns much faster. Which wins depends on data and budget.
        "task": CategoricalDistribution(("residual", "blind")),
        # Cost grows with the square, so in octaves; the paper tried 50, 100 and 200.
        "num_layers": IntDistribution(10, 40, log=True) if small else IntDistribution(20, 200, log=True),
        # Must reach over a gap within a few layers; the paper tried 12, 15 and 20 at twice the quick size.
        "max_dilation": IntDistribution(4, 12) if small else IntDistribution(5, 20),
        # Windows a step. In octaves: halving it doubles the steps, which is what matters.
        "batch_size": IntDistribution(2, 8, log=True) if small else IntDistribution(2, 32, log=True),
        # Adam with a cosine: above 2e-2 it diverges, below 5e-4 it does not arrive within a search.
        "learning_rate": FloatDistribution(5e-4, 2e-2, log=True),
    }
