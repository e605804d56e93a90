"""Mask files: what users draw by hand, or a beamline gives out, to mark pixels without data."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from scattering.arrays import Bools, Counts
from scattering.errors import InputError, one_line
from scattering.reading.hdf5 import is_hdf5
from scattering.reading.stacks import open_stacks, read


def read_mask(name: str) -> Bools:
    """Read (rows, columns) from npy, HDF5 (`mask.h5`, `mask.h5::/path`), or an image file: edf, tif, ...

    True where the file is not 0: no data, as pyFAI has it.
    Raises InputError for a file that cannot be read, is no image, or leaves less than half of the pixels.
    """
    text, _, inside = name.partition("::")
    path = Path(text).expanduser()
    if not path.is_file():
        raise InputError(f"--mask must name a file, got {text}: nothing there")
    try:
        values = np.squeeze(_read(path, inside))
    except InputError:
        raise
    except Exception as error:  # whatever HDF5 or NumPy say of what they cannot read
        raise InputError(
            f"--mask must be an edf, tif, npy or h5 file, cannot read {text}: {one_line(error)}"
        ) from None
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise InputError(f"--mask must be one image of numbers, got {values.dtype} of shape {values.shape} in {name}")
    masked = values != 0
    share = float(masked.mean()) if masked.size else 1.0
    if share > 0.5:
        raise InputError(
            f"--mask must leave half of the pixels or more, got {share:.0%} masked in {name}: pixels without data "
            "are those that are not 0; invert it"
        )
    return np.asarray(masked)


def _read(path: Path, inside: str) -> Counts:
    if path.suffix.lower() == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    if is_hdf5(path):
        import hdf5plugin  # noqa: F401 - the codecs of EIGER files

        with h5py.File(path, "r") as file:
            return np.asarray(_array(file, inside, path)[()])
    stacks = open_stacks([str(path)])
    return np.stack([frame.counts for stack in stacks for frame in read(stack, range(len(stack)))])


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
