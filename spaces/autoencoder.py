"""Search space of the autoencoder."""

from __future__ import annotations

from optuna.distributions import BaseDistribution, IntDistribution

from spaces.training import GEOMETRY, TASK, training

DEFAULTS: dict[str, int | float | str] = {
    "task": "residual",
    "geometry": "yes",
    "depth": 1,
    "base_channels": 16,
    "latent_dimension": 64,
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
        # A cell of the code is 2^depth pixels wide, and without skips what is smaller must fit into its vector.
        "depth": IntDistribution(1, 3) if small else IntDistribution(1, 4),
        # Cost grows with the square, so in octaves; the paper's 32 and an octave to each side.
        "base_channels": IntDistribution(8, 24, log=True) if small else IntDistribution(16, 64, log=True),
        # A cell has 4^depth pixels: fewer numbers lose detail, more gain nothing. The paper's 200 is among them.
        "latent_dimension": IntDistribution(16, 128, log=True) if small else IntDistribution(32, 400, log=True),
        # Adam; the paper's 1e-3 and a factor of ten above it, for the cosine and for few steps.
        **training((2, 16) if small else (4, 128), (3e-4, 1e-2)),
    }
