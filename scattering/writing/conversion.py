"""Frames written as another format than that of their source, without what its header says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from scattering.errors import InputError
from scattering.reading.stacks import Stack
from scattering.writing.cbf import write_cbf
from scattering.writing.filled import Filled

_EDF_HEADER = 512
_TIFF_HEADERS = 2**16
_LARGEST_TIFF = 2**32


def write_edf(stack: Stack, target: Path, frames: Iterable[Filled]) -> None:
    """Write frames one after another. Raises InputError for a type that the format has no name for."""
    from fabio.edfimage import DATA_TYPES

    names = {np.dtype(dtype): name for name, dtype in reversed(DATA_TYPES.items())}
    if stack.dtype not in names:
        raise InputError(f"EDF holds {', '.join(sorted(map(str, names)))}, got {stack.dtype}: write .npy or .nxs")
    rows, columns = stack.shape
    with target.open("wb") as file:
        for number, frame in enumerate(frames, 1):
            fields = {
                "HeaderID": f"EH:{number:06d}:000000:000000", "Image": number, "ByteOrder": "LowByteFirst",
                "DataType": names[stack.dtype], "Dim_1": columns, "Dim_2": rows,
                "Size": rows * columns * stack.dtype.itemsize,
            }  # fmt: skip
            header = "{\n" + "".join(f"{key} = {value} ;\n" for key, value in fields.items())
            file.write(header.ljust(_EDF_HEADER - 2).encode() + b"}\n")
            file.write(frame.counts.astype(stack.dtype.newbyteorder("<"), copy=False).tobytes())


def write_single_cbf(stack: Stack, target: Path, frames: Iterable[Filled]) -> None:
    """Write one frame of integers. Raises InputError for any other stack."""
    from fabio.cbfimage import CbfImage

    if len(stack) != 1 or stack.dtype.kind not in "iu":
        raise InputError(
            f"CBF holds one frame of integers, got {len(stack)} of {stack.dtype} in {stack.location}: write .nxs"
        )
    (frame,) = frames
    CbfImage(data=np.zeros(stack.shape, stack.dtype)).write(str(target))
    write_cbf(target, target, frame.counts)


def write_pages(stack: Stack, target: Path, frames: Iterable[Filled]) -> None:
    """Write a TIFF file of a page a frame, as it is."""
    from tifffile import TiffWriter

    size = len(stack) * (math.prod(stack.shape) * stack.dtype.itemsize + _TIFF_HEADERS)
    with TiffWriter(target, bigtiff=size >= _LARGEST_TIFF, byteorder="<") as file:
        for frame in frames:
            file.write(frame.counts, photometric="minisblack", metadata=None, software="gapsearch")


def write_npy(stack: Stack, target: Path, frames: Iterable[Filled]) -> None:
    """Write an array (rows, columns) of one frame, (N, rows, columns) of several."""
    shape = stack.shape if len(stack) == 1 else (len(stack), *stack.shape)
    header = {"descr": np.lib.format.dtype_to_descr(stack.dtype), "fortran_order": False, "shape": shape}
    with target.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for frame in frames:
            file.write(frame.counts.tobytes())


CONVERTERS: dict[str, Callable[[Stack, Path, Iterable[Filled]], None]] = {
    ".cbf": write_single_cbf,
    ".edf": write_edf,
    ".npy": write_npy,
    ".tif": write_pages,
    ".tiff": write_pages,
}
"""By the suffix of the file to be written."""
