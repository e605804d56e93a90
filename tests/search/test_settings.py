"""Presets, what overrides them, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from scattering.errors import InputError
from search import run
from search.settings import PRESETS, from_dict, resolve
from spaces import DEFAULTS, SPACES
from trainables import NETWORKS

GIVEN: dict[str, Any] = {"data": (), "detector": "Pilatus2M"}


def test_every_network_has_a_class_a_space_and_defaults() -> None:
    assert set(run.NETWORKS) == set(NETWORKS) == set(SPACES) == set(DEFAULTS)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_unset_values_come_from_the_preset(preset: str) -> None:
    settings = resolve("tunet", "n", preset, {**GIVEN, "trials": None, "epochs": 3})
    assert (settings.trials, settings.size, settings.epochs) == (PRESETS[preset].trials, PRESETS[preset].size, 3)
    assert settings.retrain_epochs >= settings.epochs


@pytest.mark.parametrize(
    ("name", "value"),
    [("trials", 0), ("epochs", 0), ("frames", 2), ("minutes", 0.0), ("minutes", -1.0), ("seed", -1)],
)
def test_values_out_of_range_are_named(name: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"--{name} must be .*{value:g}"):
        resolve("tunet", "n", "quick", {**GIVEN, name: value})


def test_settings_survive_their_file() -> None:
    settings = resolve("tunet", "n", "quick", {**GIVEN, "data": ("a.h5", "b.h5"), "task": "blind"})
    assert from_dict(settings.as_dict()) == settings


def test_settings_of_another_version_are_refused() -> None:
    values = resolve("tunet", "n", "quick", GIVEN).as_dict()
    with pytest.raises(InputError, match="another version"):
        from_dict({**values, "warp": 9})
