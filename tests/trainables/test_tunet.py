from itertools import pairwise

import pytest
import torch

from trainables.models import count_parameters
from trainables.tunet import TUNet

SMALL = {"depth": 3, "base_channels": 4, "growth_rate": 2}


def worked_out(depth: int, base: int, growth: float) -> int:
    """Learnable parameters by hand: 3 x 3 convolutions up and down, 1 x 1 at the end."""
    channels = [base]
    for _ in range(depth - 1):
        channels.append(int(channels[-1] * growth))
    down = sum(9 * a * b + b + 9 * b * b + b for a, b in zip([1, *channels], channels, strict=False))
    up = sum(9 * b * a + a for a, b in pairwise(channels))
    joined = sum(9 * 2 * a * a + a + 9 * a * a + a for a in channels[:-1])
    return down + up + joined + base + 1


@pytest.mark.parametrize(
    ("depth", "base", "growth", "millions"),
    [
        (4, 16, 2, 0.5355), (4, 32, 2, 2.1401), (4, 64, 2, 8.5564),
        (5, 16, 2, 2.1584), (5, 32, 2, 8.6299), (5, 64, 1.5, 6.0330),
        (6, 16, 2, 8.6483), (6, 32, 2, 34.5858), (5, 64, 2, 34.5122),
    ],
)  # fmt: skip
def test_parameters_are_those_of_the_papers_table_2(depth, base, growth, millions):
    with torch.device("meta"):
        network = TUNet(depth=depth, base_channels=base, growth_rate=growth)
    assert round(count_parameters(network) / 1e6, 4) == millions
    assert count_parameters(network) == worked_out(depth, base, growth)


def test_parameters_are_dlsias_with_its_kernels_and_normalisation():
    network = TUNet(depth=4, base_channels=32, growth_rate=2, up_kernel=2, normalization="batch")
    assert count_parameters(network) == 1_927_841


@pytest.mark.parametrize("up_kernel", [2, 3])
@pytest.mark.parametrize("size", [(32, 16), (33, 17), (7, 5), (1, 40)])
def test_any_size_is_kept(size, up_kernel):
    network = TUNet(**SMALL, up_kernel=up_kernel, in_channels=2)
    assert network(torch.rand(2, 2, *size)).shape == (2, 1, *size)


@pytest.mark.parametrize("normalization", ["none", "batch"])
@pytest.mark.parametrize("up_kernel", [2, 3])
def test_every_parameter_learns(up_kernel, normalization):
    torch.manual_seed(0)
    network = TUNet(**SMALL, up_kernel=up_kernel, normalization=normalization)
    (network(torch.rand(2, 1, 16, 16)) - torch.rand(2, 1, 16, 16)).abs().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_a_pixel_is_felt_as_far_as_the_depth_reaches():
    torch.manual_seed(0)
    network = TUNet(depth=4, base_channels=4, growth_rate=2).eval()
    image = torch.rand(1, 1, 64, 64)
    other = image.clone()
    other[..., 32, 32] += 1
    touched = (network(image) != network(other))[0, 0].nonzero()
    # Two convolutions of eight pixels each at the bottom, at least.
    assert (touched - 32).abs().max() >= 16


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"depth": 0}, "depth=0"),
        ({"base_channels": 0}, "base_channels=0"),
        ({"in_channels": -1}, "in_channels=-1"),
        ({"growth_rate": 0.0}, "growth_rate=0.0"),
        ({"growth_rate": -2}, "growth_rate=-2"),
        ({"growth_rate": 0.1}, "growth_rate=0.1"),
        ({"growth_rate": float("nan")}, "growth_rate=nan"),
        ({"growth_rate": float("inf")}, "growth_rate=inf"),
        ({"up_kernel": 4}, "got 4"),
        ({"normalization": "group"}, "got 'group'"),
    ],
)
def test_settings_that_no_network_has_are_named(changes, named):
    with pytest.raises(ValueError, match=named):
        TUNet(**{**SMALL, **changes})
