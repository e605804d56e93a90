"""The adapter to Ray Tune, as far as it needs no Ray that runs."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scattering.dataset import Dataset
from spaces import DEFAULTS
from trainables import batches, devices, trial
from trainables.batches import Part
from trainables.job import Job
from trainables.messages import (
    Cost,
    Failed,
    Infeasible,
    Message,
    Reported,
    Started,
    StorageLost,
    from_report,
    to_report,
)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(
        trial=0, network="tunet", implementation="gapsearch", config=DEFAULTS["tunet"], windows=3 * 36, interval=36,
        schedule="cosine", seed=0, threads=1, gpus=0.0, memory=10**9, patience=600.0,
        checkpoint=str(tmp_path / "0000.pt"), log=str(tmp_path / "0000.log"),
    )  # fmt: skip


def told(job: Job, data: Dataset) -> list[Message]:
    """All messages of a session of a trial."""
    with trial.trial_log(Path(job.log)) as log:
        return list(trial.messages(job, (Part(data), Part(data)), log))


@pytest.mark.parametrize(
    ("wanted", "there", "device"), [(False, True, "cpu"), (True, True, "cuda:3"), (True, False, "cpu")]
)
def test_a_gpu_is_taken_by_its_index_and_only_where_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, wanted: bool, there: bool, device: str
) -> None:
    """Ray hides no GPU from a trial that asked for none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert str(devices.device(gpu=wanted)) == device


def test_a_trial_limits_its_memory_on_a_device_with_an_index(monkeypatch: pytest.MonkeyPatch, job: Job) -> None:
    """The real function raises for a device without one."""
    limited = []

    def limit(share: float, device: torch.device) -> None:
        assert device.index is not None, "Invalid device index"
        limited.append((share, device.index))

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", limit)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 24 * 10**9))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 10**9)
    monkeypatch.setattr(torch.nn.Module, "to", lambda network, *_, **__: network)
    on_gpu = replace(job, gpus=0.25, memory=None)
    device = devices.device(gpu=bool(on_gpu.gpus))
    trial.prepare(on_gpu, device)
    ((share, index),) = limited
    # Four such processes, each with its own copy of CUDA, leave a twentieth of the card.
    assert 4 * (share * 24 * 10**9 + trial.CONTEXT) == pytest.approx(0.95 * 24 * 10**9)
    assert index == 1
    assert trial.memory_limit(on_gpu, device) == int(share * 24 * 10**9) - 10**9


def test_frames_take_half_of_what_a_trial_may_allocate_of_its_gpu(
    monkeypatch: pytest.MonkeyPatch, data: Dataset
) -> None:
    """Not of what is free on it, as other trials are there."""
    size = sum(getattr(data, name).nbytes for name in ("measured", "observed", "truth", "valid"))
    size += data.strips.nbytes + data.strips_observed.nbytes
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100 * size, 100 * size))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    for share, fits in ((0.03, True), (0.01, False)):
        monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda device, share=share: share)
        assert batches._fits(Part(data), torch.device("cuda", 0)) == fits


def test_epochs_that_were_saved_but_not_recorded_are_reported_first(job: Job, data: Dataset) -> None:
    """The session was killed between the two; nothing is trained again, and nothing is left out."""

    def reported(known: int, ends: int) -> list[float]:
        """The values that a session of a trial reports until its last epoch."""
        values = []
        with trial.trial_log(Path(job.log)) as log:
            for message in trial.messages(replace(job, known_windows=36 * known), (Part(data), Part(data)), log):
                if isinstance(message, Reported):
                    values.append(message.metrics["val_gap_l1"])
                    if message.metrics["epoch"] == ends:
                        break
        return values

    first = reported(known=0, ends=2)
    second = reported(known=1, ends=3)
    assert second[0] == first[1]
    Path(job.checkpoint).unlink()
    assert reported(known=0, ends=3) == [first[0], *second]


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        OSError(errno.ESTALE, "Stale file handle"),
        OSError(errno.EIO, "Input/output error"),
    ],
)
def test_an_error_of_the_accelerator_or_the_storage_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, job: Job, data: Dataset, error: Exception
) -> None:
    """The trial is then taken up by another process: it is not the configuration's fault."""
    monkeypatch.setattr(trial, "train", failing(error))
    with pytest.raises(type(error)):
        told(job, data)
    assert "Traceback" in Path(job.log).read_text()


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (ValueError("depth"), Failed(0, "ValueError: depth")),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when"), "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
    ],
)
def test_what_would_fail_again_is_said_and_not_raised(
    monkeypatch: pytest.MonkeyPatch, job: Job, data: Dataset, error: Exception, ends: Message | str
) -> None:
    monkeypatch.setattr(trial, "train", failing(error))
    last = told(job, data)[-1]
    assert last == ends or (isinstance(last, Infeasible) and str(ends) in last.reason)


@pytest.mark.parametrize(
    "message",
    [
        Started(1, Cost(10, 4, 10**6, 10**8), 60.0),
        Reported(1, Cost(10, 4, 10**6, 10**8), {"epoch": 1, "val_gap_l1": 0.1}),
        Failed(2, "why"),
        Infeasible(3, "too large", -5),
        StorageLost(4, errno.ENOSPC, "No space left on device", "/x"),
    ],
)
def test_messages_travel_as_plain_values(message: Message) -> None:
    assert from_report({**to_report(message), "training_iteration": 1}) == message
