"""Files of tensors and plain values, as torch writes them: whole or not at all, read without unpickling freely."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from scattering.files import replacing


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a training state or a checkpoint, whole or not at all."""
    # Through memory: torch's own writer turns a full disk into a RuntimeError.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def load(path: Path) -> dict[str, Any] | None:
    """Read a training state of tensors and plain values; None without one."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
