"""The importance of each searched parameter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import plotly.graph_objects as go

from records.tables import Importance, in_epochs
from reports.figures.drawing import absent, color, draw, networks, numbers, side_by_side, title
from reports.markup import escape, known, percent


def rows(importances: Sequence[Importance]) -> list[list[Importance]]:
    """Gather the parameters of each network, and task where each was searched for itself, most important first."""
    found: dict[tuple[str, str], list[Importance]] = {}
    for network in networks(item.network for item in importances):
        own = [item for item in importances if item.network == network and known(item.importance)]
        for item in sorted(own, key=lambda item: (-item.importance, item.parameter)):
            found.setdefault((network, item.task), []).append(item)
    return list(found.values())


def figure(items: Sequence[Importance]) -> go.Figure:
    """Draw one bar a parameter, the most important at the top."""
    shown = list(reversed(items))
    chart = go.Figure(
        go.Bar(
            x=[round(item.importance * 100, 2) for item in shown],
            y=[escape(item.parameter.replace("_", " ")) for item in shown],
            orientation="h",
            text=[f"{item.importance:.0%}".replace("%", " %") for item in shown],
            textposition="outside",
            cliponaxis=False,
            marker_color=color(items[0].network),
            hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
        )
    )
    largest = max(item.importance for item in items) * 100
    chart.update_layout(height=80 + 34 * len(items), bargap=0.4)
    chart.update_xaxes(title="share of the variation (%)", range=[0, max(1.2 * largest, 1)], nticks=6)
    chart.update_yaxes(type="category", automargin=True, ticksuffix=" ", showgrid=False)
    return chart


def caption(items: Sequence[Importance]) -> str:
    """Say what the bars of one network show."""
    first, *others = items
    name = first.parameter.replace("_", " ")
    least = others[-1].parameter.replace("_", " ")
    return (
        f"From {_basis(first)}: most of the variation goes with {name} ({first.importance:.0%}), "
        f"least with {least} ({others[-1].importance:.0%})."
    ).replace("%", " %")


def html(found: Sequence[Sequence[Importance]], searched: Iterable[str], prefix: str = "") -> str:
    """Draw the bars of each network, and say of which searched ones there are none."""
    missing = {network for network in searched if network} - {items[0].network for items in found}
    shown = [items for items in found if len(items) > 1 and any(item.importance > 0 for item in items)]
    drawn = [
        (_heading(items[0]), draw(figure(items), f"{prefix}importances-{place}", caption(items)))
        for place, items in enumerate(shown)
    ]
    parts = [side_by_side(drawn), _numbers(shown)] if drawn else []
    parts.append(absent(missing, "too few trials with a result to tell what each parameter matters"))
    single = [items[0].network for items in found if items not in shown]
    parts.append(absent(single, "no two parameters to compare"))
    return "\n".join(["<h3>What each parameter matters</h3>", *filter(None, parts)]) if any(parts) else ""


def _numbers(found: Sequence[Sequence[Importance]]) -> str:
    groups = [
        (escape(_heading(items[0])), [[escape(item.parameter), percent(item.importance)] for item in items])
        for items in found
    ]
    return numbers("Share of the variation.", ["parameter", "share"], groups, "importances")


def _heading(item: Importance) -> str:
    return title(item.network) + (f", {item.task}" if item.task else "")


def _basis(item: Importance) -> str:
    return f"{item.trials} trials after {in_epochs(item.epoch)} epoch{'s' * (item.epoch != 1)}"
