"""Convolutional autoencoder: the image passes through a coarse code, without skip connections.

Chavez et al. 2022 (doi:10.1107/S1600576722007105), Fig. 3: two layers, 32 base channels. The code has a vector of
`latent_dimension` numbers for each cell of 2^depth x 2^depth pixels; their mean is the latent vector of the image,
200 numbers in the paper's section 4.4. One vector a window could not carry the detail from which the paper's
autoencoder filled gaps better than a biharmonic function; a vector a cell does, and takes windows of any size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.precision import FullPrecisionConv2d
from trainables.tunet import double_convolution


class Autoencoder(nn.Module):
    """Encoder and decoder of `depth` levels around a code of `latent_dimension` channels.

    Level i has base_channels * 2^i channels. Takes (N, in_channels, H, W) of any H and W, gives (N, 1, H, W).
    Raises ValueError for settings that no network has.
    """

    def __init__(
        self, *, depth: int = 2, base_channels: int = 32, latent_dimension: int = 200, in_channels: int = 1
    ) -> None:
        super().__init__()
        if min(depth, base_channels, latent_dimension, in_channels) < 1:
            raise ValueError(
                "depth, base_channels, latent_dimension and in_channels must be at least 1, got "
                f"{depth=}, {base_channels=}, {latent_dimension=}, {in_channels=}"
            )
        channels = [base_channels * 2**level for level in range(depth)]
        inputs = [in_channels, *channels[:-1]]
        outputs = [base_channels, *channels[:-1]]
        self.encoder = nn.ModuleList(
            double_convolution(given, kept, kept, "none") for given, kept in zip(inputs, channels, strict=True)
        )
        self.to_code = nn.Conv2d(channels[-1], latent_dimension, 1)
        self.from_code = nn.Conv2d(latent_dimension, channels[-1], 1)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(kept, kept, 3, stride=2, padding=1, output_padding=1) for kept in channels
        )
        self.decoder = nn.ModuleList(
            double_convolution(kept, kept, left, "none") for kept, left in zip(channels, outputs, strict=True)
        )
        self.head = FullPrecisionConv2d(base_channels, 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                # Without skips PyTorch's default fades: of the input's variation a millionth reached the output.
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, 1, H, W)."""
        height, width = image.shape[-2:]
        return self.decode(self.encode(image))[..., :height, :width]

    def encode(self, image: Tensor) -> Tensor:
        """Compress (N, in_channels, H, W) to a code (N, latent_dimension, h, w), h = H / 2^depth rounded up."""
        height, width = image.shape[-2:]
        multiple = 2 ** len(self.encoder)
        features = F.pad(image, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        for block in self.encoder:
            features = F.max_pool2d(block(features), 2)  # (N, c[level], H / 2^(level + 1), W / 2^(level + 1))
        code: Tensor = self.to_code(features)
        return code

    def decode(self, code: Tensor) -> Tensor:
        """Paint (N, 1, h * 2^depth, w * 2^depth) from a code (N, latent_dimension, h, w)."""
        features = torch.relu(self.from_code(code))
        for level in reversed(range(len(self.decoder))):
            features = self.decoder[level](self.up[level](features))  # (N, ..., H / 2^level, W / 2^level)
        output: Tensor = self.head(features)
        return output

    def latent(self, image: Tensor) -> Tensor:
        """Describe images (N, in_channels, H, W) by one vector each (N, latent_dimension): their mean code."""
        return self.encode(image).mean((2, 3))
