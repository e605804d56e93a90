"""The comparison of methods on the test set, in the shape of the paper's Table 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import plotly.graph_objects as go

from reports.markup import DASH, duration, escape, known, number, table
from search.records import MethodScore

REFERENCE = "biharmonic"
COLORS = {"network": "#e07b00", "classical": "#8a919c"}


class Measure(NamedTuple):
    """One line of the comparison: a field of `MethodScore` and how it is written."""

    group: str
    field: str
    label: str
    write: Callable[[float | None], str]
    better: Callable[[list[float]], float] | None
    """min or max; None for what is a cost to know, not a score."""


def _thousandths(value: float | None) -> str:
    return number(value, 4, 1e3)


def _percent(value: float | None) -> str:
    return DASH if not known(value) else number(value, 0, 100) + " %"


def _four(value: float | None) -> str:
    return number(value, 4)


def _two(value: float | None) -> str:
    return number(value, 2)


def _one(value: float | None) -> str:
    return number(value, 1)


MEASURES = (
    Measure("Horizontal gaps", "horizontal_l1", "L1 (10<sup>−3</sup>), lower is better", _thousandths, min),
    Measure("Horizontal gaps", "horizontal_cc", "CC, higher is better", _four, max),
    Measure("Vertical gaps", "vertical_l1", "L1 (10<sup>−3</sup>), lower is better", _thousandths, min),
    Measure("Vertical gaps", "vertical_cc", "CC, higher is better", _four, max),
    Measure("Recovered, of what the noise allows", "horizontal_recovered", "horizontal gaps", _percent, max),
    Measure("Recovered, of what the noise allows", "vertical_recovered", "vertical gaps", _percent, max),
    Measure("L1 in counts", "horizontal_l1_counts", "horizontal gaps", _two, min),
    Measure("L1 in counts", "vertical_l1_counts", "vertical gaps", _two, min),
    Measure("Cost", "parameters", "parameters", number, None),
    Measure("Cost", "train_seconds", "training time", duration, None),
    Measure("Cost", "ms_per_frame", "ms per frame", _one, min),
)


@dataclass(frozen=True)
class Row:
    """One method, with its place among the others."""

    score: MethodScore
    rank: int | None = None
    """From 1; None for a limit, which nothing competes with."""
    best: frozenset[str] = frozenset()
    """Fields in which no other method, as printed, does better."""
    horizontal_ratio: float | None = None
    """L1 of the biharmonic fill / L1 of this method."""
    vertical_ratio: float | None = None


def rows(scores: Sequence[MethodScore]) -> list[Row]:
    """Rank methods by the product of their horizontal and vertical L1, limits last and unranked.

    The product orders as the geometric mean of the ratios to any one method does, so neither kind of
    gap outweighs the other. A method without a value that others have comes after them.
    """
    methods = [score for score in scores if score.kind != "limit"]
    kinds = [name for name in ("horizontal_l1", "vertical_l1") if any(known(getattr(m, name)) for m in methods)]
    keys = {id(method): _key(method, kinds) for method in methods}
    ordered = sorted(methods, key=lambda method: (keys[id(method)], method.method))
    places = sorted(keys.values())
    best = _best(methods)
    reference = next((score for score in methods if score.method == REFERENCE), None)
    ranked = [Row(method, places.index(keys[id(method)]) + 1, frozenset(_won(method, best))) for method in ordered]
    limits = [Row(score) for score in scores if score.kind == "limit"]
    return [_with_ratios(row, reference) for row in ranked + limits]


def _key(method: MethodScore, kinds: list[str]) -> float:
    values = [getattr(method, kind) for kind in kinds]
    return math.prod(values) if values and all(map(known, values)) else math.inf


def _best(methods: list[MethodScore]) -> dict[str, str]:
    """The best value of each field, as printed; none where all print the same."""
    best = {}
    for measure in MEASURES:
        values = [value for method in methods if known(value := getattr(method, measure.field))]
        if measure.better and len({measure.write(value) for value in values}) > 1:
            best[measure.field] = measure.write(measure.better(values))
    return best


def _won(method: MethodScore, best: dict[str, str]) -> list[str]:
    return [m.field for m in MEASURES if m.write(getattr(method, m.field)) == best.get(m.field)]


def _with_ratios(row: Row, reference: MethodScore | None) -> Row:
    def ratio(name: str) -> float | None:
        l1, base = getattr(row.score, name), getattr(reference, name, None)
        return base / l1 if known(base) and known(l1) and l1 > 0 else None

    return replace(row, horizontal_ratio=ratio("horizontal_l1"), vertical_ratio=ratio("vertical_l1"))


def html(rows: list[Row]) -> str:
    """Draw the comparison: methods are columns, best first, a limit apart at the right."""
    columns = ["<span class='hidden'>measure</span>", *map(_heading, rows)]
    shown = [m for m in MEASURES if any(known(getattr(row.score, m.field)) for row in rows)]
    groups = [
        (group, [[m.label, *(_cell(row, m) for row in rows)] for m in shown if m.group == group])
        for group in dict.fromkeys(measure.group for measure in shown)
    ]
    caption = (
        "All methods on the same test pixels, best first. <strong>Bold</strong>: best of the line. "
        f"The factor under an L1 says how many times smaller it is than that of the {REFERENCE} fill."
    )
    limits = sum(row.rank is None for row in rows)
    return table(caption, columns, groups, "comparison apart" if limits else "comparison")


def _heading(row: Row) -> str:
    kind = "limit, not ranked" if row.rank is None else f"{row.score.kind}, rank {row.rank}"
    return f"{escape(row.score.method)}<small>{escape(kind)}</small>"


def _cell(row: Row, measure: Measure) -> str:
    text = measure.write(getattr(row.score, measure.field))
    if measure.field in row.best:
        text = f"<strong>{text}</strong><span class='hidden'> (best)</span>"
    ratios = {"horizontal_l1": row.horizontal_ratio, "vertical_l1": row.vertical_ratio}
    ratio = ratios.get(measure.field)
    return text if ratio is None else f"{text}<small>{ratio:.2f}×</small>"


def figure(rows: list[Row], kind: str) -> go.Figure:
    """Draw the L1 of each method on one kind of gap (horizontal or vertical), the limit as a line."""
    drawn = [row.score for row in reversed(rows) if known(getattr(row.score, f"{kind}_l1"))]
    methods = [score for score in drawn if score.kind != "limit"]
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
    for score in drawn:
        if score.kind == "limit":
            value = getattr(score, f"{kind}_l1") * 1e3
            label = {"annotation_text": escape(score.method), "annotation_position": "top"}
            chart.add_vline(value, line_dash="dot", line_color=COLORS["classical"], **label)
    chart.update_layout(template="none", height=90 + 38 * len(methods), bargap=0.35, showlegend=False)
    chart.update_xaxes(title="L1 (10<sup>−3</sup>), lower is better", range=[0, 1.18 * max(values, default=1)])
    chart.update_yaxes(type="category", automargin=True, ticksuffix=" ", showgrid=False)
    return chart


def text(rows: list[Row]) -> str:
    """Write the comparison for a terminal: one method a line, at most 100 columns, `*` marks the best."""
    fields = ("horizontal_l1", "horizontal_cc", "vertical_l1", "vertical_cc", "parameters", "ms_per_frame")
    measures = [m for m in MEASURES if m.field in fields]
    lines = [
        f"{'':24}{'horizontal gaps':>24}{'vertical gaps':>24}{'parameters':>14}{'ms/frame':>12}",
        f"{'':24}" + f"{'L1 (1e-3)':>14}{'CC':>10}" * 2,
    ]
    for row in rows:
        name = "".join(c if c.isprintable() else "?" for c in row.score.method)
        cells = [m.write(getattr(row.score, m.field)) + " *"[m.field in row.best] for m in measures]
        lines.append(
            f"{name[:23]:24}" + "".join(f"{c:>{w}}" for c, w in zip(cells, (14, 10, 14, 10, 14, 12), strict=True))
        )
    return "\n".join(line.rstrip() for line in lines) + "\n"
