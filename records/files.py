"""Reading and writing of a run's records: whole or not at all, and nothing but the types that are expected."""

from __future__ import annotations

import csv
import dataclasses
import fcntl
import io
import json
import os
import typing
from contextlib import suppress
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar

import numpy as np

from inpainting.uncertainty import Uncertainty
from records.tables import (
    Coverage,
    DistanceScore,
    Evaluation,
    FrameScore,
    Gallery,
    Importance,
    Interim,
    Ladder,
    Latent,
    Member,
    MethodScore,
    RetrainInterim,
    RunInfo,
    Trial,
)
from scattering.files import replacing


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    A byte of a file name that is not UTF-8 is written as its escape, `\\udcff` for 0xff.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


Checked = TypeVar("Checked")

Record = TypeVar(
    "Record",
    RunInfo,
    Evaluation,
    Uncertainty,
    Importance,
    Ladder,
    Trial,
    Member,
    FrameScore,
    DistanceScore,
    Coverage,
    MethodScore,
)


def write_json(path: Path, record: RunInfo | Evaluation | Uncertainty) -> None:
    """Write one record as an indented JSON file."""
    write_text(path, json.dumps(dataclasses.asdict(record), indent=2) + "\n")


def read_json(path: Path, kind: type[Record]) -> Record:
    """Read what `write_json` wrote.

    Raises TypeError or ValueError for anything else.
    """
    return _typed(kind, json.loads(path.read_text(encoding="utf-8")))


def append_line(path: Path, record: Interim) -> None:
    """Append one record as a line of JSON, in the place of a last line that a crash cut short."""
    line = json.dumps(dataclasses.asdict(record)).encode() + b"\n"
    with path.open("ab+") as file:
        # Several trainings write to one file.
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        file.write(line)
        # Optuna's journal, which is told next, survives a power cut, too.
        file.flush()
        os.fsync(file.fileno())


def drop_trial(path: Path, trial: int) -> None:
    """Take a retrained trial, with all its seeds, out of a file that `append_line` wrote."""
    kept = [interim for interim in read_retraining(path) if interim.trial != trial]
    write_text(path, "".join(json.dumps(dataclasses.asdict(interim)) + "\n" for interim in kept))


def read_lines(path: Path) -> list[Interim]:
    """Read what `append_line` wrote of a search; a last line that a crash cut short is left out."""
    return [_typed(Interim, line) for line in _lines(path)]


def read_retraining(path: Path) -> list[RetrainInterim]:
    """Read what it wrote of retrained winners, likewise."""
    return [_typed(RetrainInterim, line) for line in _lines(path)]


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def _typed(kind: type[Checked], values: dict[str, Any]) -> Checked:
    """Make a record of JSON values; raises TypeError for those of another type than its fields."""
    hints = typing.get_type_hints(kind)
    record = kind(**values)
    for name, value in values.items():
        if not _fits(value, hints[name]):
            raise TypeError(f"{name} is {value!r}")
    return record


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a JSON value is of a type; an int stands for a float."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if isinstance(hint, UnionType):
        return any(_fits(value, one) for one in arguments)
    if hint is type(None):
        return value is None
    if origin is dict:
        return isinstance(value, dict) and all(_fits(item, arguments[1]) for item in value.values())
    if origin in (list, tuple):
        return isinstance(value, list) and all(_fits(item, arguments[0]) for item in value)
    kinds = {float: (int, float), int: (int,), str: (str,), bool: (bool,)}
    return isinstance(value, kinds.get(hint, object)) and (hint is bool or not isinstance(value, bool))


def write_table(path: Path, records: list[Record]) -> None:
    """Write records as CSV; None is an empty cell, a dict becomes one column `key.name` each."""
    rows = [_flatten(dataclasses.asdict(record)) for record in records]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_table(path: Path, kind: type[Record]) -> list[Record]:
    """Read what `write_table` wrote."""
    if not path.exists():
        return []
    types = typing.get_type_hints(kind)
    records = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            values: dict[str, Any] = {}
            for name, cell in row.items():
                column, _, key = name.partition(".")
                if not key:
                    values[column] = _parse(cell, types[column])
                elif cell:
                    values.setdefault(column, {})[key] = json.loads(cell)
            records.append(kind(**values))
    return records


Arrays = TypeVar("Arrays", Gallery, Latent)


def write_arrays(path: Path, record: Gallery | Latent) -> None:
    """Write a record of arrays and names as a compressed .npz without pickles."""
    values = {name: getattr(record, name) for name in record.__dataclass_fields__}
    arrays = {
        name: np.array(_printable(value), dtype=np.str_) if isinstance(value, (str, list)) else np.asarray(value)
        for name, value in values.items()
    }
    with replacing(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)


def _printable(text: str | list[str]) -> str | list[str]:
    """Escape the bytes of file names that are not UTF-8, as `write_text` does."""
    if isinstance(text, list):
        return [str(_printable(one)) for one in text]
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_arrays(path: Path, kind: type[Arrays]) -> Arrays:
    """Read what `write_arrays` wrote."""
    hints = typing.get_type_hints(kind)
    with np.load(path, allow_pickle=False) as arrays:
        values = {name: arrays[name] for name in hints}
    return kind(**{name: value.tolist() if hints[name] in PLAIN else value for name, value in values.items()})


PLAIN = (str, int, list[str])
"""Types of fields that are no arrays."""


def _flatten(row: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat.update({f"{name}.{key}": json.dumps(item) for key, item in value.items()})
        else:
            flat[name] = value
    return flat


def _parse(cell: str, hint: Any) -> Any:
    options = typing.get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if cell == "" and type(None) in options:
        return None
    return options[0](cell)
