"""The pooled L1 of every method as bars, the noise floor as a line."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from reports.leaderboard import Row
from reports.markup import escape, known, number
from search.records import MethodScore

COLORS = {"network": "#d97400", "ensemble": "#cf4a4a", "classical": "#8a919c"}


def rows(ranked: Sequence[Row], kind: str) -> list[MethodScore]:
    """Choose what has a value on one kind of gap (horizontal or vertical), best first."""
    return [row.score for row in ranked if known(getattr(row.score, f"{kind}_l1"))]


def figure(scores: Sequence[MethodScore], kind: str) -> go.Figure:
    """Draw the L1 of each method."""
    methods = [score for score in reversed(scores) if score.kind != "limit"]
    values = [getattr(score, f"{kind}_l1") * 1e3 for score in methods]
    chart = go.Figure(
        go.Bar(
            x=values,
            y=[escape(score.method) for score in methods],
            orientation="h",
            text=[f"{value:.2f}" for value in values],
            textposition="outside",
            cliponaxis=False,
            marker_color=[COLORS.get(score.kind, COLORS["classical"]) for score in methods],
            hovertemplate="%{y}: %{x:.4f}<extra></extra>",
        )
    )
    for score in scores:
        if score.kind == "limit":
            value = getattr(score, f"{kind}_l1") * 1e3
            label = {"annotation_text": escape(score.method), "annotation_position": "top"}
            chart.add_vline(value, line_dash="dot", line_color=COLORS["classical"], **label)
    chart.update_layout(template="none", height=90 + 30 * len(methods), bargap=0.35, showlegend=False)
    chart.update_xaxes(title="L1 (10<sup>−3</sup>), lower is better", range=[0, 1.18 * max(values, default=1)])
    chart.update_yaxes(type="category", automargin=True, ticksuffix=" ", showgrid=False)
    return chart


def caption(scores: Sequence[MethodScore], kind: str) -> str:
    """Say what the bars show."""
    parts = [f"{score.method} {number(getattr(score, f'{kind}_l1'), 2, 1e3)}" for score in scores]
    return f"L1 on {kind} gaps in thousandths, best first: {', '.join(parts)}."
