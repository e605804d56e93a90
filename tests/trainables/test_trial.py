"""The adapter to Ray Tune, as far as it needs no Ray that runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scattering.dataset import Dataset
from spaces import DEFAULTS
from trainables.trial import _reports, device_of, trial_log


@pytest.mark.parametrize(("gpus", "there", "device"), [(0.0, True, "cpu"), (0.25, True, "cuda"), (1.0, False, "cpu")])
def test_a_trial_without_a_gpu_does_not_take_one(
    monkeypatch: pytest.MonkeyPatch, gpus: float, there: bool, device: str
) -> None:
    """Ray hides no GPU from it, and it has no share of its memory: it would be too large, whatever its size."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert device_of({"gpus": gpus}).type == device


def test_epochs_that_were_saved_but_not_recorded_are_reported_first(data: Dataset, tmp_path: Path) -> None:
    """The session was killed between the two; nothing is trained again, and nothing is left out."""
    job = {
        "network": "tunet", "implementation": "gapsearch", "config": DEFAULTS["tunet"], "epochs": 3, "seed": 0,
        "schedule": "cosine", "threads": 1, "gpus": 0.0, "memory": 10**9, "patience": 600.0,
        "checkpoint": str(tmp_path / "0000.pt"),
    }  # fmt: skip

    def reported(known: int, ends: int) -> list[float]:
        """The values that a session of a trial reports until its last epoch."""
        values = []
        with trial_log(tmp_path / "0000.log") as log:
            for report in _reports({**job, "known_epochs": known}, (data, data), log):
                if "epoch" in report:
                    values.append(report["val_gap_l1"])
                if report.get("epoch") == ends:
                    break
        return values

    first = reported(known=0, ends=2)
    second = reported(known=1, ends=3)
    assert second[0] == first[1]
    (tmp_path / "0000.pt").unlink()
    assert reported(known=0, ends=3) == [first[0], *second]
