"""The adapter to Ray Tune, as far as it needs no Ray that runs."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scattering.dataset import Dataset
from spaces import DEFAULTS
from tests.gpu import GPU, simulated
from trainables import devices, trial
from trainables.batches import Part
from trainables.job import Job
from trainables.memory import TooLargeError
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
from trainables.tasks import TASKS


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
    assert str(devices.with_index(torch.device("cuda:1"))) == "cuda:1"


class Card:
    """What PyTorch says of the memory of a GPU, and is told of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, total: float, allocated: float = 0) -> None:
        self.total = int(total)
        self.shares: list[float] = []
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (self.total, self.total))
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: int(allocated))
        monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", self._limit)

    def _limit(self, share: float, device: torch.device) -> None:
        # As the real function does.
        assert device.index is not None, "Invalid device index"
        assert 0 <= share <= 1
        self.shares.append(share)


@pytest.fixture
def settings_of_libraries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give back what a trial sets for its process."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    precision = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(precision)


@pytest.mark.usefixtures("settings_of_libraries")
def test_a_gpu_is_made_the_current_one_and_told_to_give_equal_numbers(
    monkeypatch: pytest.MonkeyPatch, job: Job
) -> None:
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    with simulated():
        network, _ = trial.prepare(job, GPU)
        assert {parameter.device for parameter in network.parameters()} == {GPU}
    assert torch.backends.cudnn.deterministic
    assert current == [GPU]


@pytest.mark.usefixtures("settings_of_libraries")
def test_a_trial_trains_on_a_gpu_and_goes_on_there(monkeypatch: pytest.MonkeyPatch, job: Job, data: Dataset) -> None:
    Card(monkeypatch, 24e9)
    for name in ("set_device", "synchronize", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 10**6)
    for windows in (36, 108):
        with simulated(bfloat16=True) as gpu:
            started, *reports = told(replace(job, gpus=0.25, memory=None, windows=windows), data)
        assert gpu.operators
        assert isinstance(started, Started)
        assert all(isinstance(report, Reported) for report in reports)
    seen = [report.metrics["windows"] for report in reports if isinstance(report, Reported)]
    assert seen == [36, 72, 108]
    assert "on cuda:0 of " in Path(job.log).read_text()


@pytest.mark.parametrize("trials", [1, 2, 4, 8])
@pytest.mark.parametrize("total", [8e9, 24e9, 80e9])
def test_trials_that_share_a_gpu_fit_it_with_their_contexts(
    monkeypatch: pytest.MonkeyPatch, job: Job, total: float, trials: int
) -> None:
    card = Card(monkeypatch, total, allocated=1e8)
    own = replace(job, gpus=1 / trials, memory=None)
    limit = trial.memory_limit(own, devices.device())
    assert trials * (card.shares[-1] * total + 0.6e9) <= total
    assert limit == pytest.approx(card.shares[-1] * total - 1e8, abs=1)
    assert trial.memory_limit(replace(own, memory=10**8), devices.device()) <= 10**8


@pytest.mark.parametrize("gpus", [1.0, 0.25])
def test_windows_leave_half_of_a_trials_share_of_the_gpu_to_training(
    monkeypatch: pytest.MonkeyPatch, job: Job, data: Dataset, gpus: float
) -> None:
    """Else each of four trials would lay half of the card's memory out with windows, and fit none of its own."""
    part = Part(data)
    monkeypatch.setattr(trial, "CONTEXT", 0)
    own, on_cpu = replace(job, gpus=gpus, memory=None), torch.device("cpu")
    for total, on_gpu in ((2.2 * part.nbytes / gpus, True), (2.0 * part.nbytes / gpus, False)):
        Card(monkeypatch, total)
        with simulated():
            (windows, _) = trial.window_sets(own, TASKS["blind"], (part, part), GPU)
        assert windows.device == GPU
        assert windows.storage == (GPU if on_gpu else on_cpu)


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
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "out of memory"),
        (RuntimeError("GET was unable to find an engine to execute this computation"), "out of memory"),
        (torch.AcceleratorError("CUDA error: out of memory"), "out of memory"),
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
    "error",
    [
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        TooLargeError("no memory to train on a single window: CUDNN_STATUS_NOT_INITIALIZED"),
    ],
)
@pytest.mark.parametrize("lost", [True, False])
def test_an_error_of_a_library_ends_the_process_where_the_gpu_is_lost(
    monkeypatch: pytest.MonkeyPatch, job: Job, data: Dataset, error: Exception, lost: bool
) -> None:
    """All later trials of the process would fail, too, and be taken for bad configurations."""
    gone = failing(torch.AcceleratorError("CUDA error: an illegal memory access was encountered"))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", gone if lost else lambda: None)
    monkeypatch.setattr(trial, "train", failing(error))
    if lost:
        with pytest.raises(type(error)):
            told(job, data)
    else:
        assert isinstance(told(job, data)[-1], Infeasible | Failed)


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
