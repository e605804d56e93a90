"""A small configuration of every network."""

from collections.abc import Callable

import pytest

from trainables.models import Config

SMALL: dict[str, Config] = {
    "tunet": {"depth": 2, "base_channels": 8, "growth_rate": 2.0},
    "msdnet": {"num_layers": 30, "max_dilation": 5},
    "autoencoder": {"depth": 1, "base_channels": 8, "latent_dimension": 16},
    "pconv": {"depth": 2, "base_channels": 8},
}


@pytest.fixture(scope="session")
def small() -> Callable[[str, str], Config]:
    """The configuration of a network and a task."""

    def config(name: str, task: str) -> Config:
        return {**SMALL[name], "task": task, "batch_size": 4, "learning_rate": 5e-3}

    return config
