"""Every trial of a network as one line through its settings down to its error (parallel coordinates).

Drawn as plain lines: plotly's own kind is WebGL, which neither prints nor can be read on a phone. The axes lie
flat, one under the other, so that their values have room at any width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from records.tables import Trial, in_epochs
from reports.figures.axes import short, ticks
from reports.figures.drawing import (
    GREY,
    LOWER,
    THOUSANDTHS,
    WINNER,
    absent,
    draw,
    error,
    named,
    networks,
    setting,
    settings,
    side_by_side,
    title,
)
from reports.markup import escape
from reports.sweep import Row, value

FEWEST = 5
"""Trials of a network below which their lines show nothing that the table does not."""
LOG = 5
"""A parameter whose largest value is this many times its smallest has a logarithmic axis, as in the search spaces."""
FEW = 8
"""Up to so many different values each is named, and lines through one of them fan out a little."""
FAN = 0.03
SCALE = ("#d97400", "#a9727f", "#5b7fc0", "#8a919c")
"""From the lowest error to the highest; all between light and dark, to be seen on both."""
STEP = 72
"""Pixels from one axis to the next."""
BENDS = 10
"""Pieces of a line from one axis to the next."""


class Axis(NamedTuple):
    """One setting of the trials, or their error."""

    name: str
    """As written; HTML."""
    places: list[float]
    """Where each trial crosses it, 0 to 1."""
    ticks: list[tuple[float, str]]
    """Place and value."""


class Lines(NamedTuple):
    """The trials of one network, the worst first."""

    network: str
    trials: list[Trial]
    winner: list[bool]
    axes: list[Axis]


def rows(trials: Sequence[Row]) -> list[Lines]:
    """Place the trials of each network that have a result; a network with fewer than two is left out.

    A setting that is the same in all trials, or that some do not have, has no axis.
    """
    found = []
    for network in networks(row.trial.network for row in trials):
        own = [
            row for row in trials if row.trial.network == network and row.rank is not None and value(row.trial) > 0
        ]
        own.sort(key=lambda row: row.rank or 0, reverse=True)
        if len(own) < 2:
            continue
        configs = [row.trial.config for row in own]
        keys = [key for key in configs[0] if all(key in config for config in configs)]
        axes = [
            _axis(key.replace("_", " "), [config[key] for config in configs])
            for key in keys
            if len({config[key] for config in configs}) > 1
        ]
        if all(row.trial.parameters for row in own) and len({row.trial.parameters for row in own}) > 1:
            axes += [_axis("parameters", [row.trial.parameters or 0 for row in own], fan=False)]
        errors = [value(row.trial) * 1e3 for row in own]
        axes.append(_axis(f"gap L1 ({THOUSANDTHS}), {LOWER}", errors, fan=False))
        found.append(Lines(network, [row.trial for row in own], [row.winner for row in own], axes))
    return found


def _axis(name: str, values: Sequence[float | str], fan: bool = True) -> Axis:
    name = name if "<sup>" in name else escape(name)
    numbers = [v for v in values if isinstance(v, (int, float))]
    if len(numbers) < len(values):
        kinds = sorted({str(v) for v in values})
        ends = max(len(kinds) - 1, 1)
        share = {kind: place / ends for place, kind in enumerate(kinds)}
        return Axis(name, _fanned([share[str(v)] for v in values]), [(share[k], escape(k)) for k in kinds])
    low, high = min(numbers), max(numbers)
    log = low > 0 and high >= LOG * low

    def share_of(number: float) -> float:
        if not low < high:
            return 0.5
        return math.log(number / low) / math.log(high / low) if log else (number - low) / (high - low)

    different = sorted(set(numbers))
    places = [share_of(number) for number in numbers]
    if fan and len(different) <= FEW:
        named_values = different if _apart([share_of(v) for v in different]) else ticks(low, high, log, 4)
        return Axis(name, _fanned(places), [(share_of(v), setting(v)) for v in named_values])
    return Axis(name, places, [(share_of(v), short(v)) for v in ticks(low, high, log, 4)])


def _apart(places: Sequence[float]) -> bool:
    return all(after - before >= 0.11 for before, after in pairwise(places))


def _fanned(places: list[float]) -> list[float]:
    """Spread trials at one place in their order, the best to the left, so that they can be told apart."""
    last = max(len(places) - 1, 1)
    return [place + FAN * (1 - 2 * index / last) for index, place in enumerate(places)]


def figure(lines: Lines) -> go.Figure:
    """Draw one line a trial, from its settings at the top down to its error; hover text has all its settings."""
    chart = go.Figure()
    heights = [float(-place) for place in range(len(lines.axes))]
    count = len(lines.trials)
    for index, (trial, winner) in enumerate(zip(lines.trials, lines.winner, strict=True)):
        share = 1 - index / (count - 1)
        color = WINNER if winner else sample_colorscale(list(SCALE), share)[0]
        along, down = _bent([axis.places[index] for axis in lines.axes], heights)
        chart.add_scatter(
            x=along,
            y=down,
            mode="lines",
            line={"color": color, "width": 3.5 if winner else 1.8 - share},
            text=f"<b>{named(trial)}</b>{', winner' if winner else ''}<br>{settings(trial.config)}"
            f"<br>gap L1 {value(trial) * 1e3:.3f} × {THOUSANDTHS}, {in_epochs(trial.epochs)} epochs, {trial.state}",
            hovertemplate="%{text}<extra></extra>",
        )
    for axis, height in zip(lines.axes, heights, strict=True):
        line = {"type": "line", "line_width": 1, "line_color": GREY}
        label = {"showarrow": False, "y": height, "borderpad": 1, "bgcolor": "rgba(128,128,128,0)"}
        chart.add_shape(x0=-FAN, x1=1 + FAN, y0=height, y1=height, **line)
        # Lines run together at the low end of the last axis: its name lies below.
        side = {"yanchor": "bottom", "yshift": 1} if height > heights[-1] else {"yanchor": "top", "yshift": -20}
        chart.add_annotation(text=f"<b>{axis.name}</b>", x=-FAN, xanchor="left", **side, **label)
        for place, text in axis.ticks:
            chart.add_annotation(text=text, x=place, yanchor="top", yshift=-2, font_size=12, **label)
            chart.add_shape(x0=place, x1=place, y0=height - 0.06, y1=height + 0.06, **line)
    chart.update_layout(height=20 + STEP * len(heights), margin={"l": 8, "r": 8, "t": 8, "b": 8})
    chart.update_xaxes(visible=False, range=[-0.07, 1.07])
    chart.update_yaxes(visible=False, range=[heights[-1] - 0.62, 0.4])
    return chart


def _bent(places: Sequence[float], heights: Sequence[float]) -> tuple[list[float], list[float]]:
    """Bend a line so that it crosses each axis at a right angle: lines that meet there can be followed."""
    along, down = [round(places[0], 4)], [heights[0]]
    for (x0, x1), (y0, y1) in zip(pairwise(places), pairwise(heights), strict=True):
        for step in range(1, BENDS + 1):
            share = step / BENDS
            along.append(round(x0 + (x1 - x0) * share * share * (3 - 2 * share), 4))
            down.append(round(y0 + (y1 - y0) * share, 4))
    return along, down


def caption(lines: Lines) -> str:
    """Say what the lines of a network show."""
    best, count = lines.trials[-1], len(lines.trials)
    third = max(count // 3, 1)
    ends = []
    for axis in lines.axes[:-1]:
        top = sorted(axis.places[-third:])
        low, high = top[0], top[-1]
        if high - low < 0.5 and count >= 9:
            ends.append(axis.name)
    lean = f" The best third lies close together in {', '.join(ends)}." if ends else ""
    return (
        f"Each line is one of {count} trials: from its settings down to its error. Orange, the lower errors; thick, "
        f"{named(best)}, the lowest at {error(value(best))}.{lean}"
    )


def html(lines: Sequence[Lines], searched: Iterable[str] = (), prefix: str = "") -> str:
    """Draw the trials of each network, and say of which searched ones there are too few."""
    shown = [own for own in lines if len(own.trials) >= FEWEST]
    drawn = [
        (title(own.network), draw(figure(own), f"{prefix}coordinates-{place}", caption(own)))
        for place, own in enumerate(shown)
    ]
    parts = [side_by_side(drawn)] if drawn else []
    few = {network for network in searched if network} - {own.network for own in shown}
    parts.append(absent(few, f"fewer than {FEWEST} trials with a result, too few to draw"))
    return "\n".join(["<h3>Which settings lead to which error</h3>", *filter(None, parts)]) if any(parts) else ""
