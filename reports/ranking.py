"""The ranking of methods with all that says how sure it is: one step from records to what the page draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from records.tables import FrameScore, MethodScore
from reports import comparisons, leaderboard


class Ranking(NamedTuple):
    """Methods measured on the same test frames."""

    rows: list[leaderboard.Row]
    """Best first, limits last."""
    methods: list[MethodScore]
    """The same without limits."""
    comparisons: list[comparisons.Comparison]


def rank(scores: Sequence[MethodScore], frames: Sequence[FrameScore]) -> Ranking:
    """Rank methods and test their differences."""
    rows = leaderboard.rows(scores)
    methods = [row.score for row in rows if row.rank is not None]
    found = comparisons.rows(methods, frames)
    return Ranking(leaderboard.judged(rows, frames, found), methods, found)
