"""One search space per network: SPACES[name](preset), DEFAULTS[name]; the paper's points in `spaces.paper`."""

from __future__ import annotations

from collections.abc import Callable

from optuna.distributions import BaseDistribution

from spaces import autoencoder, msdnet, pconv, tunet

SPACES: dict[str, Callable[[str], dict[str, BaseDistribution]]] = {
    "tunet": tunet.space,
    "msdnet": msdnet.space,
    "autoencoder": autoencoder.space,
    "pconv": pconv.space,
}
DEFAULTS: dict[str, dict[str, int | float | str]] = {
    "tunet": tunet.DEFAULTS,
    "msdnet": msdnet.DEFAULTS,
    "autoencoder": autoencoder.DEFAULTS,
    "pconv": pconv.DEFAULTS,
}

LARGEST = 100_000_000
"""Parameters of a network that is proposed, at most: thrice those of the paper's largest. At the ends of all its
ranges together TUNet has a thousand million, whose training takes 16 GB before it sees a window."""
