"""Common parts of the figures: looks of networks and methods, axes that a phone can show, HTML."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from records.networks import TITLES
from records.tables import Config, MethodScore, Trial
from reports.markup import escape, significant

GREY = "#8a919c"
INK = "#767d87"
"""Of text inside figures, as page.css has it where the browser can tell light from dark."""
WINNER = "#d97400"
LOWER = "lower is better"
THOUSANDTHS = "10<sup>−3</sup>"


class Look(NamedTuple):
    """The look of something in a figure, never its colour alone."""

    color: str
    symbol: str
    dash: str


NETWORKS = {
    "tunet": Look("#d97400", "circle", "solid"),
    "msdnet": Look("#2f81d4", "square", "solid"),
    "autoencoder": Look("#1a9c8c", "diamond", "solid"),
    "pconv": Look("#b9559b", "triangle-up", "solid"),
}
"""Look of each network; after Okabe and Ito (2008), a little darker, for light and dark pages."""
OTHER = Look("#9a8a2f", "pentagon", "solid")
ENSEMBLE = Look("#cf4a4a", "star", "solid")
VARIANTS = ("dash", "dot", "dashdot")
"""Of the second group of a network, and so on: see `looks`."""
LIMIT = Look(GREY, "line-ew-open", "dot")
CLASSICAL = tuple(
    Look(GREY, symbol, dash)
    for symbol, dash in (
        ("x-thin-open", "dash"),
        ("cross-thin-open", "longdash"),
        ("circle-open", "dashdot"),
        ("square-open", "longdashdot"),
        ("diamond-open", "8px,3px,2px,3px,2px,3px"),
    )
)

SYMBOLS = {
    "circle": "M-5 0A5 5 0 1 1 5 0A5 5 0 1 1 -5 0Z",
    "square": "M-4.5 -4.5H4.5V4.5H-4.5Z",
    "diamond": "M0 -6L6 0L0 6L-6 0Z",
    "triangle-up": "M0 -5L5.5 4.5H-5.5Z",
    "pentagon": "M0 -5.5L5.2 -1.7L3.2 4.4H-3.2L-5.2 -1.7Z",
    "star": "M0 -6L1.8 -1.9L6 -1.9L2.6 .9L3.8 5.2L0 2.6L-3.8 5.2L-2.6 .9L-6 -1.9L-1.8 -1.9Z",
    "x-thin": "M-4 -4L4 4M-4 4L4 -4",
    "cross-thin": "M-5 0H5M0 -5V5",
}
"""Plotly's symbols as SVG paths about (0, 0), for the key."""
SVG_DASHES = {
    "solid": "none",
    "dot": "2 3",
    "dash": "6 4",
    "longdash": "10 4",
    "dashdot": "6 3 2 3",
    "longdashdot": "10 3 2 3",
}


def title(network: str) -> str:
    """Name a network as tables do (no HTML)."""
    return TITLES.get(network, network) or "network not known yet"


def color(network: str) -> str:
    """Colour of a network."""
    return NETWORKS[network].color if network in NETWORKS else OTHER.color


def networks(names: Iterable[str]) -> list[str]:
    """Sort networks: those with a look of their own as there, others by name, the unknown last."""
    known = list(NETWORKS)
    return sorted(set(names), key=lambda n: (n == "", known.index(n) if n in known else len(known), n))


def looks(scores: Sequence[MethodScore]) -> dict[str, Look]:
    """Give each method its look: that of its network, open and dashed for its second group, or one of its own.

    Args:
        scores: Best first, as the leaderboard has them.
    """
    found = {}
    classical = iter(CLASSICAL * len(scores))
    groups: dict[str, list[tuple[str, ...]]] = {}
    for score in scores:
        if score.kind == "limit":
            found[score.method] = LIMIT
        elif score.kind == "ensemble":
            found[score.method] = ENSEMBLE
        elif score.kind == "classical":
            found[score.method] = next(classical)
        else:
            look = NETWORKS.get(score.network, OTHER)
            own = groups.setdefault(score.network, [])
            if _group(score) not in own:
                own.append(_group(score))
            place = min(own.index(_group(score)), len(VARIANTS))
            found[score.method] = Look(look.color, f"{look.symbol}-open", VARIANTS[place - 1]) if place else look
    return found


def leading(scores: Sequence[MethodScore]) -> list[str]:
    """Name the methods that stand for others: the best of each group, and each that is no network.

    Args:
        scores: Best first, as the leaderboard has them.
    """
    first: dict[tuple[str, ...], str] = {}
    for score in scores:
        if score.kind != "limit":
            first.setdefault(_group(score), score.method)
    return list(first.values())


def _group(score: MethodScore) -> tuple[str, ...]:
    """Trials of a network that pose the task alike; the paper's points are a group of their own."""
    if score.kind != "network" or not score.network:
        return (score.method,)
    return score.network, score.task, "search" if score.point is None else "paper"


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


def error(value: float) -> str:
    """Write an L1 as text, with its unit."""
    return f"{significant(value, scale=1e3)} × 10⁻³"


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


def settings(config: Config) -> str:
    """Write a configuration for hover text, a line a setting; HTML."""
    return "<br>".join(f"{escape(key.replace('_', ' '))} {setting(value)}" for key, value in config.items())


def setting(value: float | str) -> str:
    """Write a value of a config: three significant digits for a real number; HTML."""
    return f"{value:.3g}" if isinstance(value, float) else escape(value)


def named(trial: Trial) -> str:
    """Name a trial, and the paper's model that it is."""
    return f"trial {trial.trial}" + (f", the paper’s model {trial.point}" if trial.point is not None else "")


def draw(chart: go.Figure, name: str, caption: str) -> str:
    """Turn a figure into HTML with its caption, which screen readers read in its place.

    Args:
        chart: The figure.
        name: Its id, unique within the page.
        caption: What is seen, in plain words (no HTML).
    """
    chart.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        margin=chart.layout.margin.to_plotly_json() or {"l": 56, "r": 14, "t": 12, "b": 52},
        hovermode="closest",
        hoverlabel={"align": "left"},
        showlegend=False,
    )
    look = {"fixedrange": True, "gridcolor": "rgba(128,134,144,0.25)", "zeroline": False, "title_font_size": 13}
    chart.update_xaxes(look).update_yaxes(look)
    config = {"responsive": True, "displayModeBar": False}
    drawn = chart.to_html(config, include_plotlyjs=False, full_html=False, div_id=name)
    text = escape(caption)
    return (
        f'<figure class="chart"><div role="img" aria-label="{text}">{drawn}</div>'
        f"<figcaption>{text}</figcaption></figure>"
    )


def absent(names: Iterable[str], why: str) -> str:
    """Say in one line of which networks there is no figure, and why; "" without any. `why` is no HTML."""
    listed = " and ".join(map(title, networks(names)))
    return f"<p>{escape(listed)}: {escape(why)}.</p>" if listed else ""


def key(marks: Sequence[tuple[str, Look]]) -> str:
    """Draw what lines and symbols mean, for all figures beside each other at once; names are no HTML."""
    items = "".join(f"<li>{_mark(look)}{escape(name)}</li>" for name, look in marks)
    return f'<ul class="marks">{items}</ul>'


def _mark(look: Look) -> str:
    drawn = ""
    if look.dash:
        dashes = SVG_DASHES.get(look.dash, look.dash.replace("px", ""))
        drawn = f'<path d="M0 8H32" stroke-width="{2 if look.color != GREY else 1.5}" stroke-dasharray="{dashes}"/>'
    shape = SYMBOLS.get(look.symbol.removesuffix("-open"))
    if shape:
        fill = "none" if look.symbol.endswith("-open") else "currentColor"
        drawn += f'<path d="{shape}" transform="translate(16 8)" fill="{fill}" stroke-width="2"/>'
    return (
        f'<svg viewBox="0 0 32 16" aria-hidden="true" style="color: {look.color}" fill="none" stroke="currentColor">'
        f"{drawn}</svg>"
    )


def side_by_side(drawn: Sequence[tuple[str, str]]) -> str:
    """Lay figures beside each other where the page is wide enough, each under its heading (no HTML)."""
    return (
        '<div class="charts">'
        + "".join(f"<div><h4>{escape(head)}</h4>{body}</div>" for head, body in drawn)
        + "</div>"
    )
