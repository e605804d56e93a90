import numpy as np
import pytest
import torch
from torch.nn import functional as F

from trainables.models import count_parameters
from trainables.pconv import PartialConvolution, PartialConvolutionNetwork

SMALL = {"depth": 3, "base_channels": 4}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return PartialConvolutionNetwork(**SMALL)


def gapped(*shape, seed=0):
    """An image and what of it is observed: a horizontal gap, a vertical one and scattered pixels are not."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(shape, generator=generator)
    observed = torch.rand((shape[0], 1, *shape[2:]), generator=generator) > 0.2
    observed[..., shape[2] // 2 :][..., :3, :] = False
    observed[..., shape[3] // 3 :][..., :2] = False
    return image, observed


def by_hand(image, observed, weight, bias, stride):
    """Liu et al. 2018, equations 1 and 2, for one image (C, H, W) with an `observed` of the same shape."""
    outputs, _, size, _ = weight.shape
    edge = ((0, 0), (size // 2, size // 2), (size // 2, size // 2))
    image, observed = np.pad(image, edge), np.pad(observed, edge)
    rows = (image.shape[1] - size) // stride + 1
    columns = (image.shape[2] - size) // stride + 1
    result, updated = np.zeros((outputs, rows, columns)), np.zeros((rows, columns))
    for row in range(rows):
        for column in range(columns):
            under = np.s_[:, row * stride : row * stride + size, column * stride : column * stride + size]
            seen = observed[under].sum()
            if seen > 0:
                updated[row, column] = 1
                for output in range(outputs):
                    total = (weight[output] * image[under] * observed[under]).sum()
                    result[output, row, column] = total * observed[under].size / seen + bias[output]
    return result, updated


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (7, 2)])
def test_a_layer_follows_the_equations(kernel, stride):
    rng = np.random.default_rng(0)
    layer = PartialConvolution(3, 2, kernel, stride).double()
    torch.nn.init.normal_(layer.bias)
    image = rng.normal(size=(3, 13, 16))
    observed = rng.random((3, 13, 16)) < 0.3  # each channel its own
    observed[:, :, 4:13] = False
    features = torch.from_numpy(image * observed)[None]
    share = torch.from_numpy(observed).double().mean(0)[None, None]
    result, updated = layer(features, share)
    weight, bias = layer.convolution.weight.detach().numpy(), layer.bias.detach().numpy()
    expected, expected_updated = by_hand(image, observed, weight, bias, stride)
    assert 0 < expected_updated.mean() < 1
    np.testing.assert_array_equal(updated[0, 0], expected_updated)
    np.testing.assert_allclose(result[0].detach(), expected, atol=1e-12)


def test_the_network_is_its_layers_with_a_mask_per_channel():
    """As Liu et al. write it: masks are concatenated as features are, and every channel is counted."""
    torch.manual_seed(0)
    network = PartialConvolutionNetwork(**SMALL, in_channels=2).double()
    image, observed = gapped(1, 2, 32, 16)
    image = image.double()
    observed = torch.cat((observed, observed.flip(-1)), dim=1)
    observed[..., 8:, :] = False

    def layer(partial, features, mask):
        seen = F.conv2d(mask, torch.ones_like(partial.convolution.weight), None, *settings(partial))
        whole = partial.convolution.weight[0].numel()
        plain = F.conv2d(features * mask, partial.convolution.weight, None, *settings(partial))
        result = torch.where(seen > 0, plain * whole / seen + partial.bias.view(-1, 1, 1), 0.0)
        return result, (seen > 0).double()

    def settings(partial):
        return partial.convolution.stride, partial.convolution.padding

    features, mask = image, observed.double()
    skips = []
    for partial in network.encoder:
        skips.append((features, mask))
        features, mask = layer(partial, features, mask)
        features = features.clamp(min=0)
    for level in (2, 1, 0):
        raised = [value.repeat_interleave(2, -2).repeat_interleave(2, -1) for value in (features, mask)]
        features, mask = (torch.cat(pair, dim=1) for pair in zip(skips[level], raised, strict=True))
        features, mask = layer(network.decoder[level], features, mask)
        features = torch.maximum(features, 0.2 * features) if level else features
    torch.testing.assert_close(network(image, observed), features)


@pytest.mark.parametrize("unseen", [1e6, float("nan")])
def test_pixels_that_are_not_observed_change_no_bit(network, unseen):
    image, observed = gapped(2, 1, 33, 17)
    assert torch.equal(
        network(image, observed), network(torch.where(observed, image, torch.tensor(unseen)), observed)
    )


def test_a_channel_may_have_gaps_of_its_own():
    torch.manual_seed(0)
    network = PartialConvolutionNetwork(**SMALL, in_channels=2)
    image, observed = gapped(1, 2, 16, 16)
    each = torch.cat((observed, observed.flip(-1)), dim=1)
    expected = network(image, each)
    image[:, 1][~each[:, 1]] = 7
    assert torch.equal(network(image, each), expected)
    assert torch.equal(network(image, observed), network(image, observed.expand(-1, 2, -1, -1)))


@pytest.mark.parametrize(
    ("kernel", "stride", "before", "after"),
    [
        (3, 1, "##......##", "###....###"),
        (3, 1, "##..##", "######"),
        (3, 2, "##......##......", "##..##.."),
        (5, 2, "#...............", "##......"),
        (7, 2, "#...............", "##......"),
        (7, 2, "......##........", "..####.."),
    ],
)
def test_gaps_shrink_from_their_edges(kernel, stride, before, after):
    share = torch.tensor([pixel == "#" for pixel in before]).float().expand(1, 1, 9, -1)
    _, observed = PartialConvolution(1, 1, kernel, stride)(share, share)
    assert "".join(".#"[int(pixel)] for pixel in observed[0, 0, 2]) == after


def test_channels_double_and_are_capped_as_lius():
    """5 levels of 32: kernels of 7, 5, 5, 3, 3 pixels down, 3 up; skips of 1, 32, 64, 128, 256 channels."""
    down = 49 * 32 + 25 * 32 * 64 + 25 * 64 * 128 + 9 * 128 * 256 + 9 * 256 * 256
    up = 9 * ((1 + 32) + (32 + 64) * 32 + (64 + 128) * 64 + (128 + 256) * 128 + (256 + 256) * 256)
    biases = (32 + 64 + 128 + 256 + 256) + (1 + 32 + 64 + 128 + 256)
    assert count_parameters(PartialConvolutionNetwork()) == down + up + biases


@pytest.mark.parametrize("name", ["depth", "base_channels", "in_channels"])
def test_settings_that_no_network_has_are_named(name):
    with pytest.raises(ValueError, match=f"{name}=0"):
        PartialConvolutionNetwork(**{**SMALL, name: 0})
