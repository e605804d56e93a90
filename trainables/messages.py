"""The messages from a trial to the driver of its search.

Ray Tune carries dicts: `to_report` makes one of a message, `from_report` reads it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Cost:
    """The size of a training."""

    parameters: int
    micro_batch: int
    """Windows that go through the network at once."""
    memory: int
    """Bytes."""
    headroom: int
    """Bytes left beside a training on one window at a time."""


@dataclass(frozen=True)
class Started:
    """A trial is ready to train."""

    trial: int
    cost: Cost
    patience: float
    """Seconds of silence after which it counts as hung."""


@dataclass(frozen=True)
class Reported:
    """A trial has trained on so many windows, and validated."""

    trial: int
    cost: Cost
    metrics: dict[str, float]
    """Those of `trainables.training.fit`."""


@dataclass(frozen=True)
class Failed:
    """A trial cannot go on, and would fail again."""

    trial: int
    reason: str


@dataclass(frozen=True)
class Infeasible:
    """A trial is too large for the memory."""

    trial: int
    reason: str
    headroom: int
    """Bytes, below 0: the memory that is missing."""


@dataclass(frozen=True)
class StorageLost:
    """A trial cannot write its checkpoint. The configuration is not to blame: the search ends."""

    trial: int
    errno: int
    strerror: str
    path: str


Message = Started | Reported | Failed | Infeasible | StorageLost

_KINDS: dict[str, type[Message]] = {
    kind.__name__: kind for kind in (Started, Reported, Failed, Infeasible, StorageLost)
}


def to_report(message: Message) -> dict[str, Any]:
    """Return a message as a dict of one text, which Tune passes on as it is; it takes nested dicts apart."""
    return {"message": json.dumps({"kind": type(message).__name__, **asdict(message)})}


def from_report(report: dict[str, Any]) -> Message:
    """Return the message that `to_report` packed."""
    values = json.loads(report["message"])
    kind = _KINDS[values.pop("kind")]
    if "cost" in values:
        values["cost"] = Cost(**values["cost"])
    return kind(**values)
