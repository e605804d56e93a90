"""HDF5: our own layout of frames, NeXus, the masters of Dectris detectors, and any array whose path is given.

Our own layout: `frames` (N, rows, columns) of counts, and optionally `invalid` of that shape or (rows, columns),
non-zero where there is no data, `names` (N,), `groups` and `categories` (N,), or attributes `group` and `category` of
all, `clean` (N, rows, columns) noise-free counts of simulated frames, `calibration` (N, 9), the fields of
`Calibration`, and the attribute `detector`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from scattering.arrays import Counts
from scattering.calibration import UNKNOWN, Calibration
from scattering.errors import InputError, one_line
from scattering.reading import nexus
from scattering.reading.heaps import check_heaps
from scattering.reading.pages import Recorded, count_type, either, frame_shape
from scattering.reading.pixel_masks import Mask, Told, pixel_masks, stated

SUFFIXES = frozenset((".h5", ".hdf5", ".hdf", ".nxs", ".nx5", ".nexus"))

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_OWN = "/frames"
_PREPARED = "gapsearch dataset"
"""How the attribute `format` of data sets begins, whatever their version."""
CACHE = 2**25
"""Bytes of chunks kept: a chunk may hold parts of several frames, read one after another."""
_LARGEST_CHUNK = 2**30
_MOST_FRAMES = 10**7


@dataclass(frozen=True)
class Array:
    """The frames of one array of a file."""

    inside: str
    """Its path."""
    sources: frozenset[tuple[Path, object]]
    """Where the counts lie, which links may hide: files, and paths or addresses in them."""
    count: int
    shape: tuple[int, int]
    dtype: np.dtype[np.generic]
    names: tuple[str, ...] = ()
    """What the file calls its frames, or nothing."""
    groups: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    detector: str = ""
    unclear: tuple[str, ...] = ()
    """What the file says of its pixels and cannot be used, in words."""
    missing: tuple[str, ...] = ()
    """Files of the same series that its master lists and that are not there; of its last array."""


def is_hdf5(path: Path) -> bool:
    """Tell whether a file is to be read as HDF5: by its name or by its first bytes."""
    if path.suffix.lower() in SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_SIGNATURE)) == _SIGNATURE
    except OSError:
        return False  # whoever reads it says why


def list_arrays(path: Path, inside: str = "") -> list[Array]:
    """Find the frames of a file, all of `inside` or what the file means to be shown.

    Raises InputError for a file that is damaged, holds no frames, several arrays that could be meant, or a data set.
    """
    with open_file(path) as file:
        if _text(file.attrs.get("format")).startswith(_PREPARED):
            raise InputError(f"{path} was prepared already: give it alone to search.run --data")
        own = isinstance(file.get(_OWN), h5py.Dataset)
        found = [inside] if inside else [_OWN] if own else nexus.images(file, path)
        missing = {name: link for name in found if (link := _missing(file, name))} if len(found) > 1 else {}
        there = [name for name in found if name not in missing] or found
        arrays = [_array(file, path, name) for name in there]
        arrays[-1] = replace(arrays[-1], missing=tuple(missing.values()))
        return arrays


def read_array(path: Path, inside: str, numbers: Sequence[int]) -> Iterator[tuple[Array, Recorded]]:
    """Read frames of an array one after another, each with what the array is listed as.

    Raises InputError for a damaged file.
    """
    with open_file(path) as file:
        array = _array(file, path, inside)
        counts, told = file[inside], Told(find_masks(file, inside), stated(file, inside), file[inside].shape[:-2])
        clean, calibration = (_beside(file, inside, name) for name in ("clean", "calibration"))
        for name, other, shape in (
            ("clean", clean, (array.count, *array.shape)),
            ("calibration", calibration, (array.count, len(UNKNOWN))),
        ):
            if other is not None and other.shape != shape:
                raise InputError(f"{name} must have the shape {shape}, got {other.shape} in {path}")
        for number in numbers:
            if number >= array.count:
                raise InputError(
                    f"frame {number} of {path}::{inside} is asked for, there are {array.count}: list again"
                )
            values, said = _frame(counts, number).astype(array.dtype, copy=False), told.stated(number)
            yield (
                array,
                Recorded(
                    values,
                    either(told.invalid(number), said.invalid(values)),
                    None if clean is None else _frame(clean, number).astype(np.float64, copy=False),
                    UNKNOWN if calibration is None else Calibration(*map(float, calibration[number])),
                    said,
                ),
            )


@contextmanager
def open_file(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file and turn what HDF5 says of broken ones into one line."""
    import hdf5plugin  # noqa: F401 - the codecs of EIGER files

    try:
        check_heaps(path)
        file = h5py.File(path, "r", rdcc_nbytes=CACHE)
    except (OSError, ValueError) as error:
        if "unable to lock file" in str(error):
            raise InputError(
                f"{path} is open in another program that writes to it: try again once it is closed"
            ) from None
        raise InputError(f"cannot read {path} as HDF5: {one_line(error)}: write it again, or leave it out") from None
    with file:
        try:
            yield file
        except InputError:
            raise
        except (OSError, KeyError, TypeError, ValueError, RuntimeError, MemoryError, AttributeError) as error:
            raise InputError(f"{path} is damaged: {one_line(error)}: write it again, or leave it out") from None


def _missing(file: h5py.File, name: str) -> str:
    """Return the file that a part of a series should lie in and is not there: an aborted series; else nothing."""
    link = file.get(name, getlink=True)
    return str(link.filename) if isinstance(link, h5py.ExternalLink) and file.get(name) is None else ""


def _array(file: h5py.File, path: Path, inside: str) -> Array:
    """Describe one array of frames.

    Raises InputError for one that holds none.
    """
    counts = file.get(inside)
    shape = getattr(counts, "shape", None)
    link = file.get(inside, getlink=True)
    if counts is None and isinstance(link, h5py.ExternalLink):
        raise InputError(f"{path} links to {link.filename}::{link.path}, which is not there: put it beside")
    axes = (3,) if _is_own(inside) else (2, 3, 4)
    if not isinstance(counts, h5py.Dataset) or shape is None or len(shape) not in axes or 0 in shape:
        raise InputError(
            f"{path} must hold `{inside.lstrip('/')}` of shape (N, rows, columns) with N of at least 1, got "
            f"{'none' if shape is None else shape}: name the array as {path}::/path/of/array"
        )
    try:
        dtype, frame = count_type(counts.dtype), frame_shape(shape[-2:])
        _check_storage(counts)
    except ValueError as error:
        raise InputError(f"cannot read {path}::{inside}: {one_line(error)}") from None
    count = math.prod(shape[:-2])
    described = Array(
        inside, _sources(counts), count, frame, dtype,
        detector=_text(file.attrs.get("detector")) or nexus.detector(file, inside),
        unclear=tuple(pixel_masks(file, inside)[1]),
    )  # fmt: skip
    if not _is_own(inside):
        return described
    described = replace(
        described,
        names=_texts(file, path, "names", count),
        groups=_texts(file, path, "groups", count) or _common(file, "group", count),
        categories=_texts(file, path, "categories", count) or _common(file, "category", count),
    )
    invalid = file.get("invalid")
    if invalid is not None and getattr(invalid, "shape", None) not in ((count, *frame), frame):
        raise InputError(
            f"frames and invalid must have one shape, got {shape} and {getattr(invalid, 'shape', 'none')} in {path}"
        )
    return described


def _check_storage(counts: h5py.Dataset) -> None:
    """Raise ValueError where counts are declared but not stored: HDF5 reads them as 0."""
    if math.prod(counts.shape[:-2]) > _MOST_FRAMES:
        raise ValueError(f"a file must hold at most {_MOST_FRAMES} frames, got {math.prod(counts.shape[:-2])}")
    if counts.is_virtual:
        for source in counts.virtual_sources():
            for path in _source_paths(counts, source):
                _check_source(counts, source, path)
    elif counts.chunks:
        if math.prod(counts.chunks) * counts.dtype.itemsize > _LARGEST_CHUNK:
            raise ValueError(f"chunks of {counts.chunks} would take all memory")
        chunks = math.prod(-(-size // step) for size, step in zip(counts.shape, counts.chunks, strict=True))
        stored = counts.id.get_num_chunks()
        if stored < chunks:
            raise ValueError(
                f"{chunks - stored} of {chunks} chunks are missing, never written or lost: copy the frames that are "
                f"there into another file"
            )
    elif not counts.id.get_storage_size() and not counts.external:
        raise ValueError("nothing was ever written to it")


def _check_source(counts: h5py.Dataset, source: h5py.VDSmap, path: Path) -> None:
    """Raise ValueError where a source cannot give what is taken from it: HDF5 reads zeros then, without an error."""
    name, own = _numbered(source.dset_name, path, source.file_name), Path(counts.file.filename).resolve()
    if not path.is_file():
        raise ValueError(f"the file {source.file_name} that it links to is missing")
    try:
        with nullcontext(counts.file) if path == own else h5py.File(path, "r") as file:
            shape = getattr(file.get(name), "shape", None)
    except OSError as error:
        raise ValueError(f"the file {path} that it links to cannot be read: {one_line(error)}") from None
    if shape is None:
        raise ValueError(f"{path}::{name} that it links to is not there")
    if _PRINTF in source.file_name + source.dset_name:
        return  # as many as there are
    if source.src_space.get_select_type() == h5py.h5s.SEL_HYPERSLABS:
        ends = source.src_space.get_select_bounds()[1]
        short = any(end >= size for end, size in zip(ends, shape, strict=False))
    else:
        short = source.vspace.get_select_npoints() > math.prod(shape)
    if short:
        raise ValueError(f"{path}::{name} that it links to holds less than is taken from it: {shape}")


_PRINTF = "%b"
"""The number of a block in the name of a source, of which there are as many as are found."""


def _numbered(name: str, path: Path, pattern: str) -> str:
    """Return the name of the array in one of the files that a pattern stands for."""
    if _PRINTF not in name:
        return name
    number = re.fullmatch(re.escape(Path(pattern).name).replace(re.escape(_PRINTF), r"(\d+)"), path.name)
    return name.replace(_PRINTF, number[1] if number else "0")


def _sources(counts: h5py.Dataset) -> frozenset[tuple[Path, object]]:
    path = Path(counts.file.filename).resolve()
    places = {(path, counts.name), (path, h5py.h5o.get_info(counts.id).addr)}
    if counts.is_virtual:
        places |= {
            (path, source.dset_name) for source in counts.virtual_sources() for path in _source_paths(counts, source)
        }
    return frozenset(places)


def _source_paths(counts: h5py.Dataset, source: h5py.VDSmap) -> list[Path]:
    """Return the files of a source, which HDF5 looks for in HDF5_VDS_PREFIX, else beside the file that links to them.

    Several where their names are numbered.
    """
    own, name = Path(counts.file.filename), source.file_name
    if name == ".":
        return [own.resolve()]
    origin = str(own.parent.resolve())
    prefix = os.environ.get("HDF5_VDS_PREFIX", "").replace("${ORIGIN}", origin)
    places = [Path(folder) / name.replace("${ORIGIN}", origin) for folder in (prefix, origin) if folder]
    if Path(name).is_absolute():
        places.append(own.parent / Path(name).name)
    if _PRINTF in name:
        found = [other for place in places for other in place.parent.glob(place.name.replace(_PRINTF, "*"))]
        return [other.resolve() for other in sorted(found)] or [places[0].resolve()]
    return [next((place for place in places if place.is_file()), places[-1]).resolve()]


def _is_own(inside: str) -> bool:
    return inside.strip("/") == _OWN.strip("/")


def _frame(array: h5py.Dataset, number: int) -> Counts:
    """Read one frame of an array of two, three or four axes."""
    return np.asarray(array[place(array, number)])


def place(array: h5py.Dataset, number: int) -> tuple[int, ...]:
    """Return the index of a frame in an array of two, three or four axes."""
    if array.ndim == 2:
        return ()
    return tuple(int(index) for index in np.unravel_index(number, array.shape[:-2]))


def find_masks(file: h5py.File, inside: str) -> list[Mask]:
    """Find the masks of an array: our own, or those of NeXus."""
    own = _beside(file, inside, "invalid")
    return pixel_masks(file, inside)[0] if own is None else [Mask(own, file[inside].shape[:-2], bits=None)]


def _beside(file: h5py.File, inside: str, name: str) -> h5py.Dataset | None:
    """Return an array of our own layout, if this is our own layout."""
    beside = file.get(name) if _is_own(inside) else None
    if beside is not None and not isinstance(beside, h5py.Dataset):
        raise TypeError(f"{name} is not an array")
    return beside


def _texts(file: h5py.File, path: Path, name: str, count: int) -> tuple[str, ...]:
    """Read an array of one text a frame, if there is one."""
    texts = file.get(name)
    if texts is None:
        return ()
    if not isinstance(texts, h5py.Dataset):
        raise TypeError(f"{name} is not an array")
    if texts.shape != (count,):
        raise InputError(
            f"every frame needs one of the {name}, got {math.prod(texts.shape)} for {count} frames in {path}"
        )
    return tuple(str(text) for text in texts.asstr()[()])


def _common(file: h5py.File, name: str, count: int) -> tuple[str, ...]:
    """Return an attribute of the file for each frame, if there is one."""
    text = _text(file.attrs.get(name))
    return (text,) * count if text else ()


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else str(value)
