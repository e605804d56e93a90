"""The adapter to Ray Tune, as far as it needs no Ray that runs."""

from __future__ import annotations

import pytest
import torch

from trainables.trial import device_of


@pytest.mark.parametrize(("gpus", "there", "device"), [(0.0, True, "cpu"), (0.25, True, "cuda"), (1.0, False, "cpu")])
def test_a_trial_without_a_gpu_does_not_take_one(
    monkeypatch: pytest.MonkeyPatch, gpus: float, there: bool, device: str
) -> None:
    """Ray hides no GPU from it, and it has no share of its memory: it would be too large, whatever its size."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert device_of({"gpus": gpus}).type == device
