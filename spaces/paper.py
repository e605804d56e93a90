"""The paper's own points: every configuration of its Tables 2 and 3 (doi:10.1107/S1600576722007105)."""

from __future__ import annotations

from typing import NamedTuple


class Point(NamedTuple):
    """One configuration and how many epochs it is trained for."""

    config: dict[str, int | float | str]
    epochs: int
    model: int | None = None
    """Its number in the paper's table; None for a configuration that is not the paper's."""


def _tunet(depth: int, base_channels: int, growth_rate: float, batch_size: int) -> Point:
    shape = {"depth": depth, "base_channels": base_channels, "growth_rate": growth_rate}
    return Point({"task": "blind", **shape, "batch_size": batch_size, "learning_rate": 1e-3}, 300)


def _msdnet(num_layers: int, max_dilation: int, batch_size: int) -> Point:
    shape = {"num_layers": num_layers, "max_dilation": max_dilation}
    # Section 4.2: 200 layers were given less time.
    return Point(
        {"task": "blind", **shape, "batch_size": batch_size, "learning_rate": 1e-3}, 180 if num_layers == 200 else 300
    )


POINTS: dict[str, tuple[Point, ...]] = {
    "tunet": (
        _tunet(4, 16, 2.0, 180),  # printed with growth 2.5, which has not the printed parameters
        _tunet(4, 32, 2.0, 100),
        _tunet(4, 64, 2.0, 50),
        _tunet(5, 16, 2.0, 180),
        _tunet(5, 32, 2.0, 100),
        _tunet(5, 64, 1.5, 50),
        _tunet(6, 16, 2.0, 180),
        _tunet(6, 32, 2.0, 100),
        _tunet(5, 64, 2.0, 50),  # printed with depth 6 and growth 1.5: the same
    ),
    "msdnet": (
        _msdnet(50, 12, 30),
        _msdnet(100, 12, 7),
        _msdnet(100, 20, 7),
        _msdnet(200, 15, 6),
        _msdnet(200, 20, 6),
    ),
}
"""By network, in the order of the tables; trained with Adam and the `step` schedule."""
