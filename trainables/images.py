"""Images to fill: whole test frames with their horizontal gaps, and windows with an artificial vertical one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage

from scattering.arrays import Bools, Floats, Integers
from scattering.dataset import Dataset
from scattering.filling.rings import Rings, beside
from scattering.windows import cut
from trainables.batches import NO_GAP, WindowSet
from trainables.hints import RING_CHANNELS


class WholeFrame(NamedTuple):
    """A frame with the gaps of some of the images that are part of it."""

    frame: int
    images: list[int]
    """Numbers of these images."""
    measured: Floats
    observed: Bools


@dataclass(frozen=True)
class Images:
    """Images to fill, (K, H, W), and the pixels that are scored on them: frames of a data set, or parts of them."""

    data: Dataset
    measured: Floats
    observed: Bools
    truth: Floats
    scored: Bools
    frame: Integers
    """(K,), the frame that each image is of."""
    left: Integers
    """(K,), its first column in that frame."""
    clean: Floats | None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.frame)

    @cached_property
    def distance(self) -> Integers:
        """Pixels from each scored pixel to the nearest observed one, rounded, in the order of `truth[scored]`."""
        far = [np.rint(ndimage.distance_transform_edt(~seen)).astype(np.int64) for seen in self.observed]
        return np.stack(far)[self.scored] if far else np.zeros(0, np.int64)

    @cached_property
    def rings(self) -> torch.Tensor:
        """The estimates of their frames' rings in them, each with its own gaps: (K, RING_CHANNELS, H, W).

        The fields of `scattering.filling.rings.Estimates`; NaN where the geometry of a frame is not known.
        """
        found = torch.full((len(self), RING_CHANNELS, *self.measured.shape[1:]), math.nan)
        for number, frames in groupby(self.whole(), key=lambda frame: frame.frame):
            calibration = self.data.calibrations[number]
            if calibration is None:
                continue
            laid = list(frames)
            seen = [torch.from_numpy(frame.observed) for frame in laid]
            rings = Rings(calibration, beside(torch.stack(seen).all(0)))
            for frame, observed in zip(laid, seen, strict=True):
                said = torch.stack(rings.estimate(torch.from_numpy(frame.measured), observed))
                for image, part in self.parts(frame, said.numpy()):
                    found[image] = torch.from_numpy(part)
        return found

    @cached_property
    def pixel_frame(self) -> Integers:
        """The frame that each scored pixel is of, in the order of `truth[scored]`."""
        frames: Integers = np.broadcast_to(self.frame[:, None, None], self.scored.shape)[self.scored]
        return frames

    def whole(self) -> Iterator[WholeFrame]:
        """Frames with the gaps of their images laid in; images of a frame that do not overlap share one."""
        width = self.measured.shape[2]
        groups: list[list[int]] = []
        for k in range(len(self)):
            last = groups[-1][-1] if groups else None
            if last is not None and self.frame[last] == self.frame[k] and self.left[k] >= self.left[last] + width:
                groups[-1].append(k)
            else:
                groups.append([k])
        for group in groups:
            frame = int(self.frame[group[0]])
            measured, observed = self.data.measured[frame].copy(), self.data.observed[frame].copy()
            for k in group:
                part = self._columns(k)
                measured[:, part], observed[:, part] = self.measured[k], self.observed[k]
            for k in group:
                observed[:, self._touched(k)] = False
            yield WholeFrame(frame, group, np.where(observed, measured, 0), observed)

    def parts(self, frame: WholeFrame, filled: Floats) -> Iterator[tuple[int, Floats]]:
        """Cut the images out of their frame (..., H, W): (number, image)."""
        for k in frame.images:
            yield k, filled[..., self._columns(k)]

    def _columns(self, k: int) -> slice:
        return slice(self.left[k], self.left[k] + self.measured.shape[2])

    def _touched(self, k: int) -> Bools:
        """Columns beside an image that may carry, after the resize, some of what lies under its artificial gap."""
        columns = self.data.windows.frame_shape[1]
        near, own = np.zeros(columns, bool), self._columns(k)
        gap = near.copy()
        gap[own] = ~self.observed[k].any(axis=0)
        if self.measured.shape[2] < columns and gap.any():
            near = ndimage.distance_transform_edt(~gap) <= _margin(self.data)
            near[own] = False
        return near


def _margin(data: Dataset) -> int:
    """Columns beside an artificial gap that a resize lets it touch: `dataset.build` made the strips as wide."""
    layout, strip = data.windows, data.strips.shape[-1]
    widest = max(int(np.ptp(np.flatnonzero(layout.pattern(number)))) + 1 for number in layout.gapped)
    return (strip - widest) // 2 if strip < layout.width else layout.width


def whole_frames(data: Dataset) -> Images:
    """Return every frame; scored in horizontal gaps whose truth is known."""
    scored = data.valid & ~data.observed & ~data.windows.vertical
    number = np.arange(len(data))
    return Images(data, data.measured, data.observed, data.truth, scored, number, number * 0, data.clean)


def gapped_windows(data: Dataset) -> Images:
    """Return every window without a vertical gap, with its fixed artificial one; none where there are no patterns."""
    windows = WindowSet(data, torch.device("cpu"))
    return _windows(data, windows, windows.fixed_patterns()[: len(windows) if windows.patterns else 0])


def windows_with(data: Dataset, pattern: int) -> Images:
    """Return every window without a vertical gap, with one artificial gap in all, NO_GAP for none."""
    windows = WindowSet(data, torch.device("cpu"))
    return _windows(data, windows, torch.full((len(windows),), pattern))


def _windows(data: Dataset, windows: WindowSet, patterns: torch.Tensor) -> Images:
    """Return the first windows, with a pattern for each."""
    layout, count = data.windows, len(data.windows.free)
    chosen = torch.arange(len(patterns))
    batch = windows.batch(chosen, patterns)
    whole = windows.batch(chosen, torch.full_like(chosen, NO_GAP))
    # What the artificial gap alone hides: where a horizontal gap crosses it, that one counts.
    scored = batch.valid & whole.observed & ~batch.observed
    clean = None
    if data.clean is not None:
        pieces = cut(torch.from_numpy(data.clean), layout)[:, list(layout.free)]
        clean = pieces.reshape(-1, *pieces.shape[2:]).numpy()[chosen.numpy()]
    numbers = chosen.numpy()
    starts = np.array(layout.starts)[list(layout.free)]
    return Images(
        data=data,
        measured=batch.measured[:, 0].numpy(),
        observed=batch.observed[:, 0].numpy(),
        truth=batch.truth[:, 0].numpy(),
        scored=scored[:, 0].numpy(),
        frame=numbers // count,
        left=starts[numbers % count],
        clean=clean,
    )
