"""The pooled L1 of every method as bars, the noise floor as a line."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from records.tables import MethodScore
from reports.figures.drawing import looks
from reports.leaderboard import Row
from reports.markup import escape, known, significant


def rows(ranked: Sequence[Row], kind: str) -> list[MethodScore]:
    """Choose what has a value on one kind of gap (horizontal or vertical), best first."""
    return [row.score for row in ranked if known(getattr(row.score, f"{kind}_l1"))]


def figure(scores: Sequence[MethodScore], kind: str) -> go.Figure:
    """Draw the L1 of each method."""
    methods = [score for score in reversed(scores) if score.kind != "limit"]
    values = [getattr(score, f"{kind}_l1") * 1e3 for score in methods]
    colors = looks(scores)
    chart = go.Figure(
        go.Bar(
            x=values,
            y=[escape(score.method) for score in methods],
            orientation="h",
            text=[f"{significant(value)}" for value in values],
            textposition="outside",
            cliponaxis=False,
            marker_color=[colors[score.method].color for score in methods],
            hovertemplate="%{y}: %{x:.4f}<extra></extra>",
        )
    )
    for score in scores:
        if score.kind == "limit":
            value = getattr(score, f"{kind}_l1") * 1e3
            label = {"annotation_text": escape(score.method), "annotation_position": "top"}
            chart.add_vline(value, line_dash="dot", line_color=colors[score.method].color, **label)
    chart.update_layout(height=90 + 30 * len(methods), bargap=0.35, margin={"l": 56, "r": 14, "t": 24, "b": 52})
    chart.update_xaxes(title="L1 (10<sup>−3</sup>), lower is better", range=[0, 1.18 * max(values, default=1)])
    chart.update_yaxes(type="category", automargin=True, ticksuffix=" ", showgrid=False)
    return chart


def caption(scores: Sequence[MethodScore], kind: str) -> str:
    """Say what the bars show."""
    methods = [score for score in scores if score.kind != "limit"]
    methods.sort(key=lambda score: float(getattr(score, f"{kind}_l1")))
    parts = [f"{score.method} {significant(getattr(score, f'{kind}_l1'), scale=1e3)}" for score in methods]
    limits = [significant(getattr(score, f"{kind}_l1"), scale=1e3) for score in scores if score.kind == "limit"]
    floor = f" Dotted: the noise floor, {limits[0]}." if limits else ""
    ends = f"lowest {parts[0]}, highest {parts[-1]}" if len(parts) > 1 else "".join(parts)
    return f"L1 on {kind} gaps in thousandths: {ends}.{floor}"
