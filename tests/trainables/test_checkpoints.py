"""Checkpoints are whole or not there, and do not pass through memory."""

from __future__ import annotations

import errno
import resource
import tracemalloc
from pathlib import Path

import pytest
import torch

from trainables import checkpoints

STATE = {"network": {"weight": torch.arange(4_000_000.0)}, "step": 3}
SIZE = 16_000_000


def test_a_state_is_read_as_it_was_written_and_not_copied_on_the_way(tmp_path: Path) -> None:
    path = tmp_path / "trials" / "a.pt"
    assert checkpoints.load(path) is None
    tracemalloc.start()
    checkpoints.save(path, STATE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < SIZE / 4
    known = checkpoints.load(path)
    assert known is not None
    assert known["step"] == 3
    assert torch.equal(known["network"]["weight"], STATE["network"]["weight"])  # type: ignore[index]


def test_a_full_disk_is_an_error_of_the_disk_and_leaves_the_earlier_state(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    checkpoints.save(path, {"step": 1})
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, limit[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            checkpoints.save(path, STATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert caught.value.errno == errno.EFBIG
    assert checkpoints.load(path) == {"step": 1}
    assert [one.name for one in tmp_path.iterdir()] == ["a.pt"]
