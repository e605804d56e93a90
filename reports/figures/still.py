"""A still picture of a figure as SVG, for viewers without scripts and for paper."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from html import unescape
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from scipy.stats import gaussian_kde

from reports.figures.axes import short, ticks

WIDTH = 440
"""Between a phone, on which texts are still read, and half a screen."""
DASHES = {"dot": "2 3", "dash": "6 4", "longdash": "10 4", "dashdot": "6 3 2 3", "longdashdot": "10 3 2 3"}
"""Plotly's dashes in SVG."""
SYMBOLS = {
    "circle": "M-5 0A5 5 0 1 1 5 0A5 5 0 1 1 -5 0Z",
    "square": "M-4.5 -4.5H4.5V4.5H-4.5Z",
    "diamond": "M0 -6L6 0L0 6L-6 0Z",
    "triangle-up": "M0 -5L5.5 4.5H-5.5Z",
    "pentagon": "M0 -5.5L5.2 -1.7L3.2 4.4H-3.2L-5.2 -1.7Z",
    "star": "M0 -6L1.8 -1.9L6 -1.9L2.6 .9L3.8 5.2L0 2.6L-3.8 5.2L-2.6 .9L-6 -1.9L-1.8 -1.9Z",
    "x-thin": "M-4 -4L4 4M-4 4L4 -4",
    "cross-thin": "M-5 0H5M0 -5V5",
}
"""Plotly's symbols as SVG paths about (0, 0)."""


class Scale(NamedTuple):
    """One axis as drawn."""

    low: float
    high: float
    """Both as plotly has them: the logarithm on a logarithmic axis, the place of a category."""
    log: bool
    names: list[str]
    """Of categories."""
    pixels: float
    down: bool

    def at(self, value: Any) -> float:
        """Return the pixel of a value in the data."""
        if self.names:
            return self.place(self.names.index(value))
        return self.place(math.log10(value) if self.log else value)

    def place(self, value: float) -> float:
        """Return the pixel of a place on the axis, which on a logarithmic one is the logarithm."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.pixels * (1 - share if self.down else share), 1)

    def of(self, value: float, reference: str | None, find: Callable[[float], float]) -> float:
        """Return the pixel of an end of a line or a text, which may be a share of the axis."""
        if reference and reference.endswith(("paper", "domain")):
            return self.pixels * (1 - value if self.down else value)
        return find(value)


def svg(chart: go.Figure) -> str:
    """Draw a figure of lines, points, bars or violins; texts of the figure are HTML already."""
    margin = chart.layout.margin
    left, top, height = margin.l, margin.t, chart.layout.height
    names = [unescape(name) for trace in chart.data if trace.type == "bar" for name in trace.y]
    left = max([left, *(20 + 7 * len(name) for name in names)])
    size = WIDTH - left - margin.r, height - top - margin.b
    across, up = (_scale(chart, letter, pixels) for letter, pixels in zip("xy", size, strict=True))
    inside = [_shape(shape, across, up) for shape in chart.layout.shapes]
    for place, trace in enumerate(chart.data):
        draw = {"scatter": _scatter, "bar": _bars, "violin": _violin}[trace.type]
        inside.append(draw(trace, place, across, up))
    outside = _ticks(chart.layout.xaxis, across, size[1]) + _ticks(chart.layout.yaxis, up, size[0])
    texts = [_annotation(note, across, up) for note in chart.layout.annotations]
    return (
        f'<svg class="still" viewBox="0 0 {WIDTH} {height}" aria-hidden="true" font-size="12" fill="currentColor">'
        f'<g transform="translate({left} {top})">{outside}'
        f'<svg width="{size[0]}" height="{size[1]}">{"".join(inside)}</svg>{"".join(texts)}</g></svg>'
    )


def _scale(chart: go.Figure, letter: str, pixels: float) -> Scale:
    axis = chart.layout[f"{letter}axis"]
    values = [value for trace in chart.data for value in _values(trace, letter)]
    if values and isinstance(values[0], str):
        names = list(dict.fromkeys(values))
        return Scale(-0.5, len(names) - 0.5, False, names, pixels, letter == "y")
    if axis.range:
        low, high = axis.range
    else:
        low, high = min(values), max(values)
        room = 0.06 * (high - low) or 0.5
        low, high = 0.0 if axis.rangemode == "tozero" else low - room, high + room
    return Scale(low, high, axis.type == "log", [], pixels, letter == "y")


def _values(trace: Any, letter: str) -> Sequence[Any]:
    if trace.type == "violin" and letter == "x":
        return [trace.name]
    return () if trace[letter] is None else trace[letter]


def _ticks(axis: Any, scale: Scale, across: float) -> str:
    """Draw the grid, the values and the name of an axis; `across` is how far the other one reaches."""
    if axis.visible is False:
        return ""
    if axis.tickvals is not None:
        marks = [(scale.at(value), text) for value, text in zip(axis.tickvals, axis.ticktext, strict=True)]
    elif scale.names:
        marks = [(scale.at(name), name) for name in scale.names]
    else:
        marks = [(scale.at(value), short(value)) for value in ticks(scale.low, scale.high, most=7)]
    drawn = []
    for place, text in marks:
        if axis.showgrid is not False:
            line = f"M0 {place}H{across}" if scale.down else f"M{place} 0V{across}"
            drawn.append(f'<path d="{line}" stroke="#8a919c" stroke-opacity=".3"/>')
        drawn.append(_text(text, -8, place + 4, "end") if scale.down else _text(text, place, across + 18))
    middle = scale.pixels / 2
    if scale.down:
        drawn.append(f'<g transform="translate(-42 {middle}) rotate(-90)">{_text(axis.title.text, 0, 0)}</g>')
    else:
        drawn.append(_text(axis.title.text, middle, across + 42))
    return "".join(drawn)


def _scatter(trace: Any, _: int, across: Scale, up: Scale) -> str:
    points = [(across.at(x), up.at(y)) for x, y in zip(trace.x, trace.y, strict=True)]
    drawn = ""
    if "lines" in trace.mode:
        corner = "H{0}V{1}" if trace.line.shape == "hv" else "L{0} {1}"
        path = "M{} {}".format(*points[0]) + "".join(corner.format(*point) for point in points[1:])
        drawn = _path(path, trace.line)
    if "markers" in trace.mode:
        mark = trace.marker
        color, symbol = mark.color or trace.line.color, mark.symbol or "circle"
        fill = "none" if symbol.endswith("-open") else color
        path, size = SYMBOLS.get(symbol.removesuffix("-open"), "M-5 0H5"), (mark.size or 6) / 11
        for x, y in points:
            place = f"translate({x} {y}) scale({size:.2g})"
            drawn += f'<path d="{path}" transform="{place}" fill="{fill}" stroke="{color}" stroke-width="2"/>'
    return drawn


def dashes(name: str) -> str:
    """Return plotly's dashes as SVG's."""
    return DASHES.get(name, name.replace("px", "").replace("solid", "none"))


def _path(path: str, line: Any) -> str:
    look = f'stroke="{line.color}" stroke-width="{line.width}" stroke-dasharray="{dashes(line.dash or "solid")}"'
    return f'<path d="{path}" fill="none" {look}/>'


def _bars(trace: Any, _: int, across: Scale, up: Scale) -> str:
    colors = trace.marker.color
    drawn = []
    thick = 0.6 * up.pixels / len(up.names)
    for place, (value, name, text) in enumerate(zip(trace.x, trace.y, trace.text, strict=True)):
        color = colors if isinstance(colors, str) else colors[place]
        start, end, y = across.at(0), across.at(value), up.at(name)
        path = f"M{start} {y - thick / 2:.1f}H{end}v{thick:.1f}H{start}z"
        drawn += [f'<path d="{path}" fill="{color}"/>', _text(text, end + 4, y + 4, "start")]
    return "".join(drawn)


def _violin(trace: Any, place: int, across: Scale, up: Scale) -> str:
    values = np.asarray(trace.y, dtype=np.float64)
    heights = np.linspace(values.min(), values.max(), 40)
    wide = gaussian_kde(values)(heights) if values.std() else np.ones_like(heights)
    wide = 0.4 * wide / wide.max()
    outline = [(place + side, y) for side, y in zip([*wide, *-wide[::-1]], [*heights, *heights[::-1]], strict=True)]
    points = " ".join(f"{across.place(x)},{up.at(y)}" for x, y in outline)
    return f'<polygon points="{points}" fill="{trace.line.color}" fill-opacity=".5" stroke="{trace.line.color}"/>'


def _shape(shape: Any, across: Scale, up: Scale) -> str:
    x = [across.of(value, shape.xref, across.at) for value in (shape.x0, shape.x1)]
    y = [up.of(value, shape.yref, up.at) for value in (shape.y0, shape.y1)]
    return _path(f"M{x[0]} {y[0]}L{x[1]} {y[1]}", shape.line)


def _annotation(note: Any, across: Scale, up: Scale) -> str:
    x = across.of(note.x, note.xref, across.place) + (note.xshift or 0)
    y = up.of(note.y, note.yref, up.place) - (note.yshift or 0) + {"top": 12, "bottom": -3}.get(note.yanchor, 4)
    return _text(note.text, x, y, {"left": "start", "right": "end"}.get(note.xanchor, "middle"))


def _text(text: str | None, x: float, y: float, anchor: str = "middle") -> str:
    plain = re.sub(r"</?b>", "", (text or "").replace("<sup>−3</sup>", "⁻³"))
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{plain}</text>'
