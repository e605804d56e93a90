"""Files of tensors and plain values, as torch writes them: whole or not at all, read without unpickling freely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from scattering.files import replacing


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a training state or a checkpoint, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            # Where the disk refuses bytes, torch's writer complains of its own counting.
            refused = error.__context__
            raise refused if isinstance(refused, OSError) else error from None


def load(path: Path) -> dict[str, Any] | None:
    """Read a training state of tensors and plain values; None without one."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
