"""Whole frames as one latent vector each: a convolutional autoencoder and its short training.

Chavez et al. 2022 (doi:10.1107/S1600576722007105), section 4.4, compare frames by the Euclidean distance between
latent vectors of 200 numbers. The paper names neither layers nor loss; these follow the autoencoder that it cites,
Guo et al. 2017 (doi:10.1007/978-3-319-70096-0_39): strided convolutions, a dense code, the mirror image back, squared
error. `trainables.autoencoder` fills gaps, which takes a vector a cell; here a frame has one vector, places included.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scattering.arrays import Floats
from trainables.devices import send

DIMENSION = 200
"""Numbers in a latent vector: the paper's."""

PATCH = 4
"""Pixels a side that the first layer takes together: every pixel of a large frame is seen at little cost."""

CELLS = 8
"""Cells a side, about, that the dense layer sees."""

BATCH = 16
LEARNING_RATE = 1e-3

STEPS = 300
EPOCHS = 10
"""At least so many of both; 10 epochs of 1000 simulated frames leave 14 % of the variance between frames."""


class FrameAutoencoder(nn.Module):
    """Encoder of frames (N, 1, H, W) of one shape to vectors (N, dimension), and its mirror image as decoder."""

    def __init__(self, *, shape: tuple[int, int], dimension: int = DIMENSION, base_channels: int = 8) -> None:
        super().__init__()
        levels = max(round(math.log2(max(shape) / (PATCH * CELLS))), 0)
        multiple = PATCH * 2**levels
        cells = [-(-side // multiple) for side in shape]
        channels = [base_channels * 2 ** min(level, 2) for level in range(levels + 1)]
        encoder: list[nn.Module] = [nn.Conv2d(1, base_channels, PATCH, PATCH), nn.ReLU()]
        decoder: list[nn.Module] = [nn.ConvTranspose2d(base_channels, 1, PATCH, PATCH)]
        for fine, coarse in pairwise(channels):
            encoder += [nn.Conv2d(fine, coarse, 3, 2, 1), nn.ReLU()]
            decoder = [nn.ConvTranspose2d(coarse, fine, 3, 2, 1, output_padding=1), nn.ReLU(), *decoder]
        numbers = channels[-1] * math.prod(cells)
        self.shape = shape
        self.padding = (0, -shape[1] % multiple, 0, -shape[0] % multiple)
        self.encoder = nn.Sequential(*encoder, nn.Flatten(), nn.Linear(numbers, dimension))
        unflatten = nn.Unflatten(1, (channels[-1], *cells))
        self.decoder = nn.Sequential(nn.Linear(dimension, numbers), nn.ReLU(), unflatten, *decoder)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                # PyTorch's default fades from layer to layer: the vectors of all frames would begin as almost one,
                # and chance would decide how training parts them.
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, frames: Tensor) -> Tensor:
        """Reproduce (N, 1, H, W) from the latent vectors alone."""
        height, width = self.shape
        output: Tensor = self.decoder(self.encode(frames))
        return output[..., :height, :width]

    def encode(self, frames: Tensor) -> Tensor:
        """Describe frames (N, 1, H, W) by one vector each, (N, dimension)."""
        code: Tensor = self.encoder(F.pad(frames, self.padding))
        return code


def latent_vectors(frames: Floats, *, seed: int, device: torch.device) -> Floats:
    """Train an autoencoder on frames (N, H, W) and give the latent vectors of the same frames, (N, DIMENSION).

    Equal frames and seed give equal numbers on one machine; initial weights and the order of the batches depend on
    the seed, and on the shape and number of the frames, alone.
    """
    torch.manual_seed(seed)
    network = FrameAutoencoder(shape=(frames.shape[1], frames.shape[2])).to(device)
    images = torch.from_numpy(frames)[:, None]
    # The fastest cuDNN algorithms add up in an order that changes from run to run.
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=True):
        train(network, images, seed=seed)
        with torch.no_grad():
            parts = [network.encode(part.to(device)).cpu() for part in torch.split(images, BATCH)]
    return torch.cat(parts).numpy()


def train(network: FrameAutoencoder, images: Tensor, *, seed: int) -> None:
    """Train on images (N, 1, H, W) with Adam and squared error; the learning rate falls as half a cosine."""
    device = next(network.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    epochs = max(EPOCHS, math.ceil(STEPS * BATCH / len(images)))
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    steps = epochs * math.ceil(len(images) / BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for chosen in torch.split(torch.randperm(len(images), generator=generator), BATCH):
            batch = send(images[chosen], device)
            optimizer.zero_grad(set_to_none=True)
            F.mse_loss(network(batch), batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
