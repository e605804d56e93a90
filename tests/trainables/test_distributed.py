"""Two workers with half of every batch each train the network that one worker trains."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from scattering import dataset_file
from scattering.dataset import Dataset
from tests.courses import in_epochs
from trainables import precision, training
from trainables.batches import WindowSet
from trainables.models import build
from trainables.tasks import unwrap
from trainables.training import Worker, fit, lowest

CONFIG = {"task": "residual", "depth": 2, "base_channels": 4, "growth_rate": 2.0}


def train(file: Path, rank: int, workers: int) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Train for two epochs and return the weights and the last metrics."""
    windows = WindowSet(dataset_file.read(file), torch.device("cpu"))
    network: Any
    network, task = build("tunet", CONFIG)
    if workers > 1:
        network = DistributedDataParallel(network)
    # A limit far away: the workers also agree on the time.
    course = in_epochs(2, windows, batch_size=6, learning_rate=1e-3, schedule="cosine", seed=0, seconds=1e6)
    # Half precision, on CPUs that have it, rounds the parts of a batch differently.
    with mock.patch.object(precision, "has_bfloat16", lambda device: False):
        *_, last = fit(network, task, windows, windows, course, worker=Worker(rank, workers))
    return unwrap(network).state_dict(), last.metrics


def work(rank: int, file: Path, meeting: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    weights, metrics = train(file, rank, 2)
    torch.save({"weights": weights, "metrics": metrics}, file.with_name(f"rank{rank}.pt"))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_workers_train_what_one_trains(data: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "data.h5"
    dataset_file.write(file, data)
    torch.multiprocessing.spawn(work, args=(file, tmp_path / "meeting"), nprocs=2)
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    alone, metrics = train(file, 0, 1)
    start = build("tunet", CONFIG)[0].state_dict()
    for name, weight in alone.items():
        torch.testing.assert_close(ranks[0]["weights"][name], weight, rtol=1e-3, atol=2e-5)
        torch.testing.assert_close(ranks[0]["weights"][name], ranks[1]["weights"][name], rtol=0, atol=0)
    moved = max(float((alone[name] - start[name]).abs().max()) for name in alone)
    assert moved > 1e-3
    assert ranks[0]["metrics"]["val_gap_l1"] == pytest.approx(metrics["val_gap_l1"], rel=1e-3)


def fail_on_one(rank: int, file: Path, meeting: Path) -> None:
    """Train with a loss that is not finite on the second worker alone, and write down how each ended."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=2, timeout=timedelta(seconds=30)
    )
    told = {"fits": lowest((7, 4)[rank], Worker(rank, 2), torch.device("cpu"))}
    honest = training._accumulate

    def accumulate(*arguments: Any) -> torch.Tensor:
        return honest(*arguments) * (torch.nan if rank else 1)

    try:
        with mock.patch.object(training, "CHECK", 1), mock.patch.object(training, "_accumulate", accumulate):
            train(file, rank, 2)
    except Exception as error:
        told["error"] = type(error).__name__
    torch.save(told, file.with_name(f"rank{rank}.pt"))


@pytest.mark.slow
def test_workers_end_together_where_one_diverges(data: Dataset, tmp_path: Path) -> None:
    """Else the others would wait for its gradients."""
    file = tmp_path / "data.h5"
    dataset_file.write(file, data)
    torch.multiprocessing.spawn(fail_on_one, args=(file, tmp_path / "meeting"), nprocs=2)
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert ranks == [{"fits": 4, "error": "DivergenceError"}] * 2
