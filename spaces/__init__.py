"""One search space per network: SPACES[name](preset), DEFAULTS[name]."""

from __future__ import annotations

from collections.abc import Callable

from optuna.distributions import BaseDistribution

from spaces import tunet

SPACES: dict[str, Callable[[str], dict[str, BaseDistribution]]] = {"tunet": tunet.space}
DEFAULTS: dict[str, dict[str, int | float | str]] = {"tunet": tunet.DEFAULTS}
