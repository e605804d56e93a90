"""Coverage of stated uncertainties: calibrated on validation frames, counted on test frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from inpainting.uncertainty import ENOUGH, Uncertainty, counting_noise, fit, spread
from records.tables import Coverage
from scattering.arrays import Bools, Floats, Integers, Reals
from scattering.filling.interpolation import linear
from scattering.filling.texture import texture
from scattering.preprocessing import footprint, to_counts
from search.evaluation.scores import Filled, Targets
from trainables.images import Images

DECADES = (0.0, 1.0, 10.0, 100.0, 1e3, 1e4, np.inf)
"""Counts between which fills are as bright as each other."""

FRAMES = (0.1, 0.9)
"""Frames are ranked by the share that lies within the intervals: so many are below the shares that are given."""


class Pixels(NamedTuple):
    """Scored gap pixels of one kind, as the models that fill users' frames fill them; all (pixels,)."""

    filled: Floats
    error: Floats
    """Fill - truth."""
    spread: Floats
    contrast: Floats
    noise: Floats
    distance: Integers
    frame: Integers


def gap_pixels(filled: Sequence[Filled], test: Targets) -> dict[str, Pixels]:
    """Gather what is known of the scored pixels as each model fills them: both kinds of gap by name."""
    shape = test.data.windows.frame_shape
    rows, columns = test.data.settings.get("native", shape)
    averaged = footprint((rows, columns), shape)
    return {
        kind: _pixels(np.stack([getattr(one, kind) for one in filled]), images, averaged)
        for kind, images in test.kinds
    }


def _pixels(fills: Floats, images: Images, averaged: float) -> Pixels:
    """Gather what is known of the scored pixels, filled by each model: (models, pixels)."""
    filled = fills.mean(axis=0, dtype=np.float64)
    return Pixels(
        filled=filled.astype(np.float32),
        error=(filled - images.truth[images.scored]).astype(np.float32),
        spread=spread(fills).astype(np.float32),
        contrast=_contrast(images)[images.scored],
        noise=counting_noise(filled, images.data.full_scale, averaged).astype(np.float32),
        distance=images.distance,
        frame=images.pixel_frame,
    )


def _contrast(images: Images) -> Floats:
    """Local contrast of each image's linear interpolation (K, H, W)."""
    if not len(images):
        return images.measured
    measured, observed = (torch.from_numpy(array)[:, None] for array in (images.measured, images.observed))
    contrast: Floats = texture(linear(measured, observed))[1][:, 0].numpy()
    return contrast


def calibrate(filled: Sequence[Filled], validation: Targets) -> Uncertainty | None:
    """Fit the uncertainty of the mean of several fills on validation frames, on both kinds of gap together.

    None where these have too few scored pixels.
    """
    both = gap_pixels(filled, validation).values()
    together = Pixels._make(map(np.concatenate, zip(*both, strict=True)))
    return fit(together.error, together.spread, together.contrast, together.noise, together.distance)


def coverage(filled: Sequence[Filled], uncertainty: Uncertainty, test: Targets) -> list[Coverage]:
    """Count how much of the truth of test frames lies within the intervals that are stated for the mean fill."""
    rows: list[Coverage] = []
    for kind, pixels in gap_pixels(filled, test).items():
        near = pixels.distance <= uncertainty.reach
        kept = Pixels._make(values[near] for values in pixels)
        if kept.error.size:
            rows += _rows(kind, kept, uncertainty, test.data.full_scale)
    return rows


class Intervals(NamedTuple):
    """Those of one level; all (pixels,)."""

    level: float
    half_width: Reals
    half_width_counts: Reals
    inside: Bools


def _rows(kind: str, pixels: Pixels, uncertainty: Uncertainty, full_scale: float) -> Iterator[Coverage]:
    frames = np.unique(pixels.frame, return_inverse=True)[1]
    classes = list(_classes(pixels, uncertainty, full_scale))
    for level in uncertainty.levels:
        stated = _intervals(pixels, uncertainty, level, full_scale)
        shares = np.bincount(frames, stated.inside) / np.bincount(frames)
        low, high = (float(share) for share in np.quantile(shares, FRAMES))
        everywhere = np.ones(pixels.error.shape, bool)
        yield replace(_row(kind, stated, pixels.error, everywhere), frames_low=low, frames_high=high)
        for by, start, end, own in classes:
            yield replace(_row(kind, stated, pixels.error, own), by=by, start=start, end=end)


def _intervals(pixels: Pixels, uncertainty: Uncertainty, level: float, full_scale: float) -> Intervals:
    scale = uncertainty.scale(pixels.spread, pixels.contrast, pixels.noise, pixels.distance)
    half_width = uncertainty.half_width(level, scale, pixels.distance)
    filled = pixels.filled.astype(np.float64)
    low, high = (to_counts(end, full_scale) for end in (np.maximum(filled - half_width, 0), filled + half_width))
    return Intervals(level, half_width, (high - low) / 2, np.abs(pixels.error) <= half_width)


def _classes(
    pixels: Pixels, uncertainty: Uncertainty, full_scale: float
) -> Iterator[tuple[str, float, float | None, Bools]]:
    """Give pixels at one distance, and those about as bright as each other, where they are many."""
    for before, last in pairwise([0, *uncertainty.distances]):
        own = (pixels.distance > before) & (pixels.distance <= last)
        if own.sum() >= ENOUGH:
            yield "distance", before + 1, last, own
    counts = to_counts(pixels.filled.astype(np.float64), full_scale)
    for start, end in pairwise(DECADES):
        own = (counts >= start) & (counts < end)
        if own.sum() >= ENOUGH:
            yield "counts", start, None if np.isinf(end) else end, own


def _row(kind: str, stated: Intervals, error: Floats, own: Bools) -> Coverage:
    return Coverage(
        kind=kind,
        level=stated.level,
        found=float(stated.inside[own].mean()),
        half_width=float(stated.half_width[own].mean(dtype=np.float64)),
        half_width_counts=float(np.median(stated.half_width_counts[own])),
        l1=float(np.abs(error[own]).mean(dtype=np.float64)),
        pixels=int(own.sum()),
    )
