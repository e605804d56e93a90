"""The ranking of the methods on the test set, with the measures of the paper's Table 1 and what they cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

from records.tables import FrameScore, MethodScore
from reports.comparisons import KINDS, Comparison, told_apart
from reports.markup import DASH, Number, escape, known, number, percent, significant, table
from reports.statistics import MIN_GROUPS, Mean, mean

REFERENCE = "biharmonic"
LEARNED = ("network", "ensemble")


class Measure(NamedTuple):
    """One column: a field of `MethodScore` and how it is written."""

    field: str
    label: str
    note: str
    write: Callable[[float | None], Number]
    better: Callable[[list[float]], float] | None
    """min or max; None for what is a cost to know, not a score."""


def _thousandths(value: float | None) -> Number:
    return significant(value, scale=1e3)


def _four(value: float | None) -> Number:
    return number(value, 4)


def _tenths(value: float | None) -> Number:
    return percent(value, 1)


def _hours(seconds: float | None) -> Number:
    return significant(seconds, 2, 1 / 3600)


L1 = "L1 (10<sup>−3</sup>)"
ERRORS = (
    Measure("horizontal_l1", L1, "horizontal", _thousandths, min),
    Measure("horizontal_cc", "CC", "horizontal", _four, max),
    Measure("vertical_l1", L1, "vertical", _thousandths, min),
    Measure("vertical_cc", "CC", "vertical", _four, max),
)
COSTS = (
    Measure("horizontal_recovered", "recovered", "horizontal", percent, max),
    Measure("vertical_recovered", "recovered", "vertical", percent, max),
    Measure("iq_error", "I(q) error", "horizontal", _tenths, min),
    Measure("horizontal_l1_counts", "L1 in counts", "horizontal", significant, min),
    Measure("vertical_l1_counts", "L1 in counts", "vertical", significant, min),
    Measure("parameters", "parameters", "", number, None),
    Measure("train_seconds", "training", "device-hours", _hours, None),
    Measure("ms_per_frame", "ms per frame", "", significant, min),
)
MEASURES = ERRORS + COSTS


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
    ties: tuple[str, ...] = ()
    """Neighbours in the ranking that no test tells it apart from."""
    means: Mapping[str, Mean] = field(default_factory=dict)
    """L1 per frame, by kind of gap."""


Pick = Callable[[Row], str]
"""The cell of a column."""


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


def judged(rows: Sequence[Row], frames: Sequence[FrameScore], comparisons: Sequence[Comparison]) -> list[Row]:
    """Add to each row its mean per frame, and the neighbours that it ties with."""
    of_method: dict[str, list[FrameScore]] = {}
    for frame in frames:
        of_method.setdefault(frame.method, []).append(frame)
    ranked = [row.score.method for row in rows if row.rank is not None]
    ties: dict[str, list[str]] = {}
    for above, below in pairwise(ranked):
        if told_apart(comparisons, above, below) is False:
            ties.setdefault(above, []).append(below)
            ties.setdefault(below, []).append(above)
    return [
        replace(
            row,
            ties=tuple(ties.get(row.score.method, [])),
            means={kind: _mean(of_method.get(row.score.method, []), kind) for kind in KINDS},
        )
        for row in rows
    ]


def _mean(frames: Sequence[FrameScore], kind: str) -> Mean:
    return mean([getattr(frame, f"{kind}_l1") for frame in frames], [frame.group for frame in frames])


def _key(method: MethodScore, kinds: list[str]) -> float:
    values = [getattr(method, kind) for kind in kinds]
    return math.prod(values) if values and all(map(known, values)) else math.inf


def _best(methods: list[MethodScore]) -> dict[str, str]:
    """The best value of each field, as printed; none where all print the same."""
    best: dict[str, str] = {}
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


def html(rows: Sequence[Row]) -> str:
    """Draw the ranking in two tables, methods as rows: their errors; what these mean, and what they cost."""
    columns = ["method", "kind", "rank"]
    picks: list[Pick] = [_method, _kind, _rank]
    for kind in KINDS:
        if any(known(getattr(row.score, f"{kind}_l1")) for row in rows):
            for label, note, pick in _error_columns(rows, kind):
                columns.append(_head(label, note))
                picks.append(pick)
    errors = table(_caption(rows), columns, [("", [[pick(row) for pick in picks] for row in rows])], "ranking")
    shown = [m for m in COSTS if any(known(getattr(row.score, m.field)) for row in rows)]
    if not shown:
        return errors
    heads = ["method", "rank", *(_head(m.label, m.note) for m in shown)]
    lines = [[_method(row), _rank(row), *(_cell(row, measure) for measure in shown)] for row in rows]
    caption = "What the errors mean, and what the methods cost. <strong>Bold</strong>: best of the column."
    return errors + table(caption, heads, [("", lines)], "costs")


def _error_columns(rows: Sequence[Row], kind: str) -> list[tuple[str, str, Pick]]:
    """Head, note and cell of each column on one kind of gap."""
    l1, cc = (measure for measure in ERRORS if measure.note == kind)
    columns: list[tuple[str, str, Pick]] = [(l1.label, kind, lambda row: _pooled(row, l1))]
    if any(getattr(row, f"{kind}_ratio") is not None for row in rows):
        columns.append(("ratio", kind, lambda row: _ratio(getattr(row, f"{kind}_ratio"))))
    if any(row.means and row.means[kind].value is not None for row in rows):
        columns.append(("L1 per frame", kind, lambda row: interval(row.means[kind])))
    if any(known(getattr(row.score, cc.field)) for row in rows):
        columns.append((cc.label, kind, lambda row: _cell(row, cc)))
    return columns


def _caption(rows: Sequence[Row]) -> str:
    means = [mean for row in rows for mean in row.means.values()]
    groups = max((mean.groups for mean in means), default=0)
    frames = max((mean.frames for mean in means), default=0)
    kinds = [kind for kind in KINDS if any(known(getattr(row.score, f"{kind}_l1")) for row in rows)]
    rule = "L1" if len(kinds) < 2 else f"the product of L1 on {' and on '.join(kinds)} gaps"
    seeds = max((row.score.seeds or 1 for row in rows if row.score.kind == "network"), default=1)
    few = ", too few for intervals" if groups < MIN_GROUPS else ""
    sentences = [
        f"All methods on the same test pixels, ranked by {rule}, the lowest first.",
        f"n = {number(frames)} test frames of {_groups(groups)}{few}." if frames else "",
        "<strong>Bold</strong>: best of the column.",
        f"±: standard deviation over {seeds} trainings with other seeds." if seeds > 1 else "",
        f"Ratio: how many times smaller the L1 is than that of the {REFERENCE} fill.",
        "Beneath L1 per frame: its 95 % interval." if groups >= MIN_GROUPS else "",
        "“=”: the tests below do not tell a method from its neighbour." if any(row.ties for row in rows) else "",
    ]
    return " ".join(filter(None, sentences))


def _groups(count: int) -> str:
    return f"{number(count)} {'sample' if count == 1 else 'samples'} or series"


def _head(label: str, note: str) -> str:
    return f"{label}<small>{note}</small>" if note else label


def _method(row: Row) -> str:
    return escape(row.score.method)


def _kind(row: Row) -> str:
    return escape(", ".join(filter(None, (row.score.kind, row.score.task))))


def _rank(row: Row) -> Number:
    if row.rank is None:
        return Number(f"{DASH} <span class='equal'></span>", None)
    ties = f"<span class='hidden'> (ties with {escape(' and '.join(row.ties))})</span>" if row.ties else ""
    return Number(f"{row.rank} <span class='equal'>{'=' if row.ties else ''}</span>{ties}", row.rank)


def _cell(row: Row, measure: Measure) -> Number:
    cell = measure.write(getattr(row.score, measure.field))
    if measure.field not in row.best:
        return cell
    return Number(f"<strong>{cell}</strong><span class='hidden'> (best)</span>", cell.value, cell.unit)


def _pooled(row: Row, measure: Measure) -> Number:
    cell = _cell(row, measure)
    sd = getattr(row.score, f"{measure.field}_sd")
    if not known(sd):
        return Number(cell, cell.value, sd=None)
    return Number(f"{cell}<small>± {significant(sd, 2, 1e3)}</small>", cell.value, sd=sd * 1e3)


def _ratio(value: float | None) -> Number:
    return Number(DASH, None) if value is None else Number(f"{value:.2f}×", value)


def interval(mean: Mean) -> Number:
    """Write a mean L1 and its interval, in thousandths."""
    cell = significant(mean.value, scale=1e3)
    low, high = mean.interval or (None, None)
    ends = f"<small>{significant(low, scale=1e3)} to {significant(high, scale=1e3)}</small>" if mean.interval else ""
    return Number(cell + ends, cell.value, low=low and 1e3 * low, high=high and 1e3 * high)


def text(rows: Sequence[Row]) -> str:
    """Write the ranking for a terminal: one method a line, at most 100 columns, `*` marks the best."""
    fields = ("horizontal_l1", "horizontal_cc", "vertical_l1", "vertical_cc", "parameters", "ms_per_frame")
    measures = [m for m in MEASURES if m.field in fields]
    lines = [
        f"{'':28}{'horizontal gaps':>22}{'vertical gaps':>22}{'parameters':>14}{'ms/frame':>12}",
        f"{'':28}" + f"{'L1 (1e-3)':>12}{'CC':>10}" * 2,
    ]
    for row in rows:
        place = "" if row.rank is None else f"{row.rank}{'=' if row.ties else ''}"
        name = "".join(c if c.isprintable() else "?" for c in row.score.method)
        cells = [m.write(getattr(row.score, m.field)) + " *"[m.field in row.best] for m in measures]
        lines.append(
            f"{place:>3} {name[:23]:24}"
            + "".join(f"{c:>{w}}" for c, w in zip(cells, (12, 10, 12, 10, 14, 12), strict=True))
        )
    ties = "; =: not told apart from a neighbour" if any(row.ties for row in rows) else ""
    lines.append(f"*: best of the column; lower is better for L1, higher for CC{ties}")
    return "\n".join(line.rstrip() for line in lines) + "\n"
