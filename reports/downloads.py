"""A table as files to take away: CSV for programs, Markdown for notes, LaTeX for papers."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Sequence

from reports.cells import DASH, Number, escape, plain

Groups = Sequence[tuple[str, Sequence[Sequence[str]]]]
"""A heading ("" for none) and the rows under it; all cells are HTML."""

SPECIAL = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",
    "–": "--",
    "’": "'",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "µ": r"$\mu$",
    "·": r"$\cdot$",
}
"""A bracket at the beginning of a row would be the argument of the `\\\\` before it."""


MARK = "\ufeff"
"""Byte order mark: without it Excel takes a file for one of the machine's old code page."""


def links(name: str, caption: str, columns: Sequence[str], groups: Groups) -> str:
    """Draw the links by which a browser saves the table; they need neither network nor script."""
    title = escape(plain(caption).partition(".")[0])
    files = (
        ("CSV", "csv", "text/csv", MARK + as_csv(columns, groups)),
        ("Markdown", "md", "text/markdown", as_markdown(columns, groups)),
        ("LaTeX", "tex", "application/x-tex", as_latex(caption, columns, groups)),
    )
    drawn = " · ".join(
        f'<a download="{name}.{suffix}" href="data:{kind};charset=utf-8;base64,{_encoded(text)}" '
        f'aria-label="{label}: {title}">{label}</a>'
        for label, suffix, kind, text in files
    )
    return f'<p class="downloads">Save as {drawn}</p>'


def as_csv(columns: Sequence[str], groups: Groups) -> str:
    """Write numbers in full, their unit with the head of the column, and nothing for what is not known."""
    rows = [row for _, lines in groups for row in lines]
    table = []
    if any(heading for heading, _ in groups):
        table.append(["group", *(plain(heading) for heading, lines in groups for _ in lines)])
    for number, head in enumerate(columns):
        cells = [row[number] for row in rows]
        numbers = [cell for cell in cells if isinstance(cell, Number)]
        unit = next((f" ({cell.unit})" for cell in numbers if cell.unit), "")
        table.append([plain(head) + unit, *map(_whole, cells)])
        for name in dict.fromkeys(name for cell in numbers for name in cell.more):
            values = [cell.more.get(name) if isinstance(cell, Number) else None for cell in cells]
            table.append([f"{plain(head)}, {name}", *map(_digits, values)])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(zip(*table, strict=True))
    return text.getvalue()


def as_markdown(columns: Sequence[str], groups: Groups) -> str:
    """Write what the page shows."""
    lines = [[plain(column) for column in columns], ["---", *["---:"] * (len(columns) - 1)]]
    for heading, rows in groups:
        if heading:
            lines.append([f"**{plain(heading)}**", *[""] * (len(columns) - 1)])
        lines += [[plain(cell) for cell in row] for row in rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def as_latex(caption: str, columns: Sequence[str], groups: Groups) -> str:
    """Write what the page shows as a table that needs the package booktabs."""
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        rf"\caption{{{_tex(caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}",
        r"\toprule",
        _row(columns),
    ]
    for heading, rows in groups:
        lines.append(r"\midrule")
        if heading:
            lines.append(rf"\multicolumn{{{len(columns)}}}{{l}}{{\textit{{{_tex(heading)}}}}} \\")
        lines += map(_row, rows)
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(_tex, cells)) + r" \\"


def _tex(cell: str) -> str:
    parts = re.split(r"\^(-?\d+)", plain(cell))
    special = re.compile("|".join(map(re.escape, SPECIAL)))
    parts[::2] = (special.sub(lambda match: SPECIAL[match[0]], part) for part in parts[::2])
    parts[1::2] = (f"$^{{{power}}}$" for power in parts[1::2])
    return re.sub(r"(^|\s)-(?=\d)", r"\1$-$", "".join(parts))


def _whole(cell: str) -> str:
    if isinstance(cell, Number):
        return _digits(cell.value)
    text = plain(cell)
    return "" if text == DASH else text


def _digits(value: float | None) -> str:
    """Fifteen digits hold all that is measured, and hide what scaling by a power of ten leaves."""
    return "" if value is None else f"{value:.15g}"


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode("utf-8")).decode("ascii")
