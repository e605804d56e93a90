"""Error against the distance from the edge of a gap: how far into a gap a method can be believed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from records.tables import DistanceScore, MethodScore
from reports.figures.drawing import (
    GREY,
    LOWER,
    THOUSANDTHS,
    Look,
    draw,
    error,
    key,
    leading,
    looks,
    numbers,
    side_by_side,
)
from reports.markup import escape, known, number, significant

FEWEST = 0.01
"""Share of the pixels below which the mean at a distance is that of a few odd places, and is not drawn."""


class Line(NamedTuple):
    """One method on one kind of gap."""

    method: str
    kind: str
    """As in `MethodScore`."""
    look: Look
    leads: bool
    """Whether it stands for others: see `leading`."""
    distances: list[int]
    l1: list[float]
    pixels: list[int]


def rows(distances: Sequence[DistanceScore], scores: Sequence[MethodScore], kind: str) -> list[Line]:
    """Gather the methods on one kind of gap (horizontal or vertical), in the order of `scores`: best first."""
    shown, first = looks(scores), set(leading(scores))
    found = []
    for score in scores:
        own = [d for d in distances if d.method == score.method and d.kind == kind and known(d.l1) and d.pixels]
        every = sum(item.pixels for item in own)
        own = sorted((d for d in own if d.pixels >= FEWEST * every), key=lambda item: item.distance)
        if own:
            columns = [item.distance for item in own], [item.l1 for item in own], [item.pixels for item in own]
            found.append(Line(score.method, score.kind, shown[score.method], score.method in first, *columns))
    return found


def figure(lines: Sequence[Line]) -> go.Figure:
    """Draw one line a method; thin, without a name in the legend, those that another stands for."""
    chart = go.Figure()
    for line in reversed(lines):
        limit = line.kind == "limit"
        color, symbol, dash = line.look
        chart.add_scatter(
            x=line.distances,
            y=[float(f"{value * 1e3:.5g}") for value in line.l1],
            customdata=[f"{number(pixels)}" for pixels in line.pixels],
            mode="lines" if limit and len(line.distances) > 1 else "lines+markers",
            name=escape(line.method),
            line={"color": color, "dash": dash, "width": 2.4 if line.leads and color != GREY else 1.3},
            marker={"symbol": symbol, "size": 9 if line.leads else 5},
            hovertemplate=f"<b>{escape(line.method)}</b><br>%{{x}} px from the edge: %{{y:.2f}} × {THOUSANDTHS}"
            "<br>%{customdata} pixels<extra></extra>",
        )
    furthest = max(distance for line in lines for distance in line.distances)
    values = list(range(1, furthest + 1, math.ceil(furthest / 8)))
    chart.update_layout(height=400)
    chart.update_xaxes(
        title="distance to the nearest measured pixel (px)",
        range=[0.7, furthest + 0.3],
        tickvals=values,
        ticktext=[str(value) for value in values],
        showgrid=False,
    )
    chart.update_yaxes(title=f"L1 ({THOUSANDTHS}), {LOWER}", rangemode="tozero", nticks=7)
    return chart


def caption(lines: Sequence[Line], kind: str) -> str:
    """Say what the lines of one kind of gap show."""
    best = next((line for line in lines if line.kind != "limit"), lines[0])
    change = (
        f"{best.method} errs by {error(best.l1[0])} beside the edge and by {error(best.l1[-1])} at "
        f"{best.distances[-1]} pixels from it, where {number(best.pixels[-1])} pixels were scored"
    )
    floor = " Dotted: the noise floor, below which no method can come." * any(line.kind == "limit" for line in lines)
    left_out = f"Distances with less than {FEWEST:.0%} of the pixels are left out.".replace("%", " %")
    return f"Error in {kind} gaps by the distance to the nearest measured pixel: {change}. {left_out}{floor}"


def _numbers(groups: Sequence[tuple[str, Sequence[Line]]]) -> str:
    reached = sorted({distance for _, lines in groups for line in lines for distance in line.distances})
    columns = ["method", *(f"{distance} px" for distance in reached)]
    caption = f"L1 ({THOUSANDTHS}) by distance to the nearest measured pixel."

    def cells(line: Line) -> list[str]:
        found = dict(zip(line.distances, line.l1, strict=True))
        return [escape(line.method), *(significant(found.get(distance), scale=1e3) for distance in reached)]

    return numbers(caption, columns, [(head, [cells(line) for line in lines]) for head, lines in groups], "distances")


def html(distances: Sequence[DistanceScore], scores: Sequence[MethodScore], prefix: str = "") -> str:
    """Draw both kinds of gap; nothing without any."""
    drawn: list[tuple[str, str]] = []
    marks: dict[str, Look] = {}
    groups: list[tuple[str, Sequence[Line]]] = []
    flat = []
    for kind in ("horizontal", "vertical"):
        lines = rows(distances, scores, kind)
        if lines and max(len(line.distances) for line in lines) < 2:
            flat.append(kind)
        elif lines:
            chart = draw(figure(lines), f"{prefix}distance-{kind}", caption(lines, kind))
            drawn.append((f"{kind.capitalize()} gaps", chart))
            groups.append((f"{kind.capitalize()} gaps", lines))
            marks |= {line.method: line.look for line in lines if line.leads or line.kind == "limit"}
    parts = [key(list(marks.items())), side_by_side(drawn), _numbers(groups)] if drawn else []
    parts += [f"<p>{kind.capitalize()} gaps: all scored pixels lie equally far from the edge.</p>" for kind in flat]
    return "\n".join(["<h3>How far from the edge of a gap</h3>", *parts]) if parts else ""
