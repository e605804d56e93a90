"""Presets, what overrides them, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from records.networks import TITLES
from scattering.arguments import Options
from scattering.errors import InputError
from search.options import Role, defaults, names, options
from search.session import extended
from search.settings import IMPLEMENTATIONS, PRESETS, Asked, Settings, from_dict, resolve
from spaces import DEFAULTS, SPACES
from trainables import NETWORKS, pymsdtorch

GIVEN: dict[str, Any] = {"data": (), "detector": "Pilatus2M"}


def test_every_network_has_a_class_a_space_and_defaults() -> None:
    assert list(TITLES) == list(NETWORKS) == list(SPACES) == list(DEFAULTS)
    assert set(IMPLEMENTATIONS["pymsdtorch"]) == set(pymsdtorch.NETWORKS)


def test_all_networks_have_the_time_of_each() -> None:
    alone, together = (resolve(name, "n", "quick", GIVEN) for name in ("tunet", "all"))
    assert together.minutes == 4 * (alone.minutes or 0)
    assert resolve("all", "n", "quick", {**GIVEN, "minutes": 7.0}).minutes == 7


def test_all_is_every_network_of_the_implementation_that_has_points() -> None:
    assert resolve("all", "n", "quick", GIVEN).networks == tuple(NETWORKS)
    assert resolve("all", "n", "quick", {**GIVEN, "implementation": "pymsdtorch"}).networks == ("tunet", "msdnet")
    assert resolve("all", "n", "quick", {**GIVEN, "points": "paper"}).networks == ("tunet", "msdnet")
    assert resolve("all", "n", "quick", {**GIVEN, "points": "paper,search"}).networks == tuple(NETWORKS)


@pytest.mark.parametrize(
    ("network", "given", "named"),
    [
        ("pconv", {"points": "paper"}, "points of tunet and msdnet, got pconv"),
        ("tunet", {"points": "paper", "task": "residual"}, "blind, got --task residual"),
        ("tunet", {"points": "paper", "trials": 3}, "got --trials 3"),
        ("tunet", {"poni": "setup.poni"}, "got --poni setup.poni: leave it out, or give --data"),
        ("autoencoder", {"implementation": "pymsdtorch"}, "has tunet and msdnet, got autoencoder"),
    ],
)
def test_what_does_not_go_together_is_named(network: str, given: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        resolve(network, "n", "quick", {**GIVEN, **given})


@pytest.mark.parametrize("preset", list(PRESETS))
def test_unset_values_come_from_the_preset(preset: str) -> None:
    settings = resolve("tunet", "n", preset, {**GIVEN, "trials": None, "epochs": 3})
    known = defaults(Settings, preset)
    assert (settings.trials, settings.size, settings.epochs) == (known["trials"], known["size"], 3)
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


def test_a_time_that_is_given_stretches_the_retraining() -> None:
    usual = resolve("tunet", "x", "quick", {})
    given = resolve("tunet", "x", "quick", {"minutes": 60.0})
    assert given.retrain_epochs == 10 * usual.retrain_epochs
    # Resumed, likewise; trials alone change nothing.
    assert extended(usual, {"minutes": 60.0}) == replace(usual, minutes=60.0, retrain_epochs=given.retrain_epochs)
    assert extended(usual, {"trials": 20}).retrain_epochs == usual.retrain_epochs
    assert resolve("tunet", "x", "standard", {"gpu_hours": 2.0}).retrain_epochs == 1000


def test_every_field_is_an_option_or_says_what_it_is() -> None:
    """What a run is made of is given once, extended, or follows from the preset: nothing is forgotten on --resume."""
    known = {name for name, _, _ in options(Settings)} | {field.name for field in fields(Options)}
    assert {field.name for field in fields(Settings)} - known == {
        "network", "name", "preset", "retrain_epochs", "schedule",
    }  # fmt: skip
    assert names(Settings, Role.EXTENDS) == ["trials", "minutes", "gpu_hours", "top", "seeds"]
    assert names(Asked, Role.SESSION) == ["gpus", "cpus", "memory_gb", "parallel"]


def test_the_table_of_the_docs_is_the_codes() -> None:
    """`python -m search.settings > docs/options.md` writes it."""
    done = subprocess.run([sys.executable, "-m", "search.settings"], capture_output=True, text=True, check=True)
    assert (Path(__file__).parents[2] / "docs" / "options.md").read_text(encoding="utf-8") == done.stdout
