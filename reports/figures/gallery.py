"""Test frames in pictures: every method on whole frames (the paper's Fig. 7), and close by (Figs. 8 and 9)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

import numpy as np
import numpy.typing as npt

from records.tables import Gallery, MethodScore
from reports.figures.drawing import leading
from reports.figures.pictures import (
    CAP,
    DIFFERENCE,
    INTENSITY,
    Array,
    errors,
    levels,
    outline,
    overlay,
    picture,
    png,
    ramp,
    scale,
)
from reports.markup import escape, significant

CLOSEST = 4
"""Methods shown where every method fails."""
EDGE = 3
"""Rows shown about the scored ones in a difference picture."""


@dataclass(frozen=True)
class Fill:
    """One method on one frame."""

    method: str
    leads: bool
    """Whether it is shown at once, standing for others of its network: see `leading`."""
    image: Array
    difference: Array
    """|fill - truth| where the truth is known and the input is not; NaN elsewhere."""


@dataclass(frozen=True)
class Frame:
    """One frame of a gallery, ready to draw."""

    letter: str
    name: str
    category: str
    reason: str
    input: Array
    truth: Array
    scale: tuple[float, float]
    """Ends of the intensity scale that all whole pictures of this frame share."""
    crop: tuple[slice, slice]
    close: tuple[float, float]
    """Likewise of its close-ups."""
    fills: list[Fill]


def rows(gallery: Gallery, scores: Sequence[MethodScore] = (), first: int = 0) -> list[Frame]:
    """Prepare each frame; methods come in the order of `scores` (best first), others after them.

    Frames are lettered from the `first` letter of the alphabet, as in the paper.
    """
    places = {score.method: place for place, score in enumerate(scores)}
    first_ones = set(leading(scores)) | (set(gallery.methods) - set(places))
    columns = sorted(range(len(gallery.methods)), key=lambda m: places.get(gallery.methods[m], len(places)))
    frames = []
    for k, name in enumerate(gallery.names):
        seen, truth = gallery.input[k], gallery.truth[k]
        held_out = np.isfinite(truth) & ~np.isfinite(seen)
        fills = []
        for m in columns:
            image, method = gallery.filled[k, m], gallery.methods[m]
            difference = np.where(held_out, np.abs(image - truth), np.float32(np.nan))
            fills.append(Fill(method, method in first_ones, image, difference))
        top, bottom, left, right = map(int, gallery.crops[k])
        crop = slice(top, bottom), slice(left, right)
        letter = ascii_uppercase[(first + k) % len(ascii_uppercase)]
        frames.append(
            Frame(
                letter=letter,
                name=name,
                category=gallery.categories[k],
                reason=gallery.reasons[k],
                input=seen,
                truth=truth,
                scale=scale(seen, truth),
                crop=crop,
                close=scale(seen[crop], truth[crop]),
                fills=fills,
            )
        )
    return frames


def mean(difference: Array) -> float | None:
    """Mean over scored pixels; None without any."""
    scored = difference[np.isfinite(difference)]
    return float(scored.mean(dtype=np.float64)) if scored.size else None


def strip(frame: Frame) -> tuple[slice, slice]:
    """The part of a close-up that differences are drawn of: its rows with a scored pixel, and `EDGE` about them."""
    down, across = frame.crop
    scored = np.isfinite(frame.truth[frame.crop]) & np.isnan(frame.input[frame.crop])
    found = np.flatnonzero(scored.any(axis=1))
    if not found.size:
        return frame.crop
    first, last = down.start + int(found[0]), down.start + int(found[-1]) + 1
    return slice(max(first - EDGE, down.start), min(last + EDGE, down.stop)), across


def closest(frame: Frame) -> list[Fill]:
    """Sort the methods by their mean error in the close-up, the lowest first."""
    found = [(mean(fill.difference[frame.crop]), place) for place, fill in enumerate(frame.fills)]
    return [frame.fills[place] for _, place in sorted((error, place) for error, place in found if error is not None)]


def html(frames: Sequence[Frame]) -> str:
    """Draw the gallery: whole frames side by side, then each frame's close-up; nothing without any frame."""
    if not frames:
        return ""
    letters = f"{frames[0].letter} to {frames[-1].letter}" if len(frames) > 1 else frames[0].letter
    return "\n".join(
        [
            f"<h3>Test frames {letters}, filled by each method</h3>",
            "<p>The frames were chosen by the error of the best network: its best, its worst, and evenly between. "
            "Numbers are the mean error over the held-out pixels of a frame, in 10<sup>−3</sup>; dashed squares show "
            "where the close-ups below lie. Pictures of one frame share their scale, and so do its close-ups.</p>",
            _whole(frames),
            "<h3>Close-ups</h3>",
            "<p>Where the hidden truth varies most: each fill, and under it how far it is from the truth. All "
            f"differences of the page share one scale, which ends at {CAP}; dashed lines are the edges of what was "
            "not measured. Numbers: the mean error within the close-up, in 10<sup>−3</sup>.</p>",
            *map(_close_up, frames),
        ]
    )


def failures(frames: Sequence[Frame]) -> str:
    """Draw where every method fails, with the methods that come closest there; nothing without any frame."""
    if not frames:
        return ""
    intro = (
        "<p>No method restores what left no trace outside the gap. These places were not picked by hand: in all test "
        "frames they are those where even the method with the least error is furthest from the truth.</p>"
    )
    return "\n".join(["<h3>Where every method fails</h3>", intro, *map(_failure, frames)])


def sentence(frame: Frame) -> str:
    """Say plainly how far off the methods are in the close-up of a frame (no HTML)."""
    best = next(iter(closest(frame)), None)
    reason = frame.reason[:1].upper() + frame.reason[1:]
    if best is None:
        return f"{reason}."
    here, usual = mean(best.difference[frame.crop]), mean(best.difference)
    compared = f", {here / usual:.1f} times its mean over this frame" if here and usual else ""
    return f"{reason}. Closest here: {best.method}, off by {_thousandths(here)} × 10⁻³ on average{compared}."


def _thousandths(error: float | None) -> str:
    return "no truth" if error is None else f"{significant(error, scale=1e3)}"


def _whole(frames: Sequence[Frame]) -> str:
    inputs = [levels(frame.input, *frame.scale) for frame in frames]
    under = [f"--frame-{frame.letter}" for frame in frames]
    variables = "; ".join(f"{u}: url({png(e, INTENSITY)})" for u, e in zip(under, inputs, strict=True))

    def cell(k: int, image: Array, name: str, caption: str, inside: str = "") -> str:
        frame = frames[k]
        uri = png(overlay(levels(image, *frame.scale), inputs[k]), INTENSITY)
        shown = picture(uri, f"frame {frame.letter}, {frame.name}: {name}", inside, under[k])
        return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"

    def line(place: int) -> list[str]:
        fills = [frame.fills[place] for frame in frames]
        return [
            cell(
                k,
                fill.image,
                f"filled by {fill.method}, error {_thousandths(mean(fill.difference))} × 10⁻³",
                f"{escape(fill.method)} <b>{_thousandths(mean(fill.difference))}</b>",
            )
            for k, fill in enumerate(fills)
        ]

    def grid(cells: Iterable[str]) -> str:
        label = f"Whole frames {frames[0].letter} to {frames[-1].letter}"
        return (
            f'<div class="scroll" tabindex="0" role="group" aria-label="{label}">'
            f'<div class="panels" style="--columns: {len(frames)}">{"".join(cells)}</div></div>'
        )

    heads = [
        f'<p class="head"><b>{frame.letter}</b> {escape(frame.reason)}<small>{escape(frame.name)}</small></p>'
        for frame in frames
    ]
    cells = [*heads, *(cell(k, frame.input, "input", "input") for k, frame in enumerate(frames))]
    cells += [cell(k, frame.truth, "truth", "truth", _box(frame)) for k, frame in enumerate(frames)]
    leads = [fill.leads for fill in frames[0].fills]
    parts = [grid([*cells, *(c for place, lead in enumerate(leads) if lead for c in line(place))])]
    others = [c for place, lead in enumerate(leads) if not lead for c in line(place)]
    if others:
        count = len(leads) - sum(leads)
        parts.append(f"<details><summary>{count} more, further trials of a network</summary>{grid(others)}</details>")
    return f'<div style="{variables}">{"".join(parts)}</div>'


def _box(frame: Frame) -> str:
    (height, width), (down, across) = frame.truth.shape, frame.crop
    place = {
        "top": down.start / height,
        "left": across.start / width,
        "height": (down.stop - down.start) / height,
        "width": (across.stop - across.start) / width,
    }
    return f'<span class="box" style="{"; ".join(f"{k}: {v:.3%}" for k, v in place.items())}"></span>'


def _source(frame: Frame) -> str:
    return ", ".join(filter(None, (frame.name, frame.category)))


def _close_up(frame: Frame) -> str:
    shown, others = ([f for f in frame.fills if f.leads is leads] for leads in (True, False))
    more = f"<details><summary>{len(others)} more</summary>{_cards(frame, others)}</details>" if others else ""
    title = f"{frame.letter}, {escape(frame.reason)} <small>{escape(_source(frame))}</small>"
    cards = _cards(frame, shown, _given(frame))
    return f'<article class="frame"><h4>{title}</h4>\n{cards}{more}</article>'


def _failure(frame: Frame) -> str:
    entries = levels(frame.truth, *frame.scale)
    alt = f"frame {frame.letter}, {frame.name}: truth; the dashed square is the close-up"
    whole = (
        f"<figure>{picture(png(entries, INTENSITY), alt, _box(frame))}<figcaption>truth, whole</figcaption></figure>"
    )
    title = f"{frame.letter} <small>{escape(_source(frame))}</small>"
    cards = _cards(frame, closest(frame)[:CLOSEST], [whole, *_given(frame)])
    return f'<article class="frame"><h4>{title}</h4>\n<p>{escape(sentence(frame))}</p>{cards}</article>'


def _given(frame: Frame) -> list[str]:
    """Input and truth of a close-up, with the colour scales under them."""
    low, high = f"≤ {frame.close[0]:.2f}", f"≥ {frame.close[1]:.2f}"
    scales = (
        ramp("intensity", low, high, INTENSITY, "grey: not measured"),
        ramp("|fill − truth|", "0", f"≥ {CAP}", DIFFERENCE, "colours follow the square root; grey: not scored"),
    )
    named: tuple[tuple[str, Array], ...] = (("input", frame.input), ("truth", frame.truth))
    return [
        f"<figure>{_intensity(frame, image, name)}<figcaption>{name}</figcaption>{bar}</figure>"
        for (name, image), bar in zip(named, scales, strict=True)
    ]


def _cards(frame: Frame, fills: Sequence[Fill], before: Sequence[str] = ()) -> str:
    return f'<div class="cards">{"".join([*before, *(_card(frame, fill) for fill in fills)])}</div>'


def _card(frame: Frame, fill: Fill) -> str:
    part = strip(frame)
    error = _thousandths(mean(fill.difference[part]))
    alt = f"frame {frame.letter}, close-up: difference between {fill.method} and truth, mean {error} × 10⁻³"
    return (
        f"<figure>{_intensity(frame, fill.image, f'filled by {fill.method}')}"
        f"{picture(png(errors(fill.difference[part]), DIFFERENCE), alt, _edges(frame, part))}"
        f"<figcaption>{escape(fill.method)} <b>{error}</b></figcaption></figure>"
    )


def _intensity(frame: Frame, image: Array, name: str) -> str:
    entries = levels(image[frame.crop], *frame.close)
    return picture(png(entries, INTENSITY), f"frame {frame.letter}, close-up: {name}", _edges(frame, frame.crop))


def _edges(frame: Frame, part: tuple[slice, slice]) -> str:
    hidden: npt.NDArray[np.bool_] = ~np.isfinite(frame.input[part])
    return outline(hidden)
