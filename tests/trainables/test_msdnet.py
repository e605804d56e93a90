"""MSDNet as matrix products against MSDNet as convolutions of a growing stack."""

import random

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.effort import SEED, tries
from trainables.models import count_parameters
from trainables.msdnet import BLOCK, MSDNet, Plane


def stacked(network: MSDNet, image: Tensor) -> Tensor:
    """The same network by its definition: convolve all maps so far, add the new one to the stack."""
    maps = image
    for layer in network.layers:
        maps = torch.cat((maps, F.relu(layer(maps))), dim=1)
    return network.head(maps)


def gradients(output: Tensor, sent: Tensor, image: Tensor, network: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(output, [image, *network.parameters()], sent))


@pytest.mark.fuzz
@pytest.mark.parametrize("number", range(SEED, SEED + tries(6, 1000)))
def test_outputs_and_gradients_are_those_of_the_definition(number):
    rng = random.Random(number)
    layers, dilation, inputs = rng.randint(1, 3 * BLOCK + 1), rng.randint(1, 9), rng.randint(1, 3)
    shape = (rng.randint(1, 3), inputs, rng.randint(1, 20), rng.randint(1, 20))
    torch.manual_seed(number)
    network = MSDNet(num_layers=layers, max_dilation=dilation, in_channels=inputs).double()
    if number % 2:
        network.to(memory_format=torch.channels_last)
    image = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    output, expected = network(image), stacked(network, image)
    torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
    sent = torch.randn_like(output)
    for got, wanted in zip(
        gradients(output, sent, image, network), gradients(expected, sent, image, network), strict=True
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("number", range(2))
def test_the_path_of_gpus_gives_the_same(number, monkeypatch):
    """In one reduction instead of nine additions; its strides are the same on every device."""
    rng = random.Random(number)
    torch.manual_seed(number)
    network = MSDNet(num_layers=rng.randint(5, 12), max_dilation=rng.randint(1, 9)).double()
    image = torch.randn(rng.randint(1, 3), 1, rng.randint(1, 20), rng.randint(1, 20), dtype=torch.float64)
    expected = network(image)
    monkeypatch.setattr(Plane, "gather", Plane.gather_at_once)
    torch.testing.assert_close(network(image), expected, rtol=1e-12, atol=1e-12)


def test_second_derivatives_are_refused():
    network = MSDNet(num_layers=3, max_dilation=2)
    output = network(torch.rand(1, 1, 8, 8, requires_grad=True))
    with pytest.raises(RuntimeError, match="no second derivatives"):
        torch.autograd.grad(output.sum(), network.head.weight, create_graph=True)


@pytest.mark.parametrize(("layers", "parameters"), [(50, 11_577), (100, 45_652), (200, 181_302)])
def test_parameters_are_those_of_the_papers_table_3(layers, parameters):
    assert count_parameters(MSDNet(num_layers=layers, max_dilation=12)) == parameters


def test_dilations_go_round():
    assert MSDNet(num_layers=7, max_dilation=3).dilations == (1, 2, 3, 1, 2, 3, 1)


def test_images_of_a_batch_do_not_see_each_other():
    torch.manual_seed(0)
    network = MSDNet(num_layers=9, max_dilation=8)
    images = torch.rand(3, 1, 11, 7)
    other = images.clone()
    other[1] += 1
    assert torch.equal(network(images)[0::2], network(other)[0::2])


def test_the_backward_pass_keeps_one_copy_of_the_maps():
    network = MSDNet(num_layers=24, max_dilation=4)
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(torch.rand(2, 1, 32, 32))
    maps = (24 + 1) * Plane(2, 32, 32, 4).length
    assert sum(kept.values()) <= maps + count_parameters(network)


def test_autocast_leaves_its_sums_in_single_precision():
    torch.manual_seed(0)
    network, image = MSDNet(num_layers=6, max_dilation=3), torch.rand(1, 1, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(image.bfloat16())
    assert output.dtype == torch.float32
    torch.testing.assert_close(output, network(image.bfloat16().float()))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"num_layers": 0}, "num_layers=0"),
        ({"max_dilation": 0}, "max_dilation=0"),
        ({"in_channels": -1}, "in_channels=-1"),
    ],
)
def test_settings_that_no_network_has_are_named(changes, named):
    with pytest.raises(ValueError, match=named):
        MSDNet(**{"num_layers": 3, "max_dilation": 2, **changes})
