"""Cells of a table: HTML that knows its number, the order of a column, and what remains of HTML as plain text."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence

DASH = "–"


class Number(str):
    """HTML of a number, and the number: a column sorts by it, and it goes in full precision into a CSV file."""

    value: float | None
    unit: str
    """Of `value`, where the HTML says it and the head of the column does not."""
    more: dict[str, float | None]
    """Further numbers that the HTML shows, by name: columns of their own in a CSV file."""

    def __new__(cls, text: str, value: float | None, unit: str = "", **more: float | None) -> Number:
        """Make a cell of HTML and what it stands for."""
        cell = super().__new__(cls, text)
        cell.value = value if known(value) else None
        cell.unit = unit
        cell.more = more
        return cell

    def __deepcopy__(self, memo: dict[int, object]) -> str:
        """Become plain text in the figures, which copy what they are given."""
        return str(self)


def escape(value: object) -> str:
    """Make text from a run folder safe to stand in HTML, between tags or in an attribute."""
    return html.escape(str(value))


def known(value: float | None) -> bool:
    """Tell whether a measure has a value: neither None nor NaN."""
    return value is not None and not math.isnan(value)


def plain(cell: str) -> str:
    """Return the text of HTML on one line, `10^-3` for a superscript, without what only screen readers get."""
    text = re.sub(r"""<span class=["']hidden["']>.*?</span>""", "", cell)
    text = re.sub(r"<sup>(.*?)</sup>", r"^\1", text)
    text = re.sub(r"</?(a|em|strong|span)\b[^>]*>", "", text)
    text = html.unescape(re.sub(r"<[^>]*>", " ", text))
    return " ".join(text.replace("−", "-").split())


def places(cells: Sequence[str]) -> list[int | None]:
    """Return the place of each cell in its column from the lowest, the same for equal ones; None for an empty one.

    Numbers come before texts; in texts, numbers count as such: trial 9 before trial 10.
    """
    keys = [_key(cell) for cell in cells]
    order = {key: place for place, key in enumerate(sorted({key for key in keys if key is not None}))}
    return [None if key is None else order[key] for key in keys]


def _key(cell: str) -> tuple[tuple[float, str], ...] | None:
    if isinstance(cell, Number):
        return None if cell.value is None else ((cell.value, ""),)
    text = plain(cell)
    if text in ("", DASH):
        return None
    parts = [part for part in re.split(r"(\d+(?:\.\d+)?(?:e[+-]?\d+)?)", text.casefold()) if part.strip()]
    try:
        return ((float(text), ""),)
    except ValueError:
        return tuple((math.inf, part) if not part[0].isdigit() else (float(part), "") for part in parts)
