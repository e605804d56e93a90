"""TUNet: a U-Net whose depth, width and growth are hyperparameters.

Ronneberger et al. 2015 (doi:10.1007/978-3-319-24574-4_28) as tuned by Chavez et al. 2022
(doi:10.1107/S1600576722007105) with pyMSDtorch. Parameter counts equal those of the paper's Table 2 with
3 x 3 transposed convolutions and no normalisation; dlsia's TUNet is `up_kernel=2, normalization="batch"`.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.precision import FullPrecisionConv2d


class TUNet(nn.Module):
    """Encoder and decoder of `depth` levels, joined by skip connections.

    Level i has int(c[i-1] * growth_rate) channels, c[0] = base_channels. Takes (N, in_channels, H, W) of any
    H and W, gives (N, 1, H, W).
    Raises ValueError for settings that no network has.
    """

    def __init__(
        self,
        *,
        depth: int,
        base_channels: int,
        growth_rate: float,
        up_kernel: int = 3,
        normalization: str = "none",
        in_channels: int = 1,
    ) -> None:
        super().__init__()
        if depth < 1 or base_channels < 1 or in_channels < 1 or not 0 < growth_rate < math.inf:
            raise ValueError(
                "depth, base_channels and in_channels must be at least 1 and growth_rate finite and above 0, got "
                f"{depth=}, {base_channels=}, {in_channels=}, {growth_rate=}"
            )
        if up_kernel not in (2, 3):
            raise ValueError(f"up_kernel must be 2 or 3, got {up_kernel}")
        channels = [base_channels]
        for _ in range(depth - 1):
            channels.append(int(channels[-1] * growth_rate))
        if channels[-1] < 1:
            raise ValueError(f"every level needs a channel, got {channels} from {base_channels=}, {growth_rate=}")
        inputs = [in_channels, *channels[:-1]]
        self.encoder = nn.ModuleList(
            double_convolution(given, kept, kept, normalization) for given, kept in zip(inputs, channels, strict=True)
        )
        self.up = nn.ModuleList(
            # Both double the size: 2 x 2 without overlap, 3 x 3 with padding.
            nn.ConvTranspose2d(
                deep, kept, up_kernel, stride=2, padding=(up_kernel - 1) // 2, output_padding=up_kernel - 2
            )
            for kept, deep in pairwise(channels)
        )
        self.decoder = nn.ModuleList(
            double_convolution(2 * kept, kept, kept, normalization) for kept in channels[:-1]
        )
        self.head = FullPrecisionConv2d(base_channels, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, 1, H, W)."""
        height, width = image.shape[-2:]
        multiple = 2 ** len(self.up)
        # Replicated edges disturb the borders less than zeros would.
        features = F.pad(image, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        skips = []
        for level, block in enumerate(self.encoder):
            features = block(F.max_pool2d(features, 2) if level else features)  # (N, c[level], H / 2^level, ...)
            skips.append(features)
        for level in reversed(range(len(self.up))):
            raised = self.up[level](features)  # (N, c[level], H / 2^level, W / 2^level)
            features = self.decoder[level](torch.cat((skips[level], raised), dim=1))
        output: Tensor = self.head(features)
        return output[..., :height, :width]


def double_convolution(inputs: int, middle: int, outputs: int, normalization: str) -> nn.Sequential:
    """Two 3 x 3 convolutions, each followed by the normalisation ("none" or "batch") and ReLU."""
    if normalization not in ("none", "batch"):
        raise ValueError(f"normalization must be 'none' or 'batch', got {normalization!r}")
    layers: list[nn.Module] = []
    for given, kept in ((inputs, middle), (middle, outputs)):
        layers.append(nn.Conv2d(given, kept, 3, padding=1))
        if normalization == "batch":
            layers.append(nn.BatchNorm2d(kept))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)
