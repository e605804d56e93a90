"""Search space of MSDNet."""

from __future__ import annotations

from optuna.distributions import BaseDistribution, IntDistribution

from spaces.training import GEOMETRY, TASK, training

DEFAULTS: dict[str, int | float | str] = {
    "task": "residual",
    "geometry": "yes",
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
        "task": TASK,
        "geometry": GEOMETRY,
        # Cost grows with the square, so in octaves; the paper tried 50, 100 and 200.
        "num_layers": IntDistribution(10, 40, log=True) if small else IntDistribution(20, 200, log=True),
        # Must reach over a gap within a few layers; the paper tried 12, 15 and 20 at twice the quick size.
        "max_dilation": IntDistribution(4, 12) if small else IntDistribution(5, 20),
        # Adam with a cosine: above 2e-2 it diverges, below 5e-4 it does not arrive within a search.
        **training((2, 8) if small else (2, 32), (5e-4, 2e-2)),
    }
