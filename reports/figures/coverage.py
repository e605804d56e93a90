"""Coverage of the intervals of filled pixels: stated, and found on test frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from records.tables import Coverage
from reports.figures.axes import short
from reports.figures.drawing import GREY, THOUSANDTHS, Look, draw, key, numbers, side_by_side
from reports.markup import DASH, THIN_SPACE, Number, number, percent, significant, table

KINDS = ("horizontal", "vertical")
LOOKS = (Look("#d97400", "circle", "solid"), Look("#2f81d4", "square", "solid"))
"""Of the narrower interval and of the wider one."""
HOLDS = 0.03
"""Shares that are found so near to what is stated are as stated, for whoever reads an interval."""

FAILS = 0.1
"""So much less than stated among pixels of one brightness is worth a word."""


class Line(NamedTuple):
    """One stated interval on one kind of gap, from faint pixels to bright ones."""

    level: float
    look: Look
    counts: list[str]
    """How bright, for people."""
    found: list[float]
    half_widths: list[float]
    """Counts."""
    pixels: list[int]


def rows(coverage: Sequence[Coverage], kind: str) -> list[Coverage]:
    """Choose what was found on all pixels of one kind of gap, the narrowest interval first."""
    return sorted((row for row in coverage if row.kind == kind and not row.by), key=lambda row: row.level)


def lines(coverage: Sequence[Coverage], kind: str) -> list[Line]:
    """Gather what was found at each brightness on one kind of gap."""
    gathered = []
    for whole, look in zip(rows(coverage, kind), LOOKS, strict=False):
        own = [row for row in coverage if (row.kind, row.level, row.by) == (kind, whole.level, "counts")]
        own.sort(key=lambda row: row.start or 0)
        columns = [_bright(row) for row in own], [row.found for row in own], [row.half_width_counts for row in own]
        gathered.append(Line(whole.level, look, *columns, [row.pixels for row in own]))
    return [line for line in gathered if len(line.counts) > 1]


def _bright(row: Coverage) -> str:
    start = _decade(row.start or 0)
    return f"{start}–{_decade(row.end)}" if row.end is not None else f"≥ {start}"


def _decade(counts: float) -> str:
    return f"{counts / 1e3:g}k" if counts >= 1e3 else f"{counts:g}"


def sentence(coverage: Sequence[Coverage]) -> str:
    """Say in plain sentences (no HTML) whether what is stated holds."""
    overall = [row for kind in KINDS for row in rows(coverage, kind)]
    narrow = [row for row in overall if row.found < row.level - HOLDS]
    wide = [row for row in overall if row.found > row.level + HOLDS]
    if narrow:
        verdict = "The intervals are too narrow on the test frames, which differ from the validation frames"
        verdict += ": take them as larger"
    elif wide:
        verdict = "The intervals are wider than they need be: the test frames were easier than the validation frames"
    else:
        verdict = "The intervals hold"
    shares = "; ".join(_shares(coverage, kind) for kind in KINDS if rows(coverage, kind))
    return " ".join(filter(None, (f"{verdict}. Within them lie {shares}.", _exception(coverage))))


def _exception(coverage: Sequence[Coverage]) -> str:
    """Say at which brightness the intervals hold least, where that is far less than stated."""
    row = max((row for row in coverage if row.by == "counts"), key=lambda row: row.level - row.found, default=None)
    if row is None or row.level - row.found < FAILS:
        return ""
    every = sum(whole.pixels for whole in rows(coverage, row.kind) if whole.level == row.level)
    return (
        f"They fail most where the fill has {_bright(row)} counts, in {row.kind} gaps: {percent(row.found)} of the "
        f"truth there, where {percent(row.level)} is stated. They are {percent(row.pixels / every, 1)} of the pixels."
    )


def _shares(coverage: Sequence[Coverage], kind: str) -> str:
    found = [
        f"{percent(row.found, 1)} of the truth where {percent(row.level)} is stated" for row in rows(coverage, kind)
    ]
    return f"in {kind} gaps {' and '.join(found)}"


def figure(found: Sequence[Line]) -> go.Figure:
    """Draw the share within each interval against the brightness of the fill; dotted: the share that is stated."""
    chart = go.Figure()
    for line in found:
        color, symbol, dash = line.look
        chart.add_hline(100 * line.level, line_dash="dot", line_color=GREY, line_width=1.5)
        chart.add_scatter(
            x=line.counts,
            y=[float(f"{100 * share:.5g}") for share in line.found],
            customdata=[
                [short(float(f"{width:.2g}")), f"{number(pixels)}"]
                for width, pixels in zip(line.half_widths, line.pixels, strict=True)
            ],
            mode="lines+markers",
            name=f"{100 * line.level:.0f} % interval",
            line={"color": color, "dash": dash, "width": 2.4},
            marker={"symbol": symbol, "size": 8},
            hovertemplate=f"<b>{100 * line.level:.0f} % interval</b><br>%{{x}} counts: %{{y:.1f}} % within"
            "<br>± %{customdata[0]} counts, %{customdata[1]} pixels<extra></extra>",
        )
    lowest = min(share for line in found for share in line.found)
    chart.update_layout(height=340)
    chart.update_xaxes(title="counts of the fill", type="category", showgrid=False, tickangle=0, tickfont_size=11)
    chart.update_yaxes(title="truth within the interval (%)", range=[min(50.0, 100 * lowest - 5), 102], nticks=7)
    return chart


def caption(found: Sequence[Line], kind: str) -> str:
    """Say what the lines of one kind of gap show."""
    line = found[0]
    widths = ", ".join(
        f"± {short(float(f'{width:.2g}'))} at {counts}"
        for counts, width in zip(line.counts, line.half_widths, strict=True)
    )
    return (
        f"Share of the truth within the intervals in {kind} gaps, from faint pixels to bright ones; dotted: what is "
        f"stated. Half of the {percent(line.level)} intervals are narrower than this, in counts: {widths}."
    )


def html(coverage: Sequence[Coverage], members: int, prefix: str = "") -> str:
    """Draw what came out: sentences, a table and a figure a kind of gap; nothing without any."""
    if not any(rows(coverage, kind) for kind in KINDS):
        return ""
    parts = [f"<p>{sentence(coverage)}</p>", _table(coverage, members)]
    drawn: list[tuple[str, str]] = []
    marks: dict[str, Look] = {}
    for kind in KINDS:
        if found := lines(coverage, kind):
            chart = draw(figure(found), f"{prefix}coverage-{kind}", caption(found, kind))
            drawn.append((f"{kind.capitalize()} gaps", chart))
            marks |= {f"{100 * line.level:.0f} % interval": line.look for line in found}
    if drawn:
        parts += ["<h3>From faint pixels to bright ones</h3>", key(list(marks.items())), side_by_side(drawn)]
        parts.append(_numbers(coverage))
    return "\n".join(parts)


def _numbers(coverage: Sequence[Coverage]) -> str:
    groups = [
        (
            f"{kind.capitalize()} gaps, {percent(line.level)} interval",
            [
                [counts, percent(found, 1), significant(width, 2), number(pixels)]
                for counts, found, width, pixels in zip(
                    line.counts, line.found, line.half_widths, line.pixels, strict=True
                )
            ],
        )
        for kind in KINDS
        for line in lines(coverage, kind)
    ]
    columns = ["counts of the fill", "truth within it", "half-width (counts)", "pixels"]
    return numbers("Truth within the intervals by brightness.", columns, groups, "coverage-counts")


def _table(coverage: Sequence[Coverage], members: int) -> str:
    disagreement = f", how far the {members} models of the ensemble disagree" if members else ""
    caption = (
        "How much of the truth lies within the intervals. Every filled pixel has one. Its width follows from the "
        f"counting noise{disagreement}, how strongly the pattern varies about the gap, and the distance to the "
        "nearest measured pixel. Widths were settled on validation frames; the test frames had no say. Four frames "
        "in five: one frame in ten lies below, one above. The half-width in counts is the median."
    )
    columns = [
        "interval",
        "truth within it",
        "four frames in five",
        "half-width (counts)",
        f"half-width ({THOUSANDTHS})",
        f"mean error, L1 ({THOUSANDTHS})",
        "pixels",
    ]
    groups = [
        (f"{kind.capitalize()} gaps", [_cells(row) for row in found])
        for kind in KINDS
        if (found := rows(coverage, kind))
    ]
    return table(caption, columns, groups, "coverage")


def _cells(row: Coverage) -> list[str]:
    return [
        percent(row.level),
        percent(row.found, 1),
        _between(row.frames_low, row.frames_high),
        significant(row.half_width_counts),
        significant(row.half_width, scale=1e3),
        significant(row.l1, scale=1e3),
        number(row.pixels),
    ]


def _between(low: float | None, high: float | None) -> Number:
    if low is None or high is None:
        return Number(DASH, None)
    return Number(f"{100 * low:.0f}–{100 * high:.0f}{THIN_SPACE}%", 100 * low, "%", high=100 * high)
