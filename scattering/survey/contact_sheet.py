"""A contact sheet: frames side by side, with what is invalid and what is to be filled in colours of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from scattering.arrays import Bools
from scattering.dataset import RawFrame
from scattering.errors import InputError
from scattering.files import replacing
from scattering.outputs import picture_text
from scattering.preprocessing import resize
from scattering.survey.findings import Findings, Sensor, raw_frames

SHEET = "contact sheet"
"""By which one is known again: it takes the place of an earlier one, whatever that showed."""

FRAMES = 24

PIXELS = 2_500_000
"""Of all tiles together: at a byte each the file stays below 3 MB, however noisy the frames."""

LARGEST_TILE = 900

CAPTION = 34
"""Height of the two lines below a frame, in pixels."""

# Of Okabe and Ito's colours, which people with any colour vision tell apart; 0-251 are grey.
INVALID, GAP, DEAD, HOT = 252, 253, 254, 255
COLORS = {INVALID: (0, 114, 178), GAP: (230, 159, 0), DEAD: (0, 158, 115), HOT: (204, 121, 167)}
CROSS = 9
"""Half of the size of the cross at the beam centre, in pixels."""

WORDS = {GAP: "gaps, to be filled", INVALID: "invalid", DEAD: "around: dead", HOT: "around: hot; cross: beam"}

RINGS = 200
"""At most so many in a frame: more would hide it."""


def write_contact_sheet(findings: Findings, path: Path) -> None:
    """Write up to `FRAMES` frames, spread evenly over all, as PNG.

    Raises InputError where the file cannot be written.
    """
    count = min(FRAMES, len(findings))
    numbers = np.round(np.linspace(0, len(findings) - 1, count)).astype(int).tolist()
    side = min(int(math.sqrt(PIXELS / count)) - CAPTION // 2, LARGEST_TILE)
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = Image.new("P", (columns * side, CAPTION + rows * (side + CAPTION)), 0)
    sheet.putpalette(_palette())
    draw = ImageDraw.Draw(sheet)
    _legend(draw)
    for place, tile in enumerate(_tiles(findings, numbers, side)):
        sheet.paste(tile, (place % columns * side, CAPTION + place // columns * (side + CAPTION)))
    try:
        with replacing(path) as temporary:
            sheet.save(temporary, format="PNG", optimize=True, pnginfo=picture_text(SHEET))
    except OSError as error:
        raise InputError(f"cannot write the contact sheet {path}: {error.strerror or error}") from None


def _tiles(findings: Findings, numbers: Sequence[int], side: int) -> Iterator[Image.Image]:
    for number, frame in zip(numbers, raw_frames(findings, numbers), strict=True):
        shape = findings.stacks[findings.places[number].stack].shape
        sensor = findings.sensors[shape]
        picture = _picture(frame, findings.target.gap_for(shape), sensor, side - 4)
        tile = Image.new("P", (side, side + CAPTION), 0)
        tile.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
        draw = ImageDraw.Draw(tile)
        for line, text in enumerate((frame.name, f"{sensor.name}; group {frame.group}")):
            _caption(draw, text, (2, side + 1 + line * (CAPTION // 2)), side - 4)
        yield tile


def _picture(frame: RawFrame, gap: Bools, sensor: Sensor, side: int) -> Image.Image:
    """Draw one frame, its longer side `side` pixels long, counts on a logarithmic scale."""
    rows, columns = gap.shape
    scale = side / max(rows, columns)
    shape = max(1, round(rows * scale)), max(1, round(columns * scale))
    # Of logarithms, which overshoot little: of counts, bright spots would have black rims.
    levels, known = resize(np.log1p(np.maximum(np.where(frame.valid, frame.truth, 0), 0)), frame.valid, shape)
    _, sensitive = resize(np.zeros(gap.shape, np.float32), ~gap, shape)
    image = _grey(levels, known)
    image[~known] = INVALID
    image[~sensitive] = GAP
    picture = Image.fromarray(image)
    picture.putpalette(_palette())
    draw = ImageDraw.Draw(picture)
    hot = np.zeros_like(frame.valid) if frame.hot is None else frame.hot
    for flags, color in ((sensor.dead, DEAD), (hot, HOT)):
        for row, column in (np.argwhere(flags)[:RINGS] + 0.5) * scale:
            draw.ellipse((column - 4, row - 4, column + 4, row + 4), outline=color)
    if not math.isnan(frame.calibration.distance):
        row, column = (scale * (place + 0.5) for place in frame.calibration.beam_center)
        draw.line((column - CROSS, row, column + CROSS, row), fill=HOT)
        draw.line((column, row - CROSS, column, row + CROSS), fill=HOT)
    return picture


def _grey(levels: npt.NDArray[np.float32], known: Bools) -> npt.NDArray[np.uint8]:
    """Map levels to 0-251, from what one pixel in a hundred is below to what one in 500 is above."""
    low, high = np.quantile(levels[known], (0.01, 0.998)) if known.any() else (0, 1)
    return np.asarray(251 * np.clip((levels - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)


def _palette() -> list[int]:
    grey = [(round(255 * level / 251),) * 3 for level in range(252)]
    return [value for color in (*grey, *COLORS.values()) for value in color]


def _legend(draw: ImageDraw.ImageDraw) -> None:
    left = 8.0
    for color, words in WORDS.items():
        draw.rectangle((left, 10, left + 14, 24), fill=color)
        draw.text((left + 20, 9), words, fill=251, font=ImageFont.load_default(13))
        left += 36 + draw.textlength(words, font=ImageFont.load_default(13))


def _caption(draw: ImageDraw.ImageDraw, text: str, place: tuple[int, int], width: int) -> None:
    """Write a line that is cut in the middle where it does not fit."""
    font = ImageFont.load_default(12)
    shown, left = text, len(text)
    while draw.textlength(shown, font=font) > width and left > 8:
        left -= 2
        shown = f"{text[: left // 2]}…{text[-(left // 2) :]}"
    draw.text(place, shown, fill=251, font=font)
