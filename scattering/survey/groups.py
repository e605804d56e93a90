"""Groups of frames: those of one sample or series stay on one side of the split."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from scattering.errors import InputError, one_line
from scattering.reading.locations import stem, told_apart
from scattering.reading.stacks import Stack

_QUANTITY = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]*-?\d+\.\d+[A-Za-z]*")
"""A number with a decimal point is an angle, a position, a time: `th0.150`, `x-1.500`, `1563.0s`."""
_SEPARATOR = re.compile(r"[\W_]+")
_COUNTER = re.compile(r"(?i)(?:frame|image|img|scan|shot|exposure|point|position|pos|file)\d+|\d+")
"""A number of its own, or after a word that says that it counts: `00014`, `scan2`."""
_DECTRIS = re.compile(r"_(?:data_\d{6}|master)$")
"""One series of an EIGER is a master and its parts, which may have lost their master."""
_LONG_NUMBER = re.compile(r"\d{3,}$")
"""Three digits behind a name count, too (`Lyso0675`); one or two are part of it (`film3`, `TT1`)."""


def frame_groups(stacks: Sequence[Stack], rule: str | None = None) -> tuple[str, ...]:
    """Return the group of every frame, in the order of the stacks.

    Without a rule: what the file says; else a file of several frames is a group, and single-frame files of one folder
    whose names differ only in numbers are one. Numbers may count frames, repeats or scans of one sample, and to take
    a series for several would put the same sample on both sides of the split; to take several samples for one costs
    groups, which is seen, and for which there is the rule. Numbers of one or two digits that are part of a word stay:
    film1 and film2 are two samples, film_1 and film_2 may be frames of one.

    A rule is a regular expression, searched for in the frame's name (that of its file without suffix, its number, and
    what the file calls it; the folder only where names repeat): the group is its first group, else what it matches.
    Or it is the path of a CSV file with the columns `name` and `group`; a name is that of a frame, of a file, or of a
    file without suffix.

    Raises InputError for a rule that cannot be used, or that leaves frames without a group.
    """
    if rule is None:
        return _told_or_derived(stacks)
    if rule.lower().endswith(".csv"):
        found = _by_table(stacks, Path(rule).expanduser())
        way_out = "add them, or leave them out"
    else:
        found = _by_expression(stacks, rule)
        way_out = "it must match every name"
    names = [name for stack in stacks for name in stack.names]
    missing = [name for name, group in zip(names, found, strict=True) if not group]
    if missing:
        raise InputError(
            f"--group-by must give every frame a group, got none from {rule!r} for {len(missing)} of {len(names)} "
            f"frames, the first is {missing[0]!r}: {way_out}"
        )
    return tuple(found)


def series(stem: str) -> str:
    """Return the name of the series that a file belongs to, by its own name: what is left without numbers."""
    words = _SEPARATOR.split(_QUANTITY.sub(" ", stem))
    return "_".join(_LONG_NUMBER.sub("", word) for word in words if word and not _COUNTER.fullmatch(word))


def _told_or_derived(stacks: Sequence[Stack]) -> tuple[str, ...]:
    # A file may hold several stacks, and a series several files.
    frames: dict[Path, int] = defaultdict(int)
    for stack in stacks:
        frames[stack.location.path] += len(stack)
    whole = {path: path.parent.resolve() / _DECTRIS.sub("", stem(path)) for path in frames}
    several = {whole[path] for path, count in frames.items() if count > 1}
    derived = {
        path: place if place in several else place.parent / (series(place.name) or stem(place.parent))
        for path, place in whole.items()
    }
    places = list(dict.fromkeys(derived.values()))
    names = told_apart([(place.name, f"{place.parent.name}/{place.name}", str(place)) for place in places])
    called = dict(zip(places, names, strict=True))
    return tuple(told or called[derived[stack.location.path]] for stack in stacks for told in stack.groups)


def _by_expression(stacks: Sequence[Stack], rule: str) -> list[str]:
    try:
        expression = re.compile(rule)
    except re.error as error:
        raise InputError(
            f"--group-by must be a regular expression or a .csv file, got {rule!r}: {one_line(error)}"
        ) from None
    found = [expression.search(name) for stack in stacks for name in stack.names]
    return [(match[1] if expression.groups else match[0]) or "" if match else "" for match in found]


def _by_table(stacks: Sequence[Stack], path: Path) -> list[str]:
    table = _read_table(path)
    found = []
    for stack in stacks:
        file = stack.location.path
        for name in stack.names:
            keys = (name, file.name, stem(file))
            found.append(next((table[key] for key in keys if key in table), ""))
    return found


def _read_table(path: Path) -> dict[str, str]:
    """Read the columns `name` and `group` of a CSV file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--group-by names a CSV file that cannot be read, got {path}: {one_line(error)}") from None
    table: dict[str, str] = {}
    for row in rows:
        name, group = (str(row.get(column) or "").strip() for column in ("name", "group"))
        if not name or not group:
            raise InputError(
                f"--group-by: every row must have a name and a group, under a header `name,group`, got "
                f"{dict(row)} in {path}"
            )
        if table.setdefault(name, group) != group:
            raise InputError(
                f"--group-by: a name must have one group, got {table[name]!r} and {group!r} for {name!r}"
            )
    return table
