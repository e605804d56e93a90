import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inpainting import onnx
from inpainting.filler import FrameFiller
from scattering.errors import InputError
from scattering.filling import interpolation
from trainables import NETWORKS
from trainables.hints import SLOPES
from trainables.models import build
from trainables.msdnet import MSDNet
from trainables.tasks import TASKS, Task, fill

SHAPE = (24, 40)
STARTS, WIDTH = (0, 8, 16, 24), 16
SMALL = {
    "tunet": {"depth": 2, "base_channels": 4, "growth_rate": 2.0},
    "msdnet": {"num_layers": 6, "max_dilation": 3},
    "autoencoder": {"depth": 1, "base_channels": 4, "latent_dimension": 8},
    "pconv": {"depth": 2, "base_channels": 4},
}

Members = list[tuple[nn.Module, Task]]


def frames(seed: int, shape: tuple[int, int] = SHAPE) -> tuple[Tensor, Tensor]:
    """Seven frames: pixels missing at random, gaps, a hole of a window's width, one pixel, nothing, everything."""
    generator = torch.Generator().manual_seed(seed)
    measured = torch.rand(7, 1, *shape, generator=generator)
    observed = torch.rand(measured.shape, generator=generator) < 0.5
    observed[1:] = True
    observed[1, :, 7:10] = observed[1, :, :, 11:14] = False
    observed[2, ..., :WIDTH] = observed[2, :, :4] = False
    observed[3:5] = False
    observed[3, :, 5, 6] = True
    observed[6] = torch.rand(observed[6].shape, generator=generator) < 0.05
    return measured, observed


def made(name: str, task: str, seed: int) -> tuple[nn.Module, Task]:
    """A network whose output varies, and is not below 0 all over."""
    network, posed = build(name, {**SMALL[name], "task": task}, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim == 1:
                weight.uniform_(0, 0.3, generator=generator)
            elif name in ("tunet", "msdnet"):  # fade with PyTorch's default weights
                weight *= 1.5
    return network.eval().requires_grad_(False), posed


def expected(members: Members, measured: Tensor, observed: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread as the fast code has them, window by window."""
    fills = []
    for network, task in members:
        total, times = np.zeros(measured.shape), np.zeros(SHAPE[1])
        for start in STARTS:
            part = slice(start, start + WIDTH)
            total[..., part] += fill(task, network, measured[..., part], observed[..., part]).numpy()
            times[part] += 1
        fills.append(total / times)
    spread = np.std(fills, axis=0, ddof=1) if len(fills) > 1 else np.zeros(measured.shape)
    mean = np.mean(fills, axis=0)
    hidden = ~observed.numpy()[-1:]
    assert mean[-1:][hidden].std() > 0.01
    assert (mean[-1:][hidden] > 0).mean() > 0.1
    return mean, spread


def run(contents: bytes, measured: Tensor, observed: Tensor) -> list[np.ndarray]:
    from onnxruntime import InferenceSession

    inputs = {"measured": measured.numpy(), "observed": observed.numpy()}
    return InferenceSession(contents).run(["filled", "spread"], inputs)


@pytest.mark.parametrize("shape", [SHAPE, (6, 8), (9, 70), (130, 15)])
def test_interpolations_are_those_of_the_fast_code(shape):
    measured, observed = frames(0, shape)
    measured = torch.where(observed, measured, 0.0)
    start = interpolation.linear(measured, observed)
    torch.testing.assert_close(onnx.linear(measured, observed), start, rtol=0, atol=1e-6)
    slants = interpolation.slanted(start, observed, SLOPES)
    torch.testing.assert_close(onnx.slanted(start, observed, SLOPES), slants, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 64, 65, 600])
def test_neighbours_are_the_nearest_known_pixels(size):
    known = torch.rand(2, 1, 5, size, generator=torch.Generator().manual_seed(size)) < 0.1
    before, after = onnx.neighbours(known)
    for row, left, right in zip(
        known.reshape(-1, size), before.reshape(-1, size), after.reshape(-1, size), strict=True
    ):
        ends = [-1, *row.nonzero()[:, 0].tolist(), size]
        for low, high in pairwise(ends):
            assert (left[low + 1 : high] == low).all()
            assert (right[low + 1 : high] == high).all()
        assert (left[row] == right[row]).all()


def filler_of(members: list[tuple[nn.Module, Task]]) -> FrameFiller:
    """The filler that is exported."""
    windows = [(start, start + WIDTH) for start in STARTS]
    return FrameFiller([onnx.OnnxWindowFiller(*member) for member in members], windows)


def test_plain_msdnet_is_msdnet():
    torch.manual_seed(0)
    network = MSDNet(num_layers=20, max_dilation=7, in_channels=3)
    image = torch.rand(2, 3, 17, 30)
    torch.testing.assert_close(onnx.PlainMSDNet(network)(image), network(image), rtol=0, atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", NETWORKS)
def test_whole_frames_are_filled_as_window_by_window(name, task):
    members = [made(name, task, seed=1)]
    measured, observed = frames(0)
    measured = torch.where(observed, measured, 0.0)
    filled, spread = filler_of(members)(measured, observed)
    np.testing.assert_allclose(filled, expected(members, measured, observed)[0], rtol=1e-5, atol=1e-5)
    assert torch.equal(filled[observed], measured[observed])
    assert (filled >= 0).all()
    assert not spread.any()


def test_what_is_not_observed_may_be_anything():
    members = [made(name, task, 0) for name, task in (("tunet", "residual"), ("msdnet", "blind"))]
    filler = filler_of(members)
    measured, observed = frames(1)
    one, other = (filler(torch.where(observed, measured, value), observed) for value in (torch.nan, 0.5))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_graphs_give_the_same_results(name):
    """Two members, one a task: where their mean and spread are right, both are."""
    members = [made(name, task, seed) for seed, task in enumerate(TASKS)]
    contents = onnx.graph(filler_of(members), SHAPE, {"name": name})
    measured, observed = frames(2)
    measured = torch.where(observed, measured, 0.0)
    for count in (1, 7):
        filled, spread = run(contents, measured[-count:], observed[-count:])
        mean, apart = expected(members, measured[-count:], observed[-count:])
        # Untrained networks make much of a single measured pixel.
        tolerance = 1e-5 * max(1, mean.max())
        np.testing.assert_allclose(filled, mean, rtol=0, atol=tolerance)
        np.testing.assert_allclose(spread, apart, rtol=0, atol=tolerance)


@pytest.mark.slow
def test_graphs_of_one_network_hold_metadata_and_nothing_of_this_machine():
    import onnx as library

    contents = onnx.graph(filler_of([made("tunet", "blind", 0)]), SHAPE, {"a": "1", "b": "2"})
    model = library.load_from_string(contents)
    assert {entry.key: entry.value for entry in model.metadata_props} == {"a": "1", "b": "2"}
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": onnx.OPSET}
    assert b".py" not in contents
    filled, spread = run(contents, *frames(0))
    assert np.isfinite(filled).all()
    assert not spread.any()


@pytest.mark.parametrize("name", onnx.NEEDED)
def test_without_its_packages_it_says_how_to_get_them(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"{name}.*pip install -e '\.\[onnx\]'") as caught:
        onnx.require()
    assert "\n" not in str(caught.value)


def test_networks_larger_than_a_file_can_be_are_refused(monkeypatch):
    monkeypatch.setattr(onnx, "LARGEST", 1000)
    with pytest.raises(InputError, match="2 GB of weights at most"):
        onnx.graph(filler_of([made("tunet", "blind", 0)]), SHAPE, {})
