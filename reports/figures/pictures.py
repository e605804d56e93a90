"""Small pictures of frames: PNGs with a palette, the input embedded once a frame, gaps outlined."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor
from plotly.colors import diverging, sequential

from reports.markup import escape

Array = npt.NDArray[np.float32]

CAP = 0.15
"""Differences of this size and above share one colour (the paper's Fig. 8)."""
INTENSITY = sequential.Viridis
DIFFERENCE = diverging.RdBu_r
NEUTRAL = (150, 154, 160)
"""Not measured in an intensity picture, not scored in a difference picture."""
SEE_THROUGH = 255


def scale(seen: Array, truth: Array) -> tuple[float, float]:
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


def errors(differences: Array) -> npt.NDArray[np.uint8]:
    """Palette entries of differences, from -`CAP` to `CAP`.

    Colours follow the square root: a typical error is a thirtieth of the cap, and on an even scale would be white.
    """
    return levels(np.sign(differences) * np.sqrt(np.abs(differences) / np.float32(CAP)), -1, 1)


def overlay(entries: npt.NDArray[np.uint8], below: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Let through what is equal to the picture below."""
    return np.where(entries == below, SEE_THROUGH, entries).astype(np.uint8)


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


def picture(uri: str, alt: str, inside: str = "", under: str = "") -> str:
    """Draw one picture; `inside` lies over it, `under` names the CSS variable of the picture under it."""
    style = f' style="background-image: var({under})"' if under else ""
    return f'<div class="picture"><img src="{uri}" alt="{escape(alt)}"{style}>{inside}</div>'


def outline(inside: npt.NDArray[np.bool_]) -> str:
    """Draw the boundaries of a region as dashed lines over a picture of the same shape."""
    path = "".join(
        [f"M{first} {row}H{last}" for row, first, last in _runs(inside)]
        + [f"M{col} {first}V{last}" for col, first, last in _runs(inside.T)]
    )
    height, width = inside.shape
    return (
        f'<svg class="outline" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
        f'<path d="{path}"/><path d="{path}"/></svg>'
    )


def _runs(inside: npt.NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Return the stretches in which rows differ from the one above: row, first and past-the-last column."""
    found = []
    for row in range(1, len(inside)):
        changed = np.diff((inside[row] != inside[row - 1]).astype(np.int8), prepend=0, append=0)
        starts, stops = np.flatnonzero(changed == 1), np.flatnonzero(changed == -1)
        found += [(row, int(first), int(last)) for first, last in zip(starts, stops, strict=True)]
    return found


def ramp(name: str, low: str, high: str, colors: Sequence[str], note: str) -> str:
    """Draw a colour scale with its ends; `name`, ends and `note` are no HTML."""
    bar: npt.NDArray[Any] = np.arange(1, SEE_THROUGH, dtype=np.uint8)[None]
    name, low, high, note = map(escape, (name, low, high, note))
    return (
        f'<div class="ramp"><p>{name}</p><img src="{png(bar, colors)}" alt="colour scale of {name}, '
        f"from {low} to {high}\"><p class='ends'><span>{low}</span><span>{high}</span></p><p>{note}</p></div>"
    )
