"""What a step takes is known before it is taken, and batches in parts train as whole ones do."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from itertools import cycle
from typing import Any

import pytest
import torch
from torch import nn

from spaces import DEFAULTS
from tests.courses import in_epochs
from trainables import NETWORKS, precision, training
from trainables.batches import Batch, WindowSet
from trainables.losses import absolute_error
from trainables.memory import Footprint, TooLargeError, footprint, peak
from trainables.models import build
from trainables.tasks import TASKS, Task
from trainables.training import fit

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on every CPU: half precision takes less memory, and rounds the parts of a batch differently."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)


def test_tensors_alive_are_counted_once_and_only_while_they_are() -> None:
    before = torch.zeros(1000)

    def work() -> None:
        one = torch.empty(1000)  # 4000 bytes
        view = one[10:].view(-1)
        view += 1  # in place: nothing new
        before.add_(1)  # not made here
        del one, view
        two = torch.empty(250, dtype=torch.float64)  # 2000 bytes, when the first are gone
        torch.empty_like(two)  # 2000 more, gone at once
        torch.empty(0)

    assert peak(work, CPU) == 4000


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", NETWORKS)
def test_two_windows_tell_what_seven_take(name: str, task: str, window_set: WindowSet) -> None:
    network, posed = build(name, {**DEFAULTS[name], "task": task})
    cost = footprint(network, posed, window_set)
    network.zero_grad(set_to_none=True)

    def step() -> None:
        chosen = torch.arange(7)
        batch = Batch(*window_set.batch(chosen, torch.zeros_like(chosen)))
        error, pixels = absolute_error(
            posed.predict(network, batch.measured, batch.observed), batch.truth, posed.scored(batch)
        )
        (error / pixels).backward()  # type: ignore[no-untyped-call]

    weights = sum(parameter.nbytes for parameter in network.parameters())
    assert cost.bytes(7) - 3 * weights == pytest.approx(peak(step, CPU), rel=0.03)
    assert cost.window > 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), list(zip(NETWORKS, cycle(TASKS))))
def test_an_epoch_takes_what_a_step_was_found_to_take(name: str, task: str, window_set: WindowSet) -> None:
    """Validation, too: it keeps no gradients, but several of a network's layers at once."""
    network, posed = build(name, {**DEFAULTS[name], "task": task})
    cost = footprint(network, posed, window_set)
    course = in_epochs(1, window_set, batch_size=6, learning_rate=1e-3, schedule="cosine", seed=0)

    def epoch() -> None:
        next(fit(network, posed, window_set, window_set, course))

    assert peak(epoch, CPU) <= 1.05 * cost.bytes(6)


def test_measuring_changes_nothing(window_set: WindowSet) -> None:
    """Batch normalisation would remember what it has seen."""
    network, task = build(
        "tunet", {"depth": 2, "base_channels": 4, "growth_rate": 2, "normalization": "batch", "task": "blind"}
    )
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    footprint(network, task, window_set)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


class Starved(nn.Module):
    """A network that has memory for so many windows, and no more."""

    def __init__(self, most: int, words: str) -> None:
        super().__init__()
        self.convolution, self.most, self.words = nn.Conv2d(1, 1, 3, padding=1), most, words

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if len(image) > self.most:
            raise RuntimeError(self.words)
        output: torch.Tensor = self.convolution(image)
        return output


OUT_OF_MEMORY = (
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
    "GET was unable to find an engine to execute this computation",
    "NCCL Error 1: unhandled cuda error, Last error: Cuda failure 2 'out of memory'",
)
"""What CUDA's libraries say, without an error class of their own."""


@pytest.mark.parametrize("words", OUT_OF_MEMORY)
def test_without_memory_for_one_window_nothing_is_measured(words: str, window_set: WindowSet) -> None:
    with pytest.raises(TooLargeError, match="single window"):
        footprint(Starved(0, words), TASKS["blind"], window_set)


def test_where_two_windows_are_too_many_each_counts_as_much_as_one_takes(window_set: WindowSet) -> None:
    network = Starved(1, OUT_OF_MEMORY[0])
    one, free = (footprint(given, TASKS["blind"], window_set) for given in (network, Starved(2, "")))
    assert one.bytes(1) == free.bytes(1)
    assert one.bytes(2) >= free.bytes(2)
    assert one.micro_batch(8, one.bytes(1)) == 1


@pytest.mark.parametrize("words", ["CUDNN_STATUS_EXECUTION_FAILED", "CUDA error: an illegal memory access", "sizes"])
def test_errors_of_other_kinds_pass(words: str, window_set: WindowSet) -> None:
    with pytest.raises(RuntimeError, match=words):
        footprint(Starved(0, words), TASKS["blind"], window_set)


def test_a_batch_is_split_only_as_far_as_it_must() -> None:
    cost = Footprint(fixed=100, window=10, seconds=0.1)
    assert cost.micro_batch(8, limit=180) == 8
    assert cost.micro_batch(8, limit=179) == 7
    assert cost.micro_batch(8, limit=110) == 1
    with pytest.raises(TooLargeError, match="for a single window"):
        cost.micro_batch(8, limit=109)


@pytest.mark.parametrize(("name", "task", "micro_batch"), list(zip(NETWORKS, cycle(TASKS), cycle([1, 4, 4, 1]))))
def test_batches_in_parts_train_as_whole_ones(name: str, task: str, micro_batch: int, window_set: WindowSet) -> None:
    config = {**DEFAULTS[name], "task": task}
    losses = []
    for parts in (None, micro_batch):
        network, posed = build(name, config)
        course = in_epochs(1, window_set, batch_size=6, learning_rate=1e-3, schedule="cosine", seed=0)
        (progress,) = fit(network, posed, window_set, window_set, course, micro_batch=parts)
        losses.append([progress.metrics[key] for key in ("train_loss", "val_loss", "val_gap_l1", "val_gap_cc")])
        assert progress.micro_batch == (parts or 6)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5, abs=1e-6)


STARVED = """
    import resource, sys
    from dataclasses import replace
    import torch
    torch.set_num_threads(1)
    from tests.conftest import SIZE, gapless_frames, striped_detector
    from scattering import dataset
    from trainables.batches import WindowSet
    from trainables import precision
    from trainables.models import build
    from trainables.training import Course, fit

    precision.has_bfloat16 = lambda device: False

    raw = gapless_frames(24, (560, 600), striped_detector())
    data = dataset.build(raw, striped_detector(), (256, 256), {"title": "test", "size": 256}, 600)
    windows = WindowSet(data, torch.device("cpu"))
    network, task = build("tunet", {"depth": 3, "base_channels": 16, "growth_rate": 2, "task": "blind"})
    course = Course(len(windows), len(windows), batch_size=48, learning_rate=1e-3, schedule="cosine", seed=0)
    if sys.argv[1] != "plenty":
        next(fit(network, task, windows, windows, replace(course, batch_size=1)))  # what libraries set up
        network, task = build("tunet", {"depth": 3, "base_channels": 16, "growth_rate": 2, "task": "blind"})
        size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        limit = size + int(sys.argv[1]) * 1_000_000
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    (progress,) = fit(network, task, windows, windows, course)
    print(progress.micro_batch, *(progress.metrics[key] for key in ("train_loss", "val_loss", "val_gap_l1")))
"""


@pytest.mark.slow
def test_a_step_out_of_memory_is_done_again_in_parts() -> None:
    """The operating system refuses the memory: nothing here knows beforehand that it will."""

    def run(memory: str) -> tuple[int, list[float]]:
        command = [sys.executable, "-c", textwrap.dedent(STARVED), memory]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        micro_batch, *losses = done.stdout.split()
        return int(micro_batch), [float(loss) for loss in losses]

    whole, losses = run("plenty")
    parts, split = run("450")
    assert whole == 48
    assert 1 <= parts < 48
    assert split == pytest.approx(losses, rel=1e-5)


def test_other_errors_are_not_taken_for_a_lack_of_memory(
    window_set: WindowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_accumulate", lambda *_: torch.ones(2) @ torch.ones(3))
    network, task = build("tunet", {**DEFAULTS["tunet"]})
    course = in_epochs(1, window_set, batch_size=6, learning_rate=1e-3, schedule="cosine", seed=0)
    with pytest.raises(RuntimeError, match="size"):
        next(fit(network, task, window_set, window_set, course))


def test_a_step_that_ran_out_of_memory_leaves_no_gradients(
    window_set: WindowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here at its very end, when all of them are there; then it is done again."""
    honest = training._accumulate

    def starved(*arguments: Any) -> torch.Tensor:
        error = honest(*arguments)
        if arguments[4] == 6:
            torch.empty(2**60, dtype=torch.uint8)  # torch's own error
        return error

    course = in_epochs(1, window_set, batch_size=6, learning_rate=1e-3, schedule="cosine", seed=0)
    weights = []
    for accumulate in (honest, starved):
        monkeypatch.setattr(training, "_accumulate", accumulate)
        network, task = build("tunet", {**DEFAULTS["tunet"]})
        (progress,) = fit(network, task, window_set, window_set, course)
        weights.append(torch.cat([parameter.detach().flatten() for parameter in network.parameters()]))
    assert progress.micro_batch == 3
    assert torch.allclose(weights[1], weights[0], atol=1e-5)


def test_a_validation_out_of_memory_is_done_again_in_parts(
    window_set: WindowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    honest = training.validate

    def starved(network: nn.Module, task: Task, windows: WindowSet, batch_size: int) -> dict[str, float]:
        tried.append(batch_size)
        if batch_size > 2:
            torch.empty(2**60, dtype=torch.uint8)  # torch's own error
        return honest(network, task, windows, batch_size)

    course = in_epochs(1, window_set, batch_size=6, learning_rate=1e-3, schedule="cosine", seed=0)
    metrics = []
    for validate in (honest, starved):
        monkeypatch.setattr(training, "validate", validate)
        network, task = build("tunet", {**DEFAULTS["tunet"]})
        metrics.append(next(fit(network, task, window_set, window_set, course)).metrics)
    assert tried == [6, 3, 2]
    assert metrics[1]["val_gap_l1"] == pytest.approx(metrics[0]["val_gap_l1"], rel=1e-6)


def test_without_memory_for_a_single_window_training_ends(
    window_set: WindowSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, task = build("tunet", {**DEFAULTS["tunet"]})

    def starved(*arguments: object) -> None:
        torch.empty(2**60, dtype=torch.uint8)  # torch's own error

    monkeypatch.setattr("trainables.training._accumulate", starved)
    course = in_epochs(1, window_set, batch_size=6, learning_rate=1e-3, schedule="cosine", seed=0)
    with pytest.raises(TooLargeError, match="single window"):
        next(fit(network, task, window_set, window_set, course))
