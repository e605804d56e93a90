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
FAILS = 2.0
"""So many times its mean over the frame the best method must err in a place for all to fail there."""
EDGE = 4
"""Pixels shown about the scored ones in a close-up."""


@dataclass(frozen=True)
class Fill:
    """One method on one frame."""

    method: str
    leads: bool
    """Whether it is shown at once, standing for others of its network: see `leading`."""
    image: Array
    difference: Array
    """fill - truth where the truth is known and the input is not; NaN elsewhere."""


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
            difference = np.where(held_out, image - truth, np.float32(np.nan))
            fills.append(Fill(method, method in first_ones, image, difference))
        top, bottom, left, right = map(int, gallery.crops[k])
        least = np.where(held_out, np.abs(gallery.filled[k] - truth).min(axis=0), np.float32(np.nan))
        crop = narrowed(least, (slice(top, bottom), slice(left, right)))
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
    """Mean size over scored pixels; None without any."""
    scored = np.abs(difference[np.isfinite(difference)])
    return float(scored.mean(dtype=np.float64)) if scored.size else None


def narrowed(errors: Array, crop: tuple[slice, slice]) -> tuple[slice, slice]:
    """The part of a close-up that holds its gap, of several that with the larger errors, and `EDGE` pixels about it.

    Args:
        errors: Of every scored pixel; NaN elsewhere.
        crop: The close-up.
    """
    down = _about(errors[crop], crop[0])
    return down, _about(errors[down, crop[1]].T, crop[1])


def _about(errors: Array, part: slice) -> slice:
    """Narrow a range of rows to the stretch with the largest errors and `EDGE` about it; what is that near is one."""
    found = np.flatnonzero(np.isfinite(errors).any(axis=1))
    if not found.size:
        return part
    stretches = np.split(found, np.flatnonzero(np.diff(found) > 2 * EDGE) + 1)
    most = part.start + max(stretches, key=lambda stretch: float(np.nansum(errors[stretch])))
    return slice(max(int(most[0]) - EDGE, part.start), min(int(most[-1]) + 1 + EDGE, part.stop))


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
            TOGGLE,
            "<p>The frames were chosen by the error of the best network: its best, its worst, and evenly between. "
            "Numbers are the mean error over the held-out pixels of a frame, in 10<sup>−3</sup>; dashed squares show "
            "where the close-ups below lie. Pictures of one frame share their scale, and so do its close-ups.</p>",
            _whole(frames),
            "<h3>Close-ups</h3>",
            "<p>Where the hidden truth varies most: each fill, and under it fill − truth. Dashed lines are the edges "
            "of what was not measured. Numbers: the mean error within the close-up, in 10<sup>−3</sup>.</p>",
            LEGEND,
            *map(_close_up, frames),
        ]
    )


TOGGLE = (
    '<label class="toggle"><input type="checkbox"> Before: show what was measured in place of each fill, here and '
    "in the close-ups</label>"
)
"""Works by style alone, so also where scripts do not."""
LEGEND = '<div class="legend">{}{}</div>'.format(
    ramp("intensity", "low", "high", INTENSITY, "from where to where stands beside each frame; grey: not measured"),
    ramp("fill − truth", f"≤ −{CAP}", f"≥ {CAP}", DIFFERENCE, "colours follow the square root; grey: not scored"),
)


def failures(frames: Sequence[Frame]) -> str:
    """Draw where every method fails, with the methods that come closest there; nothing without any frame."""
    if not frames:
        return ""
    failed = [frame for frame in frames if excess(frame) >= FAILS]
    intro = (
        "No method restores what left no trace outside the gap. These places were not picked by hand: in all test "
        "frames they are those where even the method with the least error is furthest from the truth."
        if failed
        else f"Nowhere: even in the worst place of a test frame the best method errs by less than {FAILS:g} times "
        "its mean over the frame."
    )
    return "\n".join(["<h3>Where every method fails</h3>", f"<p>{intro}</p>", *map(_failure, failed)])


def excess(frame: Frame) -> float:
    """Error of the closest method in the close-up, over its mean over the frame; 0 where that is not known."""
    best = next(iter(closest(frame)), None)
    here, usual = (mean(best.difference[frame.crop]), mean(best.difference)) if best else (None, None)
    return here / usual if here and usual else 0.0


def sentence(frame: Frame) -> str:
    """Say plainly how far off the methods are in the close-up of a frame (no HTML)."""
    best = closest(frame)[0]
    here = _thousandths(mean(best.difference[frame.crop]))
    return (
        f"Closest here: {best.method}, off by {here} × 10⁻³ on average, {excess(frame):.1f} times its mean over this "
        "frame."
    )


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
    low, high = frame.close
    return ", ".join(filter(None, (frame.name, frame.category, f"intensity {low:.2f} to {high:.2f}")))


def _close_up(frame: Frame) -> str:
    shown, others = ([f for f in frame.fills if f.leads is leads] for leads in (True, False))
    more = f"<details><summary>{len(others)} more</summary>{_cards(frame, others)}</details>" if others else ""
    title = f"{frame.letter}, {escape(frame.reason)} <small>{escape(_source(frame))}</small>"
    cards = _cards(frame, shown, _given(frame))
    return _article(frame, title, f"{cards}{more}")


def _failure(frame: Frame) -> str:
    entries = levels(frame.truth, *frame.scale)
    alt = f"frame {frame.letter}, {frame.name}: truth; the dashed square is the close-up"
    whole = (
        f"<figure>{picture(png(entries, INTENSITY), alt, _box(frame))}<figcaption>truth, whole</figcaption></figure>"
    )
    title = f"{frame.letter} <small>{escape(_source(frame))}</small>"
    cards = _cards(frame, closest(frame)[:CLOSEST], [whole, *_given(frame)])
    return _article(frame, title, f"<p>{escape(sentence(frame))}</p>{cards}")


def _article(frame: Frame, title: str, body: str) -> str:
    below = png(levels(frame.input[frame.crop], *frame.close), INTENSITY)
    style = f"--close-{frame.letter}: url({below})"
    return f'<article class="frame" style="{style}"><h4>{title}</h4>\n{body}</article>'


def _given(frame: Frame) -> list[str]:
    """Input and truth of a close-up."""
    named: tuple[tuple[str, Array], ...] = (("input", frame.input), ("truth", frame.truth))
    return [
        f"<figure>{_intensity(frame, image, name)}<figcaption>{name}</figcaption></figure>" for name, image in named
    ]


def _cards(frame: Frame, fills: Sequence[Fill], before: Sequence[str] = ()) -> str:
    return f'<div class="cards">{"".join([*before, *(_card(frame, fill) for fill in fills)])}</div>'


def _card(frame: Frame, fill: Fill) -> str:
    difference = fill.difference[frame.crop]
    error = _thousandths(mean(difference))
    alt = f"frame {frame.letter}, close-up: difference between {fill.method} and truth, mean {error} × 10⁻³"
    return (
        f"<figure>{_intensity(frame, fill.image, f'filled by {fill.method}', f'--close-{frame.letter}')}"
        f"{picture(png(errors(difference), DIFFERENCE), alt, _edges(frame))}"
        f"<figcaption>{escape(fill.method)} <b>{error}</b></figcaption></figure>"
    )


def _intensity(frame: Frame, image: Array, name: str, under: str = "") -> str:
    entries = levels(image[frame.crop], *frame.close)
    return picture(png(entries, INTENSITY), f"frame {frame.letter}, close-up: {name}", _edges(frame), under)


def _edges(frame: Frame) -> str:
    hidden: npt.NDArray[np.bool_] = ~np.isfinite(frame.input[frame.crop])
    return outline(hidden)
