"""The test frames that the best network fills best, as usual, and worst, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from records.tables import FrameScore, MethodScore
from reports.comparisons import KINDS, best_classical
from reports.leaderboard import LEARNED
from reports.markup import Number, escape, known, number, significant, table

SHOWN = 3
"""Of the best and of the worst."""


class Row(NamedTuple):
    """One frame, on one kind of gap."""

    kind: str
    place: str
    """best, median or worst"""
    frame: FrameScore
    l1: float
    """Of the best network."""
    classical_l1: float | None
    """Of the best classical method."""


def rows(ranked: Sequence[MethodScore], frames: Sequence[FrameScore]) -> list[Row]:
    """Pick frames by the L1 of the network (or ensemble) that ranks first."""
    network = next((score.method for score in ranked if score.kind in LEARNED), None)
    found = []
    for kind in KINDS:
        column = f"{kind}_l1"
        own = [frame for frame in frames if frame.method == network and known(getattr(frame, column))]
        own.sort(key=lambda frame: (getattr(frame, column), frame.frame))
        classical = best_classical(ranked, kind)
        other = {f.frame: getattr(f, column) for f in frames if classical and f.method == classical.method}
        ends = min(SHOWN, len(own) // 2)
        middle = len(own) // 2
        picked = [("best", own[k]) for k in range(ends)]
        picked += [("median", frame) for frame in own[middle : middle + 1] if len(own) > 2 * ends]
        picked += [("worst", own[k]) for k in range(len(own) - ends, len(own))]
        found += [Row(kind, place, f, getattr(f, column), other.get(f.frame)) for place, f in picked]
    return found


def html(rows: Sequence[Row], ranked: Sequence[MethodScore]) -> str:
    """Draw the frames, one group for each kind of gap; nothing without any."""
    if not rows:
        return ""
    network = rows[0].frame.method
    groups = []
    for kind in dict.fromkeys(row.kind for row in rows):
        rival = best_classical(ranked, kind)
        against = f" against {escape(rival.method)}" if rival else ""
        lines = [_cells(row) for row in rows if row.kind == kind]
        groups.append((f"{kind.capitalize()} gaps, {escape(network)}{against}", lines))
    caption = (
        f"Best, median and worst test frames of {escape(network)}, with the best classical method on the same frame. "
        "L1 in 10<sup>−3</sup>; a difference below zero: the network’s is lower."
    )
    columns = ["frame", "category", "place", "L1, network", "L1, classical", "difference"]
    return table(caption, columns, groups, "frames")


def _cells(row: Row) -> list[str]:
    change = row.l1 / row.classical_l1 - 1 if known(row.classical_l1) and row.classical_l1 else None
    text = number(change, 0, 100)
    difference = text if change is None else Number(f"{'+' * (change > 0)}{text} %", 100 * change, "%")
    return [
        escape(row.frame.frame),
        escape(row.frame.category),
        row.place,
        significant(row.l1, scale=1e3),
        significant(row.classical_l1, scale=1e3),
        difference,
    ]
