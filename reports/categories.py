"""The error of each method on each category of frame: what a method is good for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from records.tables import FrameScore
from reports.comparisons import KINDS
from reports.leaderboard import interval
from reports.markup import escape, known, number, significant, table
from reports.statistics import MIN_GROUPS, Mean, mean


class Category(NamedTuple):
    """One category of frame, on one kind of gap."""

    name: str
    kind: str
    frames: int
    groups: int
    means: dict[str, Mean]
    """L1 per frame of each method that has been measured on it."""


def rows(methods: Sequence[str], frames: Sequence[FrameScore]) -> list[Category]:
    """Average the L1 of each method, which come best first, over the frames of each category."""
    found = []
    for kind in KINDS:
        scored = [frame for frame in frames if known(getattr(frame, f"{kind}_l1"))]
        for name in sorted({frame.category for frame in scored}):
            own = [frame for frame in scored if frame.category == name]
            means = {method: _mean([f for f in own if f.method == method], kind) for method in methods}
            means = {method: mean for method, mean in means.items() if mean.frames}
            distinct = {(frame.frame, frame.group) for frame in own}
            found.append(Category(name, kind, len(distinct), len({group for _, group in distinct}), means))
    return found


def _mean(frames: Sequence[FrameScore], kind: str) -> Mean:
    return mean([getattr(frame, f"{kind}_l1") for frame in frames], [frame.group for frame in frames])


FEWEST = 3
"""Frames of a category below which nothing is said of it."""
CLEARLY = 0.9
"""Share of the network's error below which a classical method's is worth a word."""


def exceptions(rows: Sequence[Category], network: str, classical: Sequence[str]) -> str:
    """Say on which categories a classical method errs clearly less than the best network (no HTML); "" on none."""
    parts = []
    for row in rows:
        own = row.means.get(network)
        rivals = [(value, name) for name in classical if (found := row.means.get(name)) and (value := found.value)]
        if own is None or own.value is None or not rivals or row.frames < FEWEST:
            continue
        least, rival = min(rivals)
        if least < CLEARLY * own.value:
            figures = f"{significant(least, scale=1e3)} against {significant(own.value, scale=1e3)}"
            parts.append(f"{rival} on {row.kind} gaps of {row.name or 'uncategorised'} frames ({figures})")
    return f"A classical method errs less in places: {'; '.join(parts)}." if parts else ""


def html(rows: Sequence[Category]) -> str:
    """Draw one table, categories as columns; nothing where all frames are of one category."""
    names = list(dict.fromkeys(row.name for row in rows))
    if len(names) < 2:
        return ""
    methods = list(dict.fromkeys(method for row in rows for method in row.means))
    sizes = {name: max(row.frames for row in rows if row.name == name) for name in names}
    heads = [f"{escape(name or 'none')}<small>n = {number(sizes[name])}</small>" for name in names]
    groups = []
    for kind in dict.fromkeys(row.kind for row in rows):
        by_name = {row.name: row for row in rows if row.kind == kind}
        lines = [[escape(m), *(_cell(by_name.get(name), m) for name in names)] for m in methods]
        groups.append((f"{kind.capitalize()} gaps", lines))
    caption = (
        "L1 (10<sup>−3</sup>) by category of frame: the mean per frame, <strong>bold</strong>: lowest of its "
        f"category. A 95 % interval beneath it where there are at least {MIN_GROUPS} samples or series; n: frames."
    )
    return table(caption, ["method", *heads], groups, "categories")


def _cell(category: Category | None, method: str) -> str:
    mean = category.means.get(method) if category else None
    if category is None or mean is None or mean.value is None:
        return number(None)
    values = [other.value for other in category.means.values() if other.value is not None]
    cell = interval(mean)
    if mean.value > min(values) or len(values) == 1:
        return cell
    return type(cell)(f"<strong>{cell}</strong>", cell.value, cell.unit, **cell.more)
