"""What comes out for every detector with gaps that pyFAI knows; `docs/detectors.md` is its text.

`python -m tests.scattering.test_geometries` prints that text.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from scattering.artificial import moved_gaps
from scattering.detectors import Detector, detector
from scattering.errors import InputError
from scattering.windows import vertical_gaps, windows

PAGE = Path(__file__).parents[2] / "docs" / "detectors.md"
NAMED = ["Pilatus100k", "Pilatus300k", "Pilatus300kw", "Pilatus2M", "Eiger1M"]
"""None; horizontal ones only; vertical ones only; both."""

SIZES = ("256", "512", "half", "native")

HEAD = """# Detectors

What is trained on and scored, detector by detector: every one with gaps that pyFAI knows by name. A test keeps this
table as it is.

Vertical gaps are scored in *windows*: full-height pieces of a frame, half overlapping. Windows without a vertical gap
get an artificial one, at each place where one falls in the others (the *patterns*). Each size says: number of windows
x their width in columns, how many of them are free of vertical gaps, number of patterns. Half size keeps the shape of
the frame, native is the detector's own (`--size native`). A gap thinner than half a pixel of the working size is gone
there.

Horizontal gaps are scored where their truth is known: from a second exposure (`python -m scattering.merge`) or a
gapless detector. Frames of one exposure have their horizontal gaps laid a second time, moved by one of so many shifts
as the last column says.

Detectors without gaps, such as Pilatus 100k, CCDs and image plates, have nothing to fill: their frames are truth
everywhere, and `--detector NAME` lays the gaps of another detector over them. The corners outside of a round sensor
are no gaps, either.

| detector | frame | vertical gaps | horizontal gaps | 256 x 256 | 512 x 512 | half | native | shifts |
|---|---|---|---|---|---|---|---|---|
"""


def gapped_detectors() -> list[Detector]:
    """One of each kind, those whose gaps lie between modules."""
    from pyFAI.detectors import Detector as PyFAIDetector

    # pyFAI warns of what it assumes of Lambda detectors.
    logging.getLogger("pyFAI").setLevel(logging.ERROR)
    kinds = {kind: key for key, kind in sorted(PyFAIDetector.registry.items(), reverse=True) if key != "detector"}
    found = {chosen.name: chosen for chosen in map(detector, kinds.values()) if min(chosen.gap.shape) >= 64}
    return [found[name] for name in sorted(found) if inner_gaps(found[name].gap)]


def inner_gaps(gap: np.ndarray) -> bool:
    vertical = np.flatnonzero(~vertical_gaps(gap))
    return bool(np.ptp(vertical) + 1 > len(vertical) or moved_gaps(gap, ~gap, "").any())


def stripes(without: np.ndarray) -> str:
    """`2 x 7`: gaps of 7 pixels; several widths as `1 x 3, 2 x 7`."""
    edges = np.diff(np.concatenate(([False], without, [False])).astype(int))
    widths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    return ", ".join(f"{(widths == width).sum()} x {width}" for width in np.unique(widths)) or "none"


def shape_of(size: str, native: tuple[int, int]) -> tuple[int, int]:
    return {"native": native, "half": (native[0] // 2, native[1] // 2)}.get(size) or (int(size), int(size))


def layout(gap: np.ndarray) -> str:
    try:
        found = windows(gap)
    except InputError:
        return "too small"
    return f"{len(found.starts)} x {found.width}, {len(found.free)} free, {len(found.gapped)}"


def number_of_shifts(gap: np.ndarray) -> int:
    from scattering import artificial

    crossing = gap & ~vertical_gaps(gap)
    return len(artificial._movable(np.packbits(crossing.T, axis=1).tobytes(), gap.shape)[1]) if crossing.any() else 0


def row(chosen: Detector) -> str:
    gap = chosen.gap
    layouts = [layout(chosen.gap_for(shape_of(size, gap.shape))) for size in SIZES]
    cells = [
        chosen.name, f"{gap.shape[0]} x {gap.shape[1]}",
        stripes(vertical_gaps(gap)), stripes(gap.mean(axis=1) > 0.5), *layouts, str(number_of_shifts(gap) or "none"),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def page() -> str:
    return HEAD + "".join(map(row, gapped_detectors()))


@pytest.mark.slow
def test_the_page_says_what_comes_out():
    assert PAGE.read_text() == page(), "write what `python -m tests.scattering.test_geometries` prints"


@pytest.mark.parametrize("size", ["512", "half"])
@pytest.mark.parametrize("name", NAMED)
def test_every_gap_can_be_trained_on_and_scored(name, size):
    """Vertical gaps in free windows, the others by gaps laid a second time; nothing of either without gaps."""
    chosen = detector(name)
    shape = shape_of(size, chosen.gap.shape)
    found = windows(chosen.gap_for(shape))
    assert found.free
    vertical = vertical_gaps(chosen.gap)
    assert bool(found.gapped) == bool(vertical.any())
    crossing = chosen.gap & ~vertical
    moved = moved_gaps(chosen.gap, ~chosen.gap, "a frame")
    assert moved.any() == crossing.any()
    # Laid before the resize, they are still there after it.
    if moved.any():
        laid = Detector(name, moved | chosen.gap, chosen.pixel_size).gap_for(shape)
        assert (laid & ~chosen.gap_for(shape)).sum() > 0.3 * (chosen.gap_for(shape) & ~found.vertical).sum()


if __name__ == "__main__":
    print(page(), end="")
