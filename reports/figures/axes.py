"""Axes that a phone can show: a few round values, their range, short numbers."""

from __future__ import annotations

import math


def ticks(low: float, high: float, log: bool = False, most: int = 5) -> list[float]:
    """Choose round values from `low` to `high`, two to `most` of them where `low` < `high`."""
    if not low < high:
        return [low]
    if log:
        for mantissas in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
            decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            values = [float(f"{m}e{decade}") for decade in decades for m in mantissas]
            values = [value for value in values if low <= value <= high]
            if 2 <= len(values) <= most:
                return values
        decades_apart = math.log10(high / low)
        if decades_apart > most:
            step = math.ceil(decades_apart / (most - 1))
            first = math.ceil(math.log10(low))
            return [10.0**k for k in range(first, math.floor(math.log10(high)) + 1, step)]
    scale = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (1, 2, 5, 10, 20):
        places = range(math.ceil(low / (step * scale)), math.floor(high / (step * scale)) + 1)
        if len(places) <= most:
            return [float(f"{place * step * scale:.12g}") for place in places]
    raise AssertionError("20 times the scale spans more than the range")


def short(value: float) -> str:
    """Write a value for an axis: three digits, thousands and millions by a letter."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{value:.4g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.0e}".replace("e-0", "e−")


def axis(low: float, high: float, log: bool = True, most: int = 6) -> dict[str, object]:
    """Range and ticks of an axis that holds `low` to `high` with a little room; its values are as drawn."""
    if log:
        room = max(high / low, 1.1) ** 0.06
        low, high = low / room, high * room
        ends = [math.log10(low), math.log10(high)]
    else:
        room = 0.06 * (high - low) or 0.5
        low, high = low - room, high + room
        ends = [low, high]
    values = ticks(low, high, log, most)
    return {
        "type": "log" if log else "linear",
        "range": ends,
        "tickvals": values,
        "ticktext": [short(value) for value in values],
    }
