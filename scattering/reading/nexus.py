"""Frames, their masks and their detector in a NeXus file.

Which array is meant: the NeXus manual, "Find the plottable data", https://manual.nexusformat.org/datarules.html.
"""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np

from scattering.errors import InputError

_PART = re.compile(r"(.*_)\d{6}")
"""Dectris' masters link to their files by `data_000001`, ..."""
_SMALLEST = 32
"""Rows and columns from which on an array that nobody names is taken for images."""
_MOST_LISTED = 8
_DEEPEST = 32
"""Levels of groups; defaults may go round in circles."""


def images(file: h5py.File, path: Path) -> list[str]:
    """Find the array of images that a file means to be shown: one path, or those of its parts in order.

    Raises InputError where there is none, or several could be meant.
    """
    for search in (_default, _signals, _entry_data, _arrays):
        found = _distinct(file, search(file))
        if len(found) > 1:
            listed = ", ".join(f"{path}::{name}" for name in found[:_MOST_LISTED])
            raise InputError(
                f"{path} holds {len(found)} arrays that could be the frames, name one: {listed}"
                f"{' and more' if len(found) > _MOST_LISTED else ''}"
            )
        if found:
            return _parts(file, found[0])
    raise InputError(
        f"{path} must hold `frames` of shape (N, rows, columns), or a NeXus default plot of images, got "
        f"{', '.join(sorted(file)) or 'nothing'}: name the array as {path}::/path/of/array"
    )


def detector(file: h5py.File, inside: str) -> str:
    """Return what a file says of an array's detector; nothing where several could be it."""
    found = {text for group in detectors(file, inside) if (text := _description(group))}
    return found.pop() if len(found) == 1 else ""


def instrument(file: h5py.File, inside: str) -> h5py.Group | None:
    """Return the group that describes what an array was recorded with."""
    entry = file.get(inside.strip("/").split("/")[0])
    found = entry.get("instrument") if isinstance(entry, h5py.Group) else None
    return found if isinstance(found, h5py.Group) else None


def detectors(file: h5py.File, inside: str) -> list[h5py.Group]:
    """Return the detector whose data the array is, else the groups that may be its detector, of its entry."""
    described = instrument(file, inside)
    if described is None:
        return []
    groups = [group for name in described if isinstance(group := described.get(name), h5py.Group)]
    own = [group for group in groups if group.get("data") == file[inside]]
    return own or [group for group in groups if attribute(group, "NX_class") in ("", "NXdetector")]


def parent(file: h5py.File, inside: str) -> h5py.Group:
    """Return the group that an array is read from, which may link to it."""
    return file[inside.rpartition("/")[0] or "/"]


def named_axis(file: h5py.File, inside: str) -> tuple[int, tuple[str, ...]] | None:
    """Return the axis of an array of frames along which its NXdata names what follows one another, and the names."""
    group, shape = parent(file, inside), file[inside].shape
    axes = group.attrs.get("axes")
    for axis, name in enumerate([] if axes is None else np.atleast_1d(axes)[: len(shape) - 2]):
        field = group.get(name.decode(errors="replace") if isinstance(name, bytes) else str(name))
        named = isinstance(field, h5py.Dataset) and h5py.check_string_dtype(field.dtype)
        if named and field.shape == shape[axis : axis + 1]:
            return axis, tuple(str(text) for text in field.asstr()[()])
    return None


def attribute(node: h5py.Group | h5py.Dataset, name: str) -> str:
    """Return an attribute as text; nothing where there is none."""
    value = node.attrs.get(name)
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.flat[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else str(value)


def is_part(inside: str) -> bool:
    """Tell whether an array has the name of one of several that make a series."""
    return bool(_PART.fullmatch(inside.rpartition("/")[2]))


def _description(group: h5py.Group) -> str:
    description = group.get("description")
    if not isinstance(description, h5py.Dataset) or not h5py.check_string_dtype(description.dtype):
        return ""
    text = description.asstr()[()]
    return str(text if isinstance(text, str) else text.flat[0]).strip()


def _default(file: h5py.File) -> list[str]:
    """Follow the attributes `default` from the root to the signal."""
    group = file
    for _ in range(_DEEPEST):
        following = group.get(attribute(group, "default") or ".")
        if not isinstance(following, h5py.Group) or following == group:
            break
        group = following
    return _signal(group)


def _signals(file: h5py.File) -> list[str]:
    """Give the signals of all NXdata groups."""
    found = []
    for group in _groups(file):
        if attribute(group, "NX_class") == "NXdata":
            found += _signal(group)
    return found


def _entry_data(file: h5py.File) -> list[str]:
    """Give `data` or its parts where most files have them."""
    group = file.get("/entry/data")
    if not isinstance(group, h5py.Group):
        return []
    if "data" in group:
        return ["/entry/data/data"] if _is_image(group["data"]) else []
    parts = sorted(name for name in group if _PART.fullmatch(name))
    return [f"/entry/data/{parts[0]}"] if parts else []


def _arrays(file: h5py.File) -> list[str]:
    """Give all arrays that are large enough to be images."""
    found: list[str] = []
    masks = ("pixel_mask", "flatfield")

    def visit(name: str, node: h5py.Group | h5py.Dataset) -> None:
        leaf = name.rsplit("/", 1)[-1]
        # What we write along with filled frames.
        beside = leaf in ("filled", "uncertainty") and attribute(node.parent, "NX_class") == "NXprocess"
        if _is_image(node) and min(node.shape[-2:]) >= _SMALLEST and leaf not in masks and not beside:
            found.append(f"/{name}")

    file.visititems(visit)
    return found


def _signal(group: h5py.Group) -> list[str]:
    """Return the path of a group's signal, in the new way (the group names it) or the old (the array says so)."""
    named = attribute(group, "signal")
    if named:
        # Parts may lie in files that are missing, which is told when they are opened.
        names = [named] if _PART.fullmatch(named) or _is_image(group.get(named)) else []
    else:
        names = [name for name in group if _is_image(group.get(name)) and attribute(group[name], "signal") == "1"]
    return [f"{group.name.rstrip('/')}/{name}" for name in names]


def _parts(file: h5py.File, name: str) -> list[str]:
    """Return an array, or where it is the first part of a series, all of them."""
    parent, _, leaf = name.rpartition("/")
    part = _PART.fullmatch(leaf)
    if not part:
        return [name]
    return [f"{parent}/{other}" for other in sorted(file[parent or "/"]) if re.fullmatch(rf"{part[1]}\d{{6}}", other)]


def _distinct(file: h5py.File, names: list[str]) -> list[str]:
    """Leave one path to each array: NeXus files link to theirs from several places."""
    distinct: dict[object, str] = {}
    for name in names:
        link = file.get(name, getlink=True)
        # A missing file is told when it is opened, with its name.
        place = name if isinstance(link, h5py.ExternalLink) else h5py.h5o.get_info(file[name].id).addr
        distinct.setdefault(place, name)
    return list(distinct.values())


def _is_image(node: object) -> bool:
    return isinstance(node, h5py.Dataset) and node.shape is not None and len(node.shape) in (2, 3, 4) and (
        node.dtype.kind in "iuf" and min(node.shape[-2:]) > 1
    )  # fmt: skip


def _groups(file: h5py.File) -> list[h5py.Group]:
    found: list[h5py.Group] = []
    file.visititems(lambda _, node: found.append(node) if isinstance(node, h5py.Group) else None)
    return found
