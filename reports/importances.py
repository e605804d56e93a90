"""What each searched parameter matters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import plotly.graph_objects as go

from reports.drawing import color, draw, networks, side_by_side, title
from reports.markup import escape, known
from search.records import Importance


def rows(importances: Sequence[Importance]) -> dict[str, list[Importance]]:
    """Gather the parameters of each network, the most important first."""
    found = {}
    for network in networks(item.network for item in importances):
        own = [item for item in importances if item.network == network and known(item.importance)]
        if own:
            found[network] = sorted(own, key=lambda item: (-item.importance, item.parameter))
    return found


def figure(items: Sequence[Importance]) -> go.Figure:
    """Draw one bar a parameter of a network, the most important at the top."""
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
    """Say what the bars of a network show."""
    first, *others = items
    name = first.parameter.replace("_", " ")
    if not others:
        return f"Only {name} was searched; from {first.trials} trials."
    least = others[-1].parameter.replace("_", " ")
    return (
        f"From {first.trials} trials: most of the variation goes with {name} ({first.importance:.0%}), "
        f"least with {least} ({others[-1].importance:.0%})."
    ).replace("%", " %")


def html(found: dict[str, list[Importance]], searched: Iterable[str], prefix: str = "") -> str:
    """Draw the bars of each network, and say of which searched ones there are none."""
    missing = [network for network in networks(searched) if network and network not in found]
    drawn = [
        (title(network), draw(figure(items), f"{prefix}importances-{place}", caption(items)))
        for place, (network, items) in enumerate(found.items())
    ]
    parts = [side_by_side(drawn)] if drawn else []
    if missing:
        names = " and ".join(escape(title(network)) for network in missing)
        parts.append(f"<p>{names}: too few trials with a result to tell what each parameter matters.</p>")
    return "\n".join(["<h3>What each parameter matters</h3>", *parts]) if parts else ""
