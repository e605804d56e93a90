"""Workers that train a winner together, as far as it takes no Ray."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scattering.dataset import Dataset
from search import retrain
from search.settings import resolve
from spaces import DEFAULTS
from tests.search.conftest import ONE_CORE
from trainables.batches import Part, WindowSet
from trainables.memory import TooLargeError
from trainables.models import build
from trainables.training import Worker


@pytest.mark.parametrize(("memory", "others", "fits"), [(10**9, 8, 2), (10**9, 1, 1), (10**9, 0, None), (1, 8, None)])
def test_workers_take_what_fits_all_of_them_and_give_up_together(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, memory: int, others: int, fits: int | None
) -> None:
    """One that gives up alone, or goes on alone, leaves the others waiting for it."""
    asked: list[int] = []

    def lowest(own: int, worker: Worker, device: torch.device) -> int:
        asked.append(own)
        return min(own, others)

    monkeypatch.setattr(retrain, "lowest", lowest)
    config = {**DEFAULTS["tunet"], "batch_size": 4}
    job = resolve("tunet", "x", "quick", {}).job(0, "tunet", config, (1, 1), ONE_CORE, Path("x.pt"))
    network, task = build("tunet", config)
    given = replace(job, memory=memory), network, task, WindowSet(data, torch.device("cpu")), Worker(0, 2)
    if fits is None:
        with pytest.raises(TooLargeError):
            retrain._micro_batch(*given)
    else:
        assert retrain._micro_batch(*given) == fits
    assert len(asked) == 1


@pytest.mark.parametrize("lost", [True, False])
def test_a_lost_gpu_is_not_taken_for_a_network_that_is_too_large(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    """Another process may train the winner where this one cannot any more."""

    def starved(*_: object) -> int:
        raise TooLargeError("no memory to train on a single window")

    monkeypatch.setattr(retrain.ray, "get", lambda reference: reference)
    monkeypatch.setattr(retrain, "_micro_batch", starved)
    monkeypatch.setattr(retrain, "gpu_is_lost", lambda: lost)
    job = resolve("tunet", "x", "quick", {}).job(0, "tunet", DEFAULTS["tunet"], (1, 1), ONE_CORE, tmp_path / "x.pt")
    model = tmp_path / "model.safetensors"
    given = retrain.Training(job, tmp_path / "x.jsonl", model, (Part(data), Part(data)))
    with pytest.raises(TooLargeError) if lost else nullcontext():
        retrain.train_winner(given, torch.device("cpu"))
    assert not model.exists()
