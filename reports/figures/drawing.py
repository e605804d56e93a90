"""Common parts of the figures: looks of networks and methods, HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from records.networks import TITLES
from records.tables import Config, MethodScore, Trial
from reports.figures.still import SYMBOLS, dashes, svg
from reports.markup import escape, significant, table

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


def error(value: float) -> str:
    """Write an L1 as text, with its unit."""
    return f"{significant(value, scale=1e3)} × 10⁻³"


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
        f'<figure class="chart"><div role="img" aria-label="{text}">{drawn}{svg(chart)}</div>'
        f"<figcaption>{text}</figcaption></figure>"
    )


def numbers(
    caption: str, columns: Sequence[str], groups: Iterable[tuple[str, Sequence[Sequence[str]]]], css: str
) -> str:
    """Fold away the numbers of a figure, as `table` takes them."""
    return f"<details><summary>In numbers</summary>{table(caption, columns, groups, css)}</details>"


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
        width = 2 if look.color != GREY else 1.5
        drawn = f'<path d="M0 8H32" stroke-width="{width}" stroke-dasharray="{dashes(look.dash)}"/>'
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
