"""Every space proposes what its network can be built from."""

from __future__ import annotations

from collections.abc import Mapping

import optuna
import pytest
import torch
from optuna.distributions import BaseDistribution

from search.settings import PRESETS
from spaces import DEFAULTS, SPACES
from spaces.paper import POINTS
from tests.effort import SEED, tries
from trainables.models import TRAINING_KEYS, build, count_parameters
from trainables.tasks import TASKS


@pytest.mark.fuzz
@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("name", list(SPACES))
def test_samples_build_and_run(name: str, preset: str) -> None:
    space = SPACES[name](preset)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=SEED))
    image = torch.rand(1, 1, 33, 18)
    observed = image > 0.1
    for _ in range(tries(3, 300)):
        config = study.ask(space).params
        # Full width makes networks of tens of millions of parameters; depth and growth are what can break.
        config |= {key: min(config[key], 16) for key in ("base_channels",) if key in config}
        network, task = build(name, config)
        with torch.no_grad():
            assert task.predict(network, image, observed).shape == (1, 1, 33, 18)


def contains(space: dict[str, BaseDistribution], config: Mapping[str, int | float | str]) -> bool:
    return set(space) == set(config) and all(
        distribution._contains(distribution.to_internal_repr(config[key])) for key, distribution in space.items()
    )


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("name", list(SPACES))
def test_defaults_lie_in_every_space(name: str, preset: str) -> None:
    space = SPACES[name](preset)
    assert contains(space, DEFAULTS[name])
    assert DEFAULTS[name]["task"] in TASKS
    assert set(TRAINING_KEYS) <= set(space)


@pytest.mark.parametrize("name", list(POINTS))
def test_points_of_the_paper_lie_in_its_space(name: str) -> None:
    assert all(contains(SPACES[name]("paper"), {**point.config, "geometry": "no"}) for point in POINTS[name])


@pytest.mark.parametrize(
    ("name", "thousands"),
    [
        # As Tables 2 and 3 print them, in millions to three places.
        ("tunet", [535.5, 2140.1, 8556.4, 2158.4, 8629.9, 6033.0, 8648.3, 34585.8, 34512.2]),
        ("msdnet", [11.577, 45.652, 45.652, 181.302, 181.302]),
    ],
)
def test_points_have_the_parameters_of_the_papers_tables(name: str, thousands: list[float]) -> None:
    for point, expected in zip(POINTS[name], thousands, strict=True):
        with torch.device("meta"):
            network, _ = build(name, point.config)
        digits = 3 if name == "msdnet" else 1
        assert round(count_parameters(network) / 1e3, digits) == expected
