"""The small pieces of HTML that all sections share."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

DASH = "–"
THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"


def escape(value: object) -> str:
    """Make text from a run folder safe to stand in HTML, between tags or in an attribute."""
    return html.escape(str(value))


def known(value: float | None) -> bool:
    """Tell whether a measure has a value: neither None nor NaN."""
    return value is not None and not math.isnan(value)


def number(value: float | None, digits: int = 0, scale: float = 1.0) -> str:
    """Write `value * scale` with grouped thousands; an en dash stands for a value that is not known."""
    if value is None or math.isnan(value):
        return DASH
    return f"{value * scale:,.{digits}f}".replace(",", THIN_SPACE).replace("-", "−")


def duration(seconds: float | None) -> str:
    """Write a time in its two largest units."""
    if seconds is None or math.isnan(seconds):
        return DASH
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def section(anchor: str, heading: str, *parts: str) -> str:
    """Wrap parts in a section with a heading; `heading` is HTML."""
    body = "\n".join(parts)
    return f'<section id="{anchor}">\n<h2>{heading}</h2>\n{body}\n</section>'


def table(
    caption: str,
    columns: Sequence[str],
    groups: Iterable[tuple[str, Sequence[Sequence[str]]]],
    css: str = "",
) -> str:
    """Draw a table that scrolls inside its own box; the first cell of a row is its header.

    Args:
        caption: HTML above the table.
        columns: HTML of the column headers; the first stands over the row headers.
        groups: A heading ("" for none) and the rows under it; all cells are HTML.
        css: Class of the table.
    """
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    bodies = "\n".join(_body(heading, lines, len(columns)) for heading, lines in groups)
    return (
        f'<div class="scroll" tabindex="0"><table class="{css}">\n'
        f"<caption><span>{caption}</span></caption>\n<thead><tr>{head}</tr></thead>\n{bodies}\n</table></div>"
    )


def pairs(caption: str, items: Iterable[tuple[str, str]]) -> str:
    """Draw names and values (HTML) as a table of two columns."""
    lines = "\n".join(f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in items)
    return f'<table class="pairs">\n<caption><span>{caption}</span></caption>\n<tbody>{lines}</tbody>\n</table>'


def _body(heading: str, lines: Sequence[Sequence[str]], width: int) -> str:
    title = f'<tr class="group"><th scope="rowgroup" colspan="{width}"><span>{heading}</span></th></tr>\n'
    body = "\n".join(
        f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>"
        for first, *rest in lines
    )
    return f"<tbody>{title if heading else ''}{body}</tbody>"
