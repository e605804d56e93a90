"""Every space proposes what its network can be built from."""

from __future__ import annotations

import optuna
import pytest
import torch

from search.settings import PRESETS
from spaces import DEFAULTS, SPACES
from trainables.models import TRAINING_KEYS, build
from trainables.tasks import TASKS


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("name", list(SPACES))
def test_ten_samples_build_and_run(name: str, preset: str) -> None:
    space = SPACES[name](preset)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(10):
        config = study.ask(space).params
        # Full width makes networks of tens of millions of parameters; depth and growth are what can break.
        config["base_channels"] = min(config["base_channels"], 16)
        network, task = build(name, config)
        with torch.no_grad():
            assert network(torch.zeros(1, task.in_channels, 33, 18)).shape == (1, 1, 33, 18)


@pytest.mark.parametrize("name", list(SPACES))
def test_defaults_lie_in_the_quick_space(name: str) -> None:
    space = SPACES[name]("quick")
    assert set(space) == set(DEFAULTS[name])
    for key, distribution in space.items():
        assert distribution._contains(distribution.to_internal_repr(DEFAULTS[name][key])), key
    assert DEFAULTS[name]["task"] in TASKS
    assert set(TRAINING_KEYS) <= set(space)
