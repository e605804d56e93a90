import pytest
import torch

from trainables.autoencoder import Autoencoder
from trainables.models import count_parameters

SMALL = {"depth": 2, "base_channels": 4, "latent_dimension": 6}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Autoencoder(**SMALL)


def test_parameters_are_worked_out_by_hand():
    """Two levels, 32 base channels, a code of 200: convolutions down, to the code and back, convolutions up."""
    down = (9 * 1 * 32 + 32) + (9 * 32 * 32 + 32) + (9 * 32 * 64 + 64) + (9 * 64 * 64 + 64)
    code = (64 * 200 + 200) + (200 * 64 + 64)
    raised = (9 * 64 * 64 + 64) + (9 * 32 * 32 + 32)
    up = (9 * 64 * 64 + 64) + (9 * 64 * 32 + 32) + 2 * (9 * 32 * 32 + 32)
    assert count_parameters(Autoencoder()) == down + code + raised + up + (32 + 1)


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("size", [(32, 16), (33, 17), (7, 5), (1, 40)])
def test_any_size_is_kept(size, depth):
    network = Autoencoder(depth=depth, base_channels=2, latent_dimension=3, in_channels=2)
    image = torch.rand(2, 2, *size)
    assert network.encode(image).shape == (2, 3, *(-(-side // 2**depth) for side in size))
    assert network.latent(image).shape == (2, 3)
    assert network(image).shape == (2, 1, *size)


def test_nothing_passes_beside_the_code():
    """The output's change with the 128 pixels has no more directions than the code has numbers."""
    torch.manual_seed(0)
    network = Autoencoder(depth=2, base_channels=4, latent_dimension=2).double()
    image = torch.rand(1, 1, 16, 8, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(network, image).reshape(128, 128)
    assert 8 < torch.linalg.matrix_rank(jacobian, rtol=1e-10) <= 2 * (16 // 4) * (8 // 4)


def test_each_latent_number_is_used(network):
    code = torch.randn(1, 6, 8, 2).expand(7, -1, -1, -1).clone()
    code[1:] += torch.eye(6)[..., None, None]
    unchanged, *changed = network.decode(code)
    assert all((image - unchanged).abs().max() > 1e-6 for image in changed)


def test_the_latent_vector_tells_what_is_there_and_not_where(network):
    image = torch.zeros(1, 1, 64, 64)
    image[..., 16:20, 16:20] = 1
    moved, larger = image.roll((24, 12), (2, 3)), image.clone()
    larger[..., 16:24, 16:20] = 1
    torch.testing.assert_close(network.latent(moved), network.latent(image))
    assert not torch.allclose(network.latent(larger), network.latent(image), rtol=0.1, atol=1e-4)


@pytest.mark.parametrize("name", ["depth", "base_channels", "latent_dimension", "in_channels"])
def test_settings_that_no_network_has_are_named(name):
    with pytest.raises(ValueError, match=f"{name}=0"):
        Autoencoder(**{**SMALL, name: 0})
