"""Search space of the partial-convolution network."""

from __future__ import annotations

from optuna.distributions import BaseDistribution, IntDistribution

from spaces.training import GEOMETRY, TASK, training

DEFAULTS: dict[str, int | float | str] = {
    "task": "residual",
    "geometry": "yes",
    "depth": 2,
    "base_channels": 24,
    "batch_size": 4,
    "learning_rate": 3e-3,
}
"""Known to train within a minute on two CPU cores; the first trial of every search."""


def space(preset: str) -> dict[str, BaseDistribution]:
    """Return the distributions of a search; the quick preset is kept to what two CPU cores can train."""
    small = preset == "quick"
    return {
        # Knowing the gaps, it paints whole windows sooner than the others: blind may win where time allows.
        "task": TASK,
        "geometry": GEOMETRY,
        # One level closes gaps of 6 pixels, two of 14, more are context; at 7 the bottom of a 512 x 128 window is
        # one pixel wide (paper: 5).
        "depth": IntDistribution(1, 4) if small else IntDistribution(2, 7),
        # Cost grows with the square, so in octaves; the paper's 32, and an octave to either side.
        "base_channels": IntDistribution(12, 32, log=True) if small else IntDistribution(16, 64, log=True),
        # Adam; the paper's 1e-3 and a factor of ten above it, for the cosine and for few steps.
        **training((2, 16) if small else (4, 128), (3e-4, 1e-2)),
    }
