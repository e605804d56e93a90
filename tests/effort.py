"""How often random things are tried: a little in `make test`, at length in `make soak`, which sets SOAK to a seed."""

from __future__ import annotations

import os
from typing import TypeVar

from hypothesis import settings

Count = TypeVar("Count")

SOAK = "SOAK" in os.environ

SEED = int(os.environ.get("SOAK", "0"))
"""Of all that is drawn; printed at the head of each run of the tests."""

settings.register_profile("default", max_examples=20, deadline=None)
settings.register_profile("soak", max_examples=2000, deadline=None)


def tries(few: Count, many: Count) -> Count:
    """Return how many there are, or which."""
    return many if SOAK else few
