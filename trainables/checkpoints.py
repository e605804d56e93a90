"""Files of tensors and plain values, as torch writes them: whole or not at all, read without unpickling freely."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import torch

from scattering.files import replacing


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a training state or a checkpoint, whole or not at all."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        disk = _Disk(file)
        try:
            torch.save(state, disk)  # type: ignore[arg-type]
        except RuntimeError:
            # What torch's writer makes of a full disk.
            if disk.error is None:
                raise
            raise disk.error from None


class _Disk:
    """A file that remembers why it could not be written."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, part: bytes) -> int:
        try:
            return self.file.write(part)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


def load(path: Path) -> dict[str, Any] | None:
    """Read a training state of tensors and plain values; None without one."""
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
