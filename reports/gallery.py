"""Test frames in pictures: what the network saw, the truth, each fill and its error (the paper's Figs. 7, 8)."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor
from plotly.colors import sequential

from reports.markup import escape
from search.records import Gallery

Array = npt.NDArray[np.float32]

CAP = 0.15
"""Differences of this size and above share one colour (Fig. 8)."""
CROP = 48
"""Side of a close-up in pixels: a gap is 2 to 6 pixels thin in a frame of 512."""
NEUTRAL = (150, 154, 160)
"""Not measured in an intensity picture, not scored in a difference picture."""
SEE_THROUGH = 255


@dataclass(frozen=True)
class Fill:
    """One method on one frame."""

    method: str
    image: Array
    difference: Array
    """|fill - truth| where the truth is known and the input is not; NaN elsewhere."""


@dataclass(frozen=True)
class Frame:
    """One frame of the gallery, ready to draw."""

    name: str
    category: str
    input: Array
    truth: Array
    low: float
    high: float
    """Ends of the intensity scale that all pictures of this frame share."""
    crop: tuple[slice, slice]
    fills: list[Fill]


def rows(gallery: Gallery, order: Sequence[str] = ()) -> list[Frame]:
    """Prepare each frame; methods come in the given order, others after them."""
    places = {method: place for place, method in enumerate(order)}
    columns = sorted(range(len(gallery.methods)), key=lambda m: places.get(gallery.methods[m], len(places)))
    frames = []
    for k, name in enumerate(gallery.names):
        seen, truth = gallery.input[k], gallery.truth[k]
        held_out = np.isfinite(truth) & ~np.isfinite(seen)
        fills = []
        for m in columns:
            image = gallery.filled[k, m]
            fills.append(Fill(gallery.methods[m], image, np.where(held_out, np.abs(image - truth), np.nan)))
        low, high = _scale(seen, truth)
        frames.append(Frame(name, gallery.categories[k], seen, truth, low, high, close_up(truth, held_out), fills))
    return frames


def close_up(truth: Array, held_out: npt.NDArray[np.bool_]) -> tuple[slice, slice]:
    """Find the square whose held-out truth varies most (sum of squares about its mean), its gap in the middle."""
    height, width = min(CROP, truth.shape[0]), min(CROP, truth.shape[1])
    value = np.where(held_out, truth, 0).astype(np.float64)
    count, total, squares = (_window_sums(a, height, width) for a in (held_out, value, value**2))
    variation = squares - total**2 / np.maximum(count, 1)
    row, col = divmod(int(np.argmax(variation.round(9))), variation.shape[1])
    inside = np.flatnonzero(held_out[row : row + height, col : col + width].any(axis=1))
    if inside.size:
        middle = row + (inside[0] + inside[-1] + 1) // 2
        row = int(np.clip(middle - height // 2, 0, truth.shape[0] - height))
    return slice(row, row + height), slice(col, col + width)


def _window_sums(values: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[np.float64]:
    sums: npt.NDArray[np.float64] = np.pad(values.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    return sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]


def _scale(seen: Array, truth: Array) -> tuple[float, float]:
    """Percentiles 0.2 and 99.8 of the measured intensity, so that one hot pixel does not darken the rest."""
    values = np.concatenate([seen[np.isfinite(seen)], truth[np.isfinite(truth)]])
    if values.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(values, (0.2, 99.8))
    return float(low), float(max(high, low + 1e-6))


def levels(values: Array, low: float, high: float) -> npt.NDArray[np.uint8]:
    """Turn values into palette entries: 1 (`low` and below) to 254 (`high` and above), 0 where NaN."""
    share = np.clip((np.nan_to_num(values) - low) / (high - low), 0, 1)
    return np.where(np.isnan(values), 0, 1 + np.rint(share * 253)).astype(np.uint8)


def png(entries: npt.NDArray[np.uint8], colors: Sequence[str]) -> str:
    """Encode palette entries as a PNG data URI; entry 0 is neutral grey, 255 lets the background through."""
    stops = np.array([ImageColor.getrgb(color)[:3] for color in colors])
    places = np.linspace(0, len(stops) - 1, 254)
    ramp = np.stack([np.interp(places, np.arange(len(stops)), stops[:, band]) for band in range(3)], axis=1)
    image = Image.fromarray(entries).convert("P")
    image.putpalette(np.vstack([NEUTRAL, np.rint(ramp), NEUTRAL]).astype(np.uint8).tobytes())
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True, transparency=SEE_THROUGH)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def intensity(values: Array, frame: Frame) -> npt.NDArray[np.uint8]:
    """Palette entries of an intensity picture, on the scale of its frame."""
    return levels(values, frame.low, frame.high)


def overlay(values: Array, frame: Frame) -> npt.NDArray[np.uint8]:
    """Like `intensity`, but transparent where it equals the input: the input is embedded once a frame."""
    entries = intensity(values, frame)
    return np.where(entries == intensity(frame.input, frame), SEE_THROUGH, entries).astype(np.uint8)


def style(frames: Sequence[Frame]) -> str:
    """CSS that puts each frame's input under the pictures of that frame."""
    inputs = (png(intensity(frame.input, frame), sequential.Viridis) for frame in frames)
    return "\n".join(f".frame-{k} {{ background-image: url({uri}); }}" for k, uri in enumerate(inputs))


def html(frame: Frame, index: int) -> str:
    """Draw one frame: a close-up and the whole frame, each with its differences beneath."""
    whole = slice(None), slice(None)
    columns = f"--columns: {2 + len(frame.fills)}"
    size = " × ".join(str(side.stop - side.start) for side in frame.crop)
    body = "\n".join(
        [
            f"<h4>Close-up, {size} pixels</h4>",
            *_intensities(frame, frame.crop, f"close-up of frame {frame.name}"),
            _legend(frame),
            *_differences(frame, frame.crop, f"close-up of frame {frame.name}"),
            "<h4>Whole frame; the dashed square is the close-up</h4>",
            *_intensities(frame, whole, f"frame {frame.name}", f"frame-{index}"),
            '<p class="legend">|fill − truth| on the same scale; the number is the mean over the frame.</p>',
            *_differences(frame, whole, f"frame {frame.name}"),
        ]
    )
    title = f"{escape(frame.name)} <small>{escape(frame.category)}</small>"
    return (
        f'<article class="frame"><h3>{title}</h3>\n'
        f'<div class="scroll" tabindex="0"><div class="panels" style="{columns}">{body}</div></div></article>'
    )


def _intensities(frame: Frame, part: tuple[slice, slice], what: str, under: str = "") -> list[str]:
    pictures = [("input", frame.input), ("truth", frame.truth), *((f.method, f.image) for f in frame.fills)]
    encode = overlay if under else intensity
    box = _box(frame) if under else ""
    return [
        _panel(png(encode(image, frame)[part], sequential.Viridis), f"{what}: {name}", name, under, box)
        for name, image in pictures
    ]


def _differences(frame: Frame, part: tuple[slice, slice], what: str) -> list[str]:
    panels = []
    for fill in frame.fills:
        cut = fill.difference[part]
        scored = cut[np.isfinite(cut)]
        mean = f"{scored.mean() * 1e3:.2f} × 10⁻³" if scored.size else "no truth here"
        uri = png(levels(cut, 0, CAP), sequential.Magma)
        panels.append(_panel(uri, f"{what}: difference between {fill.method} and truth, mean {mean}", mean))
    return panels


def _panel(uri: str, alt: str, caption: str, css: str = "", inside: str = "") -> str:
    picture = f'<div class="picture"><img class="{css}" src="{uri}" alt="{escape(alt)}">{inside}</div>'
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def _box(frame: Frame) -> str:
    (height, width), (down, across) = frame.truth.shape, frame.crop
    place = {
        "top": down.start / height,
        "left": across.start / width,
        "height": (down.stop - down.start) / height,
        "width": (across.stop - across.start) / width,
    }
    return f'<span class="box" style="{"; ".join(f"{k}: {v:.3%}" for k, v in place.items())}"></span>'


def _legend(frame: Frame) -> str:
    ramp = np.arange(1, SEE_THROUGH, dtype=np.uint8)[None]
    bars = (
        ("intensity", f"≤ {frame.low:.2f}", f"≥ {frame.high:.2f}", sequential.Viridis, "grey: not measured"),
        ("|fill − truth|", "0", f"≥ {CAP}", sequential.Magma, "grey: not scored; the number is the mean"),
    )
    return (
        '<div class="legend">'
        + "".join(
            f'<p>{name}</p><img src="{png(ramp, colors)}" alt="colour scale of {name}, from {low} to {high}">'
            f"<p class='ends'><span>{low}</span><span>{high}</span></p><p class='note'>{note}</p>"
            for name, low, high, colors, note in bars
        )
        + "</div>"
    )
