"""On a GPU, here a simulated one: no operator finds tensors of two devices, and no step waits for a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode

from scattering.calibration import Calibration
from scattering.dataset import Dataset
from search.evaluation.methods import network_filler
from spaces import DEFAULTS
from tests.gpu import CPU, GPU, simulated
from trainables import NETWORKS, devices, embedding, hints, precision, rings
from trainables.batches import Drawn, Part, WindowSet
from trainables.images import gapped_windows, whole_frames
from trainables.losses import absolute_error
from trainables.models import Config, build
from trainables.tasks import Task
from trainables.training import Course, Training, validate

POSED = ({"task": "blind"}, {"task": "residual"}, {"task": "residual", "geometry": "yes"})
"""The tasks, the last one with the geometry of the frames."""

EVERY = [pytest.param(name, posed, id="-".join((name, *posed.values()))) for name, posed in product(NETWORKS, POSED)]

BEAM = Calibration(2.0, 0.4 * 140 * 172e-6, 0.55 * 150 * 172e-6, 0, 0, 0, 172e-6, 172e-6, 1e-10)


@pytest.fixture(scope="module")
def part(raw_frames: Any, prepare: Any, tiny_detector: Any) -> Part:
    """Frames whose geometry is known, with all that is made of them once for a search."""
    frames = raw_frames(4, (140, 150), tiny_detector)
    data: Dataset = prepare([frame._replace(calibration=BEAM) for frame in frames])
    return Part(data, hints.tabulate(WindowSet(data, CPU)), rings.tabulate(data))


def begin(part: Part, built: tuple[nn.Module, Task], device: torch.device, batch_size: int) -> Training:
    """Begin a training of one epoch."""
    network, task = built
    windows = WindowSet.of(part, device, rings=task.rings)
    course = Course(len(windows), len(windows), batch_size, learning_rate=1e-3, schedule="cosine", seed=0)
    return Training.begin(network.to(device), task, windows, course)


def test_the_simulated_gpu_notices_what_would_go_wrong_on_a_real_one() -> None:
    with simulated() as gpu:
        there, here = torch.ones(3, device=GPU), torch.ones(3)
        for mixed in (lambda: there + here, lambda: there[torch.tensor([0, 1])], there.numpy):
            with pytest.raises(AssertionError, match=r"GPU|two devices"):
                mixed()
        assert gpu.waits == []
        for waits in (
            there.sum().item, lambda: bool((there > 0).all()), there.nonzero, lambda: there[there > 0], there.cpu,
            lambda: here.to(GPU), lambda: here.to(GPU, non_blocking=True),
            lambda: torch.masked_select(there, there > 0),
        ):  # fmt: skip
            gpu.waits.clear()
            waits()
            assert len(gpu.waits) == 1
        gpu.waits.clear()
        sent = here.pin_memory().to(GPU, non_blocking=True)
        (sent * 2 + there.new_zeros(3))[1:].add_(torch.zeros_like(there)[0])
        assert gpu.waits == []
        assert {sent.device, (sent + 1).device, there.view(3, 1).device} == {GPU}
        assert not here.is_cuda


@pytest.mark.parametrize(("name", "posed"), EVERY)
def test_a_training_is_that_of_the_cpu(
    part: Part, small: Callable[[str, str], Config], name: str, posed: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forward, backward, optimizer and validation."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    found = []
    for device in (CPU, GPU):
        with simulated() as gpu:
            training = begin(part, build(name, small(name, "") | posed), device, 4)
            metrics = training.to_next_report()
            metrics |= validate(training.network, training.task, training.train)
        found.append([metrics[key] for key in ("train_loss", "val_loss", "val_gap_l1", "val_gap_cc")])
        assert bool(gpu.operators) == (device == GPU)
    assert found[1] == pytest.approx(found[0], rel=1e-4)


@pytest.mark.parametrize(("name", "posed"), EVERY)
def test_a_step_waits_for_nothing(part: Part, small: Callable[[str, str], Config], name: str, posed: Config) -> None:
    """An epoch of six steps has as many waits as one of two."""
    waits = []
    for batch_size in (6, 2):
        with simulated(bfloat16=True) as gpu:
            training = begin(part, build(name, small(name, "") | posed), GPU, batch_size)
            gpu.waits.clear()
            training.to_next_report()
        waits.append(gpu.waits)
        assert training.step == 12 // batch_size
    assert waits[0] == waits[1]


def test_windows_that_stay_on_the_host_come_without_a_wait(part: Part) -> None:
    with simulated() as gpu:
        windows, there = (WindowSet.of(part, GPU, room=room) for room in (part.nbytes - 1, part.nbytes))
        assert (windows.storage, there.storage) == (CPU, GPU)
        chosen = torch.arange(6)
        gpu.waits.clear()
        batch = windows._sent(Drawn(chosen, chosen % windows.patterns))
        assert gpu.waits == []
        assert {tensor.device for tensor in batch} == {GPU}
        expected = there.batch(chosen.to(GPU), (chosen % windows.patterns).to(GPU))
    assert all(torch.equal(*pair) for pair in zip(batch[:-1], expected[:-1], strict=True))


@pytest.mark.dlsia
@pytest.mark.skipif(not torch.backends.cuda.is_built(), reason="this PyTorch is for CPUs")
@pytest.mark.parametrize(("name", "posed"), EVERY)
def test_pytorch_finds_no_tensors_of_two_devices_and_no_wait_either(
    part: Part, small: Callable[[str, str], Config], name: str, posed: Config
) -> None:
    """Its fake tensors know all rules of CUDA's operators, but cannot go backward where there is no GPU."""
    built = build(name, small(name, "") | posed)
    with FakeTensorMode(allow_non_fake_inputs=True):
        training = begin(part, built, GPU, 4)
        for drawn in training._parts(0):
            batch = training.train.batch(*drawn)
            with torch.no_grad():
                prediction = training.task.predict(training.network, *batch[:2], batch.hints, batch.rings)
                error, pixels = absolute_error(prediction, batch.truth, training.task.scored(batch))
            for parameter in training.network.parameters():
                parameter.grad = torch.zeros_like(parameter)
            training.optimizer.step()
    assert {tensor.device for tensor in (error, pixels, *training.network.parameters())} == {GPU}


IN_ANY_ORDER = (
    "bincount", "cumsum", "grid_sampler", "histc", "index_add", "index_copy", "index_reduce", "scatter_add",
    "scatter_reduce", "_pad1d_backward", "_pad2d_backward", "linear1d_backward", "bilinear2d_backward",
    "bicubic2d_backward", "adaptive_avg_pool2d_backward", "adaptive_max_pool2d_backward", "max_unpool",
)  # fmt: skip
"""Operators that add up on a GPU in an order that changes from run to run (torch.use_deterministic_algorithms)."""


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_adds_up_in_one_order(part: Part, small: Callable[[str, str], Config], name: str) -> None:
    """Where it does not, equal arguments would not give equal numbers; cuDNN is told so by `trial.prepare`."""
    with simulated(bfloat16=True) as gpu:
        begin(part, build(name, small(name, "") | POSED[-1]), GPU, 6).to_next_report()
    names = {name.removeprefix("aten.").split(".")[0] for name in gpu.operators}
    assert "convolution_backward" in names or name == "msdnet"
    assert not {one for one in names if any(one.startswith(order) or one.endswith(order) for order in IN_ANY_ORDER)}


@pytest.mark.parametrize(("name", "posed"), EVERY)
def test_gaps_are_filled_as_on_the_cpu(
    part: Part, small: Callable[[str, str], Config], name: str, posed: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, found = part.data.select([0]), []
    for device in (CPU, GPU):
        monkeypatch.setattr(devices, "device", lambda device=device: device)
        with simulated() as gpu:
            filler = network_filler([build(name, small(name, "") | posed)])
            found.append((filler.frames(whole_frames(data)), filler.windows(gapped_windows(data))))
        assert bool(gpu.operators) == (device == GPU)
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_latent_vectors_are_those_of_the_cpu(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "EPOCHS", 2)
    monkeypatch.setattr(embedding, "BATCH", 2)
    waits, found = [], []
    for device, steps in ((CPU, 4), (GPU, 4), (GPU, 8)):
        monkeypatch.setattr(embedding, "STEPS", steps)
        with simulated() as gpu:
            found.append(embedding.latent_vectors(part.data.truth, seed=0, device=device))
        waits.append(gpu.waits)
    np.testing.assert_array_equal(found[0], found[1])
    assert waits[1] == waits[2]


MOST = {"tunet": 350, "msdnet": 1800, "autoencoder": 350, "pconv": 420}
"""Operators of a step of the default configuration. TUNet's were twice as many while each step made its input."""


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_step_takes_few_operators(part: Part, name: str) -> None:
    with simulated(bfloat16=True) as gpu:
        training = begin(part, build(name, DEFAULTS[name] | POSED[-1]), GPU, batch_size=4)
        training.to_next_report()
        gpu.operators.clear()
        training.step, training.progress = 0, 0.0
        training.course = replace(training.course, interval=4)
        training.to_next_report()
    assert training.step == 1
    assert len(gpu.operators) <= MOST[name], Counter(gpu.operators).most_common(12)
