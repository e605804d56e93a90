"""Median incumbents against compute, as an SVG that any browser shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.search_efficiency.replay import Step, value_at

WIDTH, HEIGHT, MARGIN = 720, 380, 56
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#777777", "#e69f00")
"""Okabe and Ito's: told apart by colour-blind eyes."""

SPAN = 0.4e-3
"""Height of the figure in L1 above the best."""


def figure(runs: Mapping[str, Sequence[Sequence[Step]]], unit: float, budget: int) -> str:
    """Draw the median over the seeds of each search, at each tenth of a training of `unit` seconds."""
    places = np.arange(1, 10 * budget + 1) / 10
    medians = {
        name: [1e3 * float(np.median([value_at(steps, place * unit) for steps in seeds])) for place in places]
        for name, seeds in runs.items()
    }
    floor = min(min(values) for values in medians.values())
    top = floor + 1e3 * SPAN

    def x(place: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * place / budget

    def y(value: float) -> float:
        return MARGIN / 2 + (HEIGHT - 1.5 * MARGIN) * (top - min(value, top)) / (top - floor)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for tick in np.arange(math.ceil(floor * 10) / 10, top + 1e-9, 0.1):
        parts.append(f'<path d="M{MARGIN} {y(tick):.1f}H{WIDTH - MARGIN}" stroke="#ddd"/>')
        parts.append(f'<text x="{MARGIN - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.1f}</text>')
    parts += [
        f'<text x="{x(tick):.1f}" y="{HEIGHT - MARGIN + 18}" text-anchor="middle">{tick}</text>'
        for tick in range(0, budget + 1, 5)
    ]
    for number, (name, values) in enumerate(medians.items()):
        color = COLORS[number % len(COLORS)]
        line = " ".join(f"{x(place):.1f},{y(value):.1f}" for place, value in zip(places, values, strict=True))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts.append(f'<text x="{WIDTH - MARGIN - 4}" y="{MARGIN + 16 * number}" text-anchor="end" fill="{color}">'
                     f"{name}</text>")  # fmt: skip
    parts.append(
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">compute, in full trainings</text>'
        f'<text x="14" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 14 {HEIGHT / 2})">'
        "validation gap L1 at full length (1e-3)</text></svg>"
    )
    return "\n".join(parts) + "\n"
