"""The small pieces of HTML that all sections share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reports.cells import DASH, Number, escape, known, places, plain
from reports.downloads import links

__all__ = [
    "DASH",
    "Number",
    "duration",
    "escape",
    "known",
    "number",
    "pairs",
    "percent",
    "section",
    "significant",
    "table",
]

THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"


def number(value: float | None, digits: int = 0, scale: float = 1.0) -> Number:
    """Write `value * scale` with grouped thousands; an en dash stands for a value that is not known."""
    if value is None or not known(value):
        return Number(DASH, None)
    # No minus stands before a zero.
    shown = round(value * scale, digits) + 0.0
    return Number(f"{shown:,.{digits}f}".replace(",", THIN_SPACE).replace("-", "−"), value * scale)


def significant(value: float | None, digits: int = 3, scale: float = 1.0) -> Number:
    """Write `value * scale` with so many significant digits, or all that stand before its point."""
    if value is None or not known(value):
        return Number(DASH, None)
    exponent = int(f"{value * scale:.{digits - 1}e}".partition("e")[2])
    return number(value, max(0, digits - 1 - exponent), scale)


def percent(value: float | None, digits: int = 0) -> Number:
    """Write a share in percent."""
    if value is None or not known(value):
        return Number(DASH, None)
    return Number(f"{number(value, digits, 100)} %", 100 * value, "%")


def duration(seconds: float | None) -> Number:
    """Write a time in its two largest units."""
    if seconds is None or not known(seconds):
        return Number(DASH, None)
    if seconds < 60:
        return Number(f"{seconds:.1f} s", seconds, "s")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return Number(f"{minutes} min {rest:02d} s", seconds, "s")
    return Number(f"{minutes // 60} h {minutes % 60:02d} min", seconds, "s")


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
    """Draw a table that scrolls inside its own box, sorts by its heads and can be saved.

    Args:
        caption: HTML above the table; its first sentence names it.
        columns: HTML of the heads; the first stands over the row headers.
        groups: A heading ("" for none) and the rows under it; all cells are HTML, and those that are a `Number` sort
            by it. The first cell of a row is its header. Rows sort within their group.
        css: Classes of the table; the first names the saved files.
    """
    listed = list(groups)
    rows = [row for _, lines in listed for row in lines]
    head = "".join(_head(column, [row[place] for row in rows]) for place, column in enumerate(columns))
    bodies = "\n".join(_body(heading, lines, len(columns)) for heading, lines in listed)
    title = escape(plain(caption).partition(".")[0])
    return (
        f'<div class="scroll" role="group" aria-label="{title}" tabindex="0"><table class="{css}">\n'
        f"<caption><span>{caption}</span></caption>\n<thead><tr>{head}</tr></thead>\n{bodies}\n</table></div>\n"
        + links(css.partition(" ")[0] or "table", caption, columns, listed)
    )


def pairs(heading: str, items: Iterable[tuple[str, str]]) -> str:
    """Draw names and values (HTML) under a heading."""
    lines = "\n".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in items)
    return f'<div><h3>{heading}</h3>\n<dl class="pairs">\n{lines}\n</dl></div>'


def _head(column: str, cells: Sequence[str]) -> str:
    order = ",".join("" if place is None else str(place) for place in places(cells))
    return f'<th scope="col" data-places="{order}">{column}</th>'


def _body(heading: str, lines: Sequence[Sequence[str]], width: int) -> str:
    title = f'<tr class="group"><th scope="rowgroup" colspan="{width}"><span>{heading}</span></th></tr>\n'
    body = "\n".join(
        f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>"
        for first, *rest in lines
    )
    return f"<tbody>{title if heading else ''}{body}</tbody>"
