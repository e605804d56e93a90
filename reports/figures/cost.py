"""The error against its cost: parameters, and time per frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from records.tables import MethodScore
from reports.figures.axes import axis
from reports.figures.drawing import (
    GREY,
    LIMIT,
    LOWER,
    THOUSANDTHS,
    Look,
    draw,
    error,
    key,
    leading,
    looks,
    side_by_side,
)
from reports.markup import escape, known, number

COSTS = {"parameters": "parameters", "ms_per_frame": "time per frame (ms)"}
"""Fields of `MethodScore`, and what they are called."""


class Point(NamedTuple):
    """One method at its cost."""

    method: str
    look: Look
    leads: bool
    cost: float
    l1: float
    front: bool
    """No other method has both a lower or equal cost and a lower or equal error."""


def rows(scores: Sequence[MethodScore], cost: str, kind: str) -> list[Point]:
    """Place the methods that have a cost (a key of `COSTS`) and an L1, in the order of `scores`."""
    shown, first = looks(scores), set(leading(scores))
    found: list[tuple[MethodScore, float, float]] = []
    for score in scores:
        spent, l1 = getattr(score, cost), getattr(score, f"{kind}_l1")
        if score.kind != "limit" and known(spent) and known(l1) and spent > 0 and l1 > 0:
            found.append((score, float(spent), float(l1)))
    best = front([(spent, l1) for _, spent, l1 in found])
    return [
        Point(score.method, shown[score.method], score.method in first, spent, l1, on_front)
        for (score, spent, l1), on_front in zip(found, best, strict=True)
    ]


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Tell which points are on the Pareto front: no other is as low in both and lower in one."""
    order = sorted(range(len(points)), key=lambda place: points[place])
    on_front = [False] * len(points)
    lowest, at = float("inf"), None
    for place in order:
        if points[place][1] < lowest or points[place] == at:
            on_front[place] = True
            lowest, at = points[place][1], points[place]
    return on_front


def figure(points: Sequence[Point], cost: str, limit: float | None = None) -> go.Figure:
    """Draw the methods as points and their front as steps; `limit` is the noise floor."""
    chart = go.Figure()
    best = sorted({(point.cost, point.l1 * 1e3) for point in points if point.front})
    costs = [point.cost for point in points]
    errors = [point.l1 * 1e3 for point in points] + ([limit * 1e3] if limit is not None else [])
    across = axis(min(costs), max(costs))
    up = axis(min(errors), max(errors))
    chart.add_scatter(
        x=[best[0][0], *(x for x, _ in best), max(costs) * 10],
        y=[max(errors) * 10, *(y for _, y in best), best[-1][1]],
        mode="lines",
        line={"shape": "hv", "color": GREY, "width": 1.2},
        hoverinfo="skip",
    )
    for point in reversed(points):
        chart.add_scatter(
            x=[point.cost],
            y=[float(f"{point.l1 * 1e3:.5g}")],
            mode="markers",
            name=escape(point.method),
            marker={
                "color": point.look.color,
                "symbol": point.look.symbol,
                "size": 12 if point.leads else 7,
                "line": {"width": 2 if point.look.color == GREY else 0, "color": point.look.color},
            },
            hovertemplate=f"<b>{escape(point.method)}</b><br>L1 %{{y:.3f}} × {THOUSANDTHS}"
            f"<br>{escape(_spent(point.cost, cost))}<extra></extra>",
        )
    if limit is not None:
        chart.add_hline(limit * 1e3, line_dash=LIMIT.dash, line_color=LIMIT.color, line_width=1.5)
        # Plotly takes the logarithm of an annotation's place on a logarithmic axis, and the value of a line's.
        place = {"xref": "paper", "x": 0, "xanchor": "left", "y": math.log10(limit * 1e3), "yanchor": "bottom"}
        chart.add_annotation(text="noise floor", showarrow=False, font_size=12, **place)
    chart.update_layout(height=360)
    chart.update_xaxes(across, title=COSTS[cost], showgrid=False)
    chart.update_yaxes(up, title=f"L1 ({THOUSANDTHS}), {LOWER}")
    return chart


def _spent(value: float, cost: str) -> str:
    return f"{number(value)} parameters" if cost == "parameters" else f"{value:.3g} ms per frame"


def caption(points: Sequence[Point], cost: str, kind: str) -> str:
    """Say what the points show."""
    best = min(points, key=lambda point: (point.l1, point.cost))
    cheapest = min((p for p in points if p.front), key=lambda point: point.cost)
    text = (
        f"Error in {kind} gaps against {COSTS[cost]}: {best.method} errs least, {error(best.l1)} "
        f"with {_spent(best.cost, cost)}"
    )
    small = " Small: further trials of a network." * any(not point.leads for point in points)
    if cheapest.method == best.method:
        return f"{text}, and no method is cheaper.{small}"
    return (
        f"{text}; the cheapest, {cheapest.method}, {error(cheapest.l1)} with {_spent(cheapest.cost, cost)}. "
        f"On the line lie the methods that no other one beats in both.{small}"
    )


def html(scores: Sequence[MethodScore], prefix: str = "") -> str:
    """Draw each kind of gap against each cost, where two methods or more have both; nothing without."""
    drawn: list[tuple[str, str]] = []
    marks: dict[str, Look] = {}
    for kind in ("horizontal", "vertical"):
        limits: Iterable[float | None] = (getattr(s, f"{kind}_l1") for s in scores if s.kind == "limit")
        limit = next((value for value in limits if known(value)), None)
        for cost, label in COSTS.items():
            points = rows(scores, cost, kind)
            if len(points) > 1:
                chart = figure(points, cost, limit)
                marks |= {point.method: point.look._replace(dash="") for point in points if point.leads}
                name = f"{prefix}cost-{cost.replace('_', '-')}-{kind}"
                drawn.append((f"{kind.capitalize()} gaps, {label}", draw(chart, name, caption(points, cost, kind))))
    if not drawn:
        return ""
    return "\n".join(["<h3>What a low error costs</h3>", key(list(marks.items())), side_by_side(drawn)])
