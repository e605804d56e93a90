"""Search space of TUNet."""

from __future__ import annotations

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from spaces.training import GEOMETRY, TASK, training

DEFAULTS: dict[str, int | float | str] = {
    "task": "residual",
    "geometry": "yes",
    "depth": 2,
    "base_channels": 16,
    "growth_rate": 2.0,
    "batch_size": 4,
    "learning_rate": 5e-3,
}
"""Known to train within minutes on two CPU cores; the first trial of every search."""


def space(preset: str) -> dict[str, BaseDistribution]:
    """Return the distributions of a search; the quick preset is kept to what two CPU cores can train."""
    small = preset == "quick"
    return {
        "task": TASK,
        "geometry": GEOMETRY,
        # Two levels see 10 pixels to each side, every further one over twice as far; the paper went from 4 to 6.
        "depth": IntDistribution(2, 3) if small else IntDistribution(2, 6),
        # Cost grows with the square, so in octaves; the paper tried 16, 32 and 64.
        "base_channels": IntDistribution(8, 24, log=True) if small else IntDistribution(8, 64, log=True),
        # Below 1.5 the deep levels starve, above 2 they hold nearly all parameters (paper: 1.5, 2 and 2.5).
        "growth_rate": FloatDistribution(1.5, 2.0 if small else 2.5, step=0.25),
        # Adam with a cosine: above 2e-2 it diverges, below 5e-4 it does not arrive within a search.
        **training((2, 16) if small else (4, 192), (5e-4, 2e-2)),
    }
