"""EDF, the format of ESRF and Xenocs: frames one after another, each with a header of text."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from scattering.reading.pages import Counts, Pages, count_type, enough, frame_shape

_DETECTOR_KEYS = ("detector", "detectorname", "detector_name", "detectormodel", "det_model")


def open_edf(path: Path) -> Pages:
    """Read the headers of an EDF file.

    Raises ValueError for a damaged one, frames of several shapes, compressed ones, and ones kept in another file.
    """
    from fabio.edfimage import EdfImage

    image = EdfImage()
    image.readheader(str(path))
    try:
        frames = [image.get_frame(number) for number in range(image.nframes)]
        header = {key.lower(): value for key, value in frames[0].header.items()}
        kinds = {(frame.shape, np.dtype(frame.dtype), str(frame.byteorder)) for frame in frames}
        plain = not any(frame.bfname or _compressed(frame.header) for frame in frames)
        # fabio keeps the counts of every frame it reads: only the places are taken from it.
        starts = [int(frame.start) for frame in frames]
        if image.incomplete_file:
            raise ValueError("the header of a frame is damaged")
    finally:
        image.close()
    if len(kinds) != 1 or not plain:
        raise ValueError("the frames of a file must have one shape and type, uncompressed, in the file itself")
    declared, dtype, order = kinds.pop()
    shape = frame_shape(declared)
    stored = dtype.newbyteorder(order if order in "<>" else "=")
    enough(path.stat().st_size, max(starts) + math.prod(shape) * dtype.itemsize)

    def frame(number: int) -> Counts:
        counts = np.fromfile(path, stored, math.prod(shape), offset=starts[number])
        return counts.reshape(shape).astype(dtype, copy=False)

    detector = next((header[key] for key in _DETECTOR_KEYS if header.get(key)), "")
    return Pages(len(starts), shape, count_type(dtype), frame, detector)


def _compressed(header: dict[str, str]) -> bool:
    values = {key.upper(): value.upper() for key, value in header.items()}
    return not values.get("COMPRESSION", "NO").startswith("NO")
