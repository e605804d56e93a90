"""NumPy's own files: one frame (rows, columns), or many (N, rows, columns)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scattering.arrays import Counts
from scattering.reading.pages import Pages, Plain, count_type, frame_shape


def open_npy(path: Path) -> Pages:
    """Read the header of an npy file; its objects are never unpickled. Raises ValueError for what are no frames."""
    # The array stays in the file: pages of it are read as they are asked for.
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    frames = array[None] if array.ndim == 2 else array
    if frames.ndim != 3 or not len(frames):
        raise ValueError(f"frames must have the shape (N, rows, columns), got {array.shape}")
    dtype = count_type(array.dtype)

    def frame(number: int) -> Counts:
        return np.array(frames[number], dtype)

    step, *strides = frames.strides
    offsets = tuple(array.offset + number * step for number in range(len(frames)))
    plain = Plain(offsets, array.dtype, (strides[0], strides[1]))
    return Pages(len(frames), frame_shape(frames.shape[1:]), dtype, frame, format=".npy", plain=plain)
