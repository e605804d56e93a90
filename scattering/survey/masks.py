"""Mask files: what users draw by hand, or a beamline gives out, to mark pixels without data."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from scattering.arrays import Bools, Counts
from scattering.errors import InputError, one_line
from scattering.reading.hdf5 import is_hdf5
from scattering.reading.pages import enough, frame_shape
from scattering.reading.pixel_masks import REJECTING, is_pixel_mask
from scattering.reading.stacks import open_stacks, read
from scattering.reading.unpacking import unpacked

FORMATS = "an edf, tif, npy, h5 or msk file, or one of another image format"

MOST = 0.9
"""Share of the pixels that a mask may hide: all that is below the horizon of a sample, and a beamstop."""

INVERT = "pixels without data are those that are not 0; invert it"

_FIT2D = b"M\0\0\0A\0\0\0S\0\0\0K\0\0\0"
_FIT2D_HEADER = 1024


def read_mask(name: str) -> Bools:
    """Read (rows, columns) from npy, HDF5 (`mask.h5`, `mask.h5::/path`), Fit2D's msk, or an image file: edf, tif, ...

    True where the file is not 0: no data, as pyFAI has it; of a NeXus `pixel_mask`, where it leaves pixels out.
    Raises InputError for a file that cannot be read, is no image, or leaves next to nothing.
    """
    text, _, inside = name.partition("::")
    path = Path(text).expanduser()
    if not path.is_file():
        raise InputError(f"--mask must name a file, got {text}: nothing there")
    try:
        values = np.squeeze(_read(path, inside))
    except InputError as error:
        if str(error).startswith("--mask"):
            raise
        raise InputError(f"--mask must be {FORMATS}: {error}") from None
    except Exception as error:  # whatever HDF5 or NumPy say of what they cannot read
        raise InputError(f"--mask must be {FORMATS}, cannot read {text}: {one_line(error)}") from None
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise InputError(f"--mask must be one image of numbers, got {values.dtype} of shape {values.shape} in {name}")
    masked = values != 0
    share = float(masked.mean()) if masked.size else 1.0
    if share > MOST:
        raise InputError(
            f"--mask must leave a tenth of the pixels or more, got {share:.0%} masked in {name}: {INVERT}"
        )
    return np.asarray(masked)


def check_mask(masked: Bools, gap: Bools, name: str) -> None:
    """Raise InputError for a mask, (rows, columns), that hides the sensor and leaves its gaps."""
    left = ~masked
    if left.mean() < 0.5 < gap[left].mean():
        raise InputError(
            f"--mask must leave pixels with data, got {masked.mean():.0%} masked in {name} and gaps in most of the "
            f"others: {INVERT}"
        )


def _read(path: Path, inside: str) -> Counts:
    if path.suffix.lower() == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    if is_hdf5(path):
        import hdf5plugin  # noqa: F401 - the codecs of EIGER files

        with h5py.File(path, "r") as file:
            array = _array(file, inside, path)
            values = np.asarray(array[()])
            return values.astype(np.int64) & REJECTING if is_pixel_mask(array) else values
    with unpacked(path) as plain:
        if plain.read_bytes()[:16] == _FIT2D:
            return _read_fit2d(plain.read_bytes())
    stacks = open_stacks([str(path)])
    return np.stack([frame.counts for stack in stacks for frame in read(stack, range(len(stack)))])


def _read_fit2d(packed: bytes) -> Counts:
    """Unpack a mask of Fit2D: a bit a pixel, the lowest first, each row filled up to 32 bits.

    Raises ValueError for a damaged one.
    """
    columns, rows = (int.from_bytes(packed[place : place + 4], "little") for place in (16, 20))
    rows, columns = frame_shape((rows, columns))
    width = 4 * -(-columns // 32)
    enough(len(packed), _FIT2D_HEADER + rows * width)
    bits = np.frombuffer(packed, np.uint8, rows * width, _FIT2D_HEADER).reshape(rows, width)
    return np.unpackbits(bits, axis=1, count=columns, bitorder="little")


def _array(file: h5py.File, inside: str, path: Path) -> h5py.Dataset:
    """Return the array at a path, or the only image of a file."""
    found: list[str] = []

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim == 2:
            found.append(name)

    if inside:
        if isinstance(file.get(inside), h5py.Dataset):
            return file[inside]
        raise InputError(f"--mask must name an array, got {path}::{inside}: none there")
    file.visititems(note)
    if len(found) != 1:
        several = f"{len(found)}: {', '.join(f'{path.name}::/{name}' for name in found[:5])}" if found else "none"
        raise InputError(f"--mask must name one image, {path} holds {several}")
    return file[found[0]]
