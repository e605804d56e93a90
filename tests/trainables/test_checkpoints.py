"""Checkpoints: whole or not at all, and not in memory beside what they are made of."""

from __future__ import annotations

import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from trainables import checkpoints

MILLION = 1_000_000


def state(number: float) -> dict[str, object]:
    """Twenty million bytes of a large network, and what comes with them."""
    return {"network": {str(key): torch.full((MILLION // 4,), number + key) for key in range(20)}, "step": 3}


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Let files hold so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 100, 5 * MILLION, 20 * MILLION])
def test_a_full_disk_is_told_as_such_and_the_earlier_checkpoint_stays(tmp_path: Path, size: int) -> None:
    path = tmp_path / "0000.pt"
    checkpoints.save(path, state(0))
    with disk_of(size), pytest.raises(OSError, match="File too large"):
        checkpoints.save(path, state(1))
    assert list(tmp_path.iterdir()) == [path]
    read = checkpoints.load(path)
    assert read is not None
    assert read["step"] == 3
    assert all(torch.equal(value, state(0)["network"][key]) for key, value in read["network"].items())  # type: ignore[index]


def test_what_cannot_be_written_is_no_fault_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        checkpoints.save(tmp_path / "0000.pt", {"network": lambda: None})
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    """Of a network of a thousand million weights it has twelve thousand million bytes."""
    large = state(0)
    tracemalloc.start()
    try:
        checkpoints.save(tmp_path / "0000.pt", large)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5 * MILLION
