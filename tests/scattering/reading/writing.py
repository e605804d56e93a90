"""Frames written as the field's files: by fabio, h5py and NumPy, and by hand where they cannot."""

import bz2
import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from fabio.bruker100image import Bruker100Image
from fabio.cbfimage import CbfImage
from fabio.dtrekimage import DtrekImage
from fabio.edfimage import EdfImage
from fabio.mar345image import Mar345Image
from fabio.tifimage import TifImage


def cbf(path: Path, counts: np.ndarray) -> None:
    CbfImage(data=counts).write(str(path))


def edf(path: Path, counts: np.ndarray) -> None:
    EdfImage(data=counts).write(str(path))


def tif(path: Path, counts: np.ndarray) -> None:
    TifImage(data=counts).write(str(path))


def img(path: Path, counts: np.ndarray) -> None:
    DtrekImage(data=counts).write(str(path))


def mar345(path: Path, counts: np.ndarray) -> None:
    image = Mar345Image(data=counts.astype(np.uint32))
    image.byteorder = "<"
    image.write(str(path))


def sfrm(path: Path, counts: np.ndarray) -> None:
    Bruker100Image(data=counts.astype(np.int32)).write(str(path))


def bruker(path: Path, counts: np.ndarray) -> None:
    """SMART's format 86: two bytes a pixel, and a table of text for what they cannot hold (fabio's is wrong)."""
    high = np.flatnonzero(counts.ravel() > 65534)
    fields = {"FORMAT": 86, "VERSION": 9, "HDRBLKS": 15, "NOVERFL": len(high), "NPIXELB": 2}
    fields |= {"NROWS": counts.shape[0], "NCOLS": counts.shape[1], "LINEAR": "1.0 0.0"}
    header = "".join(f"{key:<7}:{value}".ljust(80) for key, value in fields.items()).ljust(15 * 512)
    table = "".join(f"{counts.ravel()[place]:>9}{place:>7}" for place in high)
    path.write_bytes(header.encode() + np.clip(counts, 0, 65535).astype("<u2").tobytes() + table.encode())


def mccd(path: Path, counts: np.ndarray) -> None:
    """Rayonix' layout: a TIFF of one strip whose counts begin after 4096 bytes."""
    rows, columns = counts.shape
    tags = (
        (256, 4, columns), (257, 4, rows), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 4096), (277, 3, 1),
        (278, 4, rows), (279, 4, counts.nbytes), (339, 3, 1),
    )  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    header = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    path.write_bytes(header.ljust(4096, b"\0") + counts.astype("<u2").tobytes())


def spe(path: Path, counts: np.ndarray) -> None:
    """Princeton Instruments' WinView, version 2."""
    header = bytearray(4100)
    header[20:30], header[172:178] = b"01Jan2020\0", b"120000"
    types = {"float32": 0, "int32": 1, "int16": 2, "uint16": 3}
    for place, kind, value in (
        (42, "<H", counts.shape[1]), (656, "<H", counts.shape[0]), (108, "<H", types[str(counts.dtype)]),
        (1446, "<i", 1),
    ):  # fmt: skip
        struct.pack_into(kind, header, place, value)
    path.write_bytes(bytes(header) + counts.tobytes())


def mpa(path: Path, counts: np.ndarray) -> None:
    """FAST ComTec's multiwire files, as text."""
    rows, columns = counts.shape
    header = f"mpafmt=asc\n[ADC1]\nrange={rows}\n[ADC2]\nrange={columns}\n[DATA0,0 ]\n[CDAT0,{counts.size} ]\n"
    path.write_text(header + "".join(f"{count}\n" for count in counts.ravel()))


def npy(path: Path, counts: np.ndarray) -> None:
    np.save(path, counts)


def h5(path: Path, counts: np.ndarray, invalid: np.ndarray | None = None) -> None:
    """Our own layout."""
    with h5py.File(path, "w") as file:
        file["frames"] = counts.reshape(-1, *counts.shape[-2:])
        if invalid is not None:
            file["invalid"] = invalid


def nxs(path: Path, counts: np.ndarray, invalid: np.ndarray | None = None) -> None:
    """NeXus, as the NXmx application definition has it: data in the detector, linked to by the default plot."""
    with h5py.File(path, "w") as file:
        file.attrs["default"] = "entry"
        entry = file.create_group("entry")
        entry.attrs.update(NX_class="NXentry", default="data")
        detector = entry.create_group("instrument/detector")
        detector["description"] = "PILATUS3 2M, S/N 24-0108"
        detector["data"] = counts.reshape(-1, *counts.shape[-2:])
        if invalid is not None:
            # Bits tell the reason: 1 a gap, 2 dead, ...
            detector["pixel_mask"] = invalid.astype(np.uint32) << 1
        data = entry.create_group("data")
        data.attrs.update(NX_class="NXdata", signal="data")
        data["data"] = detector["data"]


def packed(path: Path, packer: Callable[[bytes], bytes]) -> Path:
    """Pack a file as a whole, beside it."""
    target = path.with_name(path.name + {gzip.compress: ".gz", bz2.compress: ".bz2"}[packer])
    target.write_bytes(packer(path.read_bytes()))
    return target


def any_counts(counts: np.ndarray) -> bool:
    return True


def integers(counts: np.ndarray) -> bool:
    return bool(counts.dtype.kind in "iu")


def positive(counts: np.ndarray) -> bool:
    return integers(counts) and counts.min() >= 0


def sixteen_bits(counts: np.ndarray) -> bool:
    return bool(counts.dtype == np.uint16)


WRITERS: dict[str, tuple[Callable[[Path, np.ndarray], None], Callable[[np.ndarray], bool]]] = {
    "cbf": (cbf, integers),
    "edf": (edf, any_counts),
    "tif": (tif, any_counts),
    "img": (img, any_counts),
    "mccd": (mccd, sixteen_bits),
    "mar2300": (mar345, positive),
    "sfrm": (sfrm, positive),
    "0026": (bruker, positive),
    "spe": (spe, lambda counts: str(counts.dtype) in ("float32", "int32", "int16", "uint16")),
    "mpa": (mpa, positive),
    "npy": (npy, any_counts),
    "h5": (h5, any_counts),
    "nxs": (nxs, any_counts),
}
"""By suffix: who writes it, and which counts the format can hold."""
