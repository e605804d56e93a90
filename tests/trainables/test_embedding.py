import numpy as np
import pytest
import torch

from trainables import embedding
from trainables.embedding import DIMENSION, FrameAutoencoder, latent_vectors

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def frames():
    """Three kinds of frame, eight each, with noise: spots at three places."""
    rng = np.random.default_rng(0)
    made = rng.normal(0.1, 0.01, (24, 32, 32)).astype(np.float32)
    for kind, place in enumerate((4, 14, 24)):
        made[kind::3, place : place + 6, place : place + 6] += 0.5
    return made


@pytest.fixture
def short(monkeypatch):
    """A training of a few steps, where the law does not need a long one."""
    monkeypatch.setattr(embedding, "STEPS", 4)
    monkeypatch.setattr(embedding, "EPOCHS", 2)


@pytest.mark.parametrize("shape", [(32, 32), (33, 57), (128, 64), (9, 140)])
def test_any_shape_is_kept_and_has_one_vector(shape):
    network = FrameAutoencoder(shape=shape, base_channels=2)
    frames = torch.rand(2, 1, *shape)
    assert network.encode(frames).shape == (2, DIMENSION)
    assert network(frames).shape == frames.shape


def test_nothing_passes_beside_the_vector():
    """The output's change with the 256 pixels has no more directions than the vector has numbers."""
    torch.manual_seed(0)
    network = FrameAutoencoder(shape=(16, 16), dimension=5).double()
    jacobian = torch.autograd.functional.jacobian(network, torch.rand(1, 1, 16, 16, dtype=torch.float64))
    assert torch.linalg.matrix_rank(jacobian.reshape(256, 256), rtol=1e-10) == 5


def test_every_pixel_and_every_number_counts():
    torch.manual_seed(0)
    network = FrameAutoencoder(shape=(37, 44), base_channels=32).double()
    image = torch.rand(1, 1, 37, 44, dtype=torch.float64, requires_grad=True)
    network.encode(image).square().sum().backward()
    assert (image.grad != 0).all()
    network.zero_grad()
    torch.nn.functional.mse_loss(network(image), image).backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    assert (network.encoder[-1].weight.grad.abs().sum(1) > 0).all()


@pytest.mark.slow
def test_training_learns_to_reproduce_frames(frames):
    torch.manual_seed(0)
    network = FrameAutoencoder(shape=(32, 32))
    images = torch.from_numpy(frames)[:, None]
    embedding.train(network, images, seed=0)
    with torch.no_grad():
        error = torch.nn.functional.mse_loss(network(images), images)
    # The best single image for all frames leaves their variance.
    assert error < 0.5 * images.var(dim=0).mean()


@pytest.mark.slow
def test_frames_of_one_kind_are_near_each_other(frames):
    vectors = latent_vectors(frames, seed=0, device=CPU)
    distance = np.linalg.norm(vectors[:, None] - vectors, axis=-1)
    alike = np.equal.outer(np.arange(24) % 3, np.arange(24) % 3)
    assert distance[alike].max() < distance[~alike].min()


def test_equal_seeds_give_equal_vectors_and_other_seeds_others(frames, short):
    first, again, other = (latent_vectors(frames, seed=seed, device=CPU) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_short_trainings_have_a_least_number_of_steps_and_long_ones_of_epochs(monkeypatch):
    """Half a cosine ends at zero: the rate at the end tells that the schedule fits the number of steps."""
    seen = []
    rate = torch.optim.lr_scheduler.CosineAnnealingLR

    class Watched(rate):
        def __init__(self, optimizer, steps):
            seen.append(steps)
            super().__init__(optimizer, steps)

    monkeypatch.setattr(torch.optim.lr_scheduler, "CosineAnnealingLR", Watched)
    monkeypatch.setattr(embedding, "STEPS", 6)
    monkeypatch.setattr(embedding, "EPOCHS", 2)
    for count in (5, 64):
        embedding.train(FrameAutoencoder(shape=(8, 8)), torch.rand(count, 1, 8, 8), seed=0)
    assert seen[0] >= 6
    assert seen[1] == 2 * 64 // embedding.BATCH
