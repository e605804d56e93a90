"""Options of a run, each declared once, on the field that it fills: parser, checks, presets and docs use that."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from enum import Enum
from typing import Any

from scattering.errors import InputError


class Role(Enum):
    """The part that an option plays when a run is resumed."""

    IDENTITY = "part of the run's identity: given once"
    EXTENDS = "may be extended by --resume"
    SESSION = "for each session"


@dataclass(frozen=True)
class Option:
    """One option of the command line; a value that is not given is None there."""

    group: str
    help: str
    role: Role
    flag: str = ""
    """By default that of the field's name."""
    kind: type[int] | type[float] | None = None
    """Type of a number; None: text."""
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    nargs: str | None = None
    least: float | None = None
    above: float | None = None
    most: float | None = None
    default: Any = None
    presets: Mapping[str, Any] | None = None
    """Defaults by preset, in the place of `default`."""
    default_words: str = ""
    """The default in words, where its value does not tell."""

    @property
    def default_text(self) -> str:
        """The default, for people."""
        if self.default_words:
            return self.default_words
        if self.presets is not None:
            values = ((name, "no limit" if value is None else value) for name, value in self.presets.items())
            return ", ".join(f"{value} {name}" for name, value in values)
        return "" if self.default is None else str(self.default)

    def check(self, value: float, flag: str) -> None:
        """Raise InputError for a number out of range."""
        if self.least is not None and not value >= self.least:
            raise InputError(f"{flag} must be at least {self.least:g}, got {value:g}")
        if self.above is not None and not value > self.above:
            raise InputError(f"{flag} must be above {self.above:g}, got {value:g}")
        if self.most is not None and not value <= self.most:
            raise InputError(f"{flag} must be at most {self.most:g}, got {value:g}")


def option(group: str, text: str, role: Role = Role.IDENTITY, **more: Any) -> Any:
    """Declare an option on a field of a dataclass."""
    return field(metadata={"option": Option(group, text, role, **more)})


def preset_field(values: Mapping[str, Any]) -> Any:
    """Declare a field that the preset alone decides."""
    return field(metadata={"preset": values})


def options(kind: type[Any]) -> Iterator[tuple[str, str, Option]]:
    """Give name, flag and option of the fields of a dataclass that are options."""
    for one in fields(kind):
        if found := one.metadata.get("option"):
            yield one.name, found.flag or f"--{one.name.replace('_', '-')}", found


def names(kind: type[Any], role: Role) -> list[str]:
    """Return the names of the options with a role."""
    return [name for name, _, found in options(kind) if found.role is role]


def defaults(kind: type[Any], chosen: str) -> dict[str, Any]:
    """Return the values of all options and preset fields that a user leaves to a preset."""
    return {one.name: _default(one, chosen) for one in fields(kind) if one.metadata}


def _default(one: Field[Any], chosen: str) -> Any:
    if "preset" in one.metadata:
        return one.metadata["preset"][chosen]
    found: Option = one.metadata["option"]
    return found.default if found.presets is None else found.presets[chosen]


def add(kind: type[Any], group: str, to: argparse._ActionsContainer) -> None:
    """Add the options of a group to a parser."""
    for name, flag, found in options(kind):
        if found.group == group:
            text = f"{found.help} (default: {found.default_text})" if found.default_text else found.help
            more: dict[str, Any] = {"choices": found.choices or None, "metavar": found.metavar}
            if found.kind is not None:
                more["type"] = found.kind
            if found.nargs is not None:
                more["nargs"] = found.nargs
            to.add_argument(flag, dest=name, help=text.replace("%", "%%"), **more)


def check(kind: type[Any], values: Mapping[str, Any]) -> None:
    """Raise InputError for a number out of its range."""
    for name, flag, found in options(kind):
        if found.kind is not None and values.get(name) is not None:
            found.check(values[name], flag)


def table(*kinds: type[Any]) -> str:
    """Return all options as a Markdown table."""
    rows = [
        f"| `{flag}` | {found.help} | {found.default_text} | {found.role.value} |"
        for kind in kinds
        for _, flag, found in options(kind)
    ]
    return "\n".join(["| option | meaning | default | resumed |", "|---|---|---|---|", *rows])
