"""Formats of single detectors, read by fabio as they are: Bruker, ADSC and d*TREK, MPA, SPE."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scattering.arrays import Counts
from scattering.reading.pages import NOTHING, Pages, Plain, Stated, count_type, enough, frame_shape

_SPE_HEADER = 4100


def open_bruker(path: Path) -> Pages:
    """Read a Bruker frame, of format 86 (SMART, APEX) or 100 (`.sfrm`). Raises whatever fabio raises."""
    from fabio.bruker100image import Bruker100Image
    from fabio.brukerimage import BrukerImage

    with path.open("rb") as file:
        new = file.read(80).partition(b":")[2].split()[:1] == [b"100"]
    return _single(_read(path, Bruker100Image if new else BrukerImage), ".sfrm", "MODEL")


def open_dtrek(path: Path) -> Pages:
    """Read an `.img` frame of ADSC, Rigaku and others. Raises whatever fabio raises."""
    from fabio.dtrekimage import DtrekImage

    image = _read(path, DtrekImage)
    stored = image.data.dtype.newbyteorder(">" if "big" in image.header.get("BYTE_ORDER", "") else "<")
    # The counts end where the file does: fabio reads no others.
    plain = Plain((path.stat().st_size - image.data.nbytes,), stored)
    return replace(_single(image, ".img", "DETECTOR_NAMES"), plain=plain, stated=lambda _: _saturation(image.header))


def _saturation(header: Mapping[str, object]) -> Stated:
    """Return what a header of ADSC or d*TREK says of the count that a full pixel holds."""
    for key in ("CCD_IMAGE_SATURATION", "SATURATED_VALUE"):
        with suppress(ValueError):
            if (full := float(str(header.get(key, "")).strip(" ;"))) > 0:
                return Stated(largest=math.nextafter(full, 0))
    return NOTHING


def open_mpa(path: Path) -> Pages:
    """Read a frame of a multiwire detector, text. Raises ValueError for one without counts."""
    from fabio.mpaimage import MpaImage

    # fabio looks for this line beyond the end of the file.
    if b"\n[CDAT" not in path.read_bytes():
        raise ValueError("the counts ([CDAT...]) are missing")
    return _single(_read(path, MpaImage), ".mpa")


def open_spe(path: Path) -> Pages:
    """Read the header of a Princeton Instruments file. Raises ValueError for a damaged one."""
    from fabio.speimage import SpeImage

    image = SpeImage()
    image.readheader(str(path))
    header = image.header
    shape = frame_shape((header["y_dim"], header["x_dim"]))
    dtype = count_type(SpeImage.DATA_TYPES[int(header["data_type"])])
    count = int(header["num_frames"])
    if count < 1:
        raise ValueError(f"a file must hold frames, got {count}")
    enough(path.stat().st_size, _SPE_HEADER + count * math.prod(shape) * dtype.itemsize)
    detector = str(header.get("detector", ""))

    def frame(number: int) -> Counts:
        return np.asarray(SpeImage().read(str(path), number).data)

    size = math.prod(shape) * dtype.itemsize
    plain = Plain(tuple(_SPE_HEADER + number * size for number in range(count)), dtype)
    return Pages(count, shape, dtype, frame, "" if detector == "unspecified" else detector, ".spe", plain)


def _read(path: Path, image_class: Any) -> Any:
    image = image_class().read(str(path))
    image.close()
    return image


def _single(image: Any, suffix: str, detector_key: str = "") -> Pages:
    """Describe an image that is one frame."""
    counts = np.asarray(image.data)
    detector = str(image.header.get(detector_key, ""))
    return Pages(1, frame_shape(counts.shape), count_type(counts.dtype), lambda _: counts, detector, suffix)
