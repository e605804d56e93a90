"""The estimates of whole frames' rings in gaps and close to them: an input of networks that know the geometry.

Made from the pixels that a frame leaves when its gaps are laid, as all inputs: never from what lies under a gap.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from scattering.calibration import Calibration
from scattering.dataset import Dataset
from scattering.filling.rings import REACH, Rings, beside
from trainables.batches import NO_GAP
from trainables.hints import RING_CHANNELS, RingTable, stacked
from trainables.images import windows_with


def estimate(measured: Tensor, observed: Tensor, calibration: Calibration | None) -> Tensor:
    """Return what rings say of a frame (rows, columns), NaN without its geometry: (RING_CHANNELS, rows, columns)."""
    if calibration is None:
        return measured.new_full((RING_CHANNELS, *measured.shape), math.nan)
    return torch.stack(Rings(calibration, beside(observed)).estimate(measured, observed))


def tabulate(data: Dataset) -> RingTable:
    """Make the table of all windows of a data set under every gap pattern."""
    parts = [_frame(data.select([number])) for number in range(len(data))]
    pixels, values = stacked([row for part in parts for row in part])
    return RingTable(pixels.astype(np.int32), values.astype(np.float16))


def _frame(one: Dataset) -> list[tuple[Tensor, Tensor]]:
    """Return the rows of a data set of one frame: window by window, and of each the patterns in their order."""
    (calibration,) = one.calibrations
    laid = [windows_with(one, pattern) for pattern in range(NO_GAP, len(one.strip_starts))]
    frames = [(place, frame) for place, images in enumerate(laid) for frame in images.whole()]
    seen = [torch.from_numpy(frame.observed) for _, frame in frames]
    rings = None if calibration is None else Rings(calibration, beside(torch.stack(seen).all(0)))
    rows: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    for (place, frame), observed in zip(frames, seen, strict=True):
        values = torch.full((RING_CHANNELS, *observed.shape), math.nan)
        if rings is not None:
            values = torch.stack(rings.estimate(torch.from_numpy(frame.measured), observed))
        for number, part in laid[place].parts(frame, values.numpy()):
            own = torch.from_numpy(part).flatten(1)
            known = own[0].isfinite().nonzero()[:, 0]
            # A window without any has a row, too: of its first pixel.
            known = known if len(known) else torch.zeros(1, dtype=torch.int64)
            rows[number, place] = known, own[:, known]
    return [rows[key] for key in sorted(rows)]


def size(data: Dataset) -> int:
    """Return the bytes of the table of a data set, about."""
    layout, rows = data.windows, len(data) * len(data.windows.free) * (len(data.strip_starts) + 1)
    frame = beside(torch.tensor(data.gap)).float().mean().item() * layout.frame_shape[0] * layout.width
    strip = (data.strips.shape[-1] + 2 * REACH) * layout.frame_shape[0] if data.strip_starts else 0
    return int(rows * (frame + strip) * (4 + 2 * RING_CHANNELS))
