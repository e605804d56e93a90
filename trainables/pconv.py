"""PConv: a U-Net of partial convolutions, which see observed pixels only and close the gaps layer by layer.

Liu et al. 2018 (arXiv:1804.07723), as compared by Chavez et al. 2022 (doi:10.1107/S1600576722007105), Fig. 5: five
levels and 32 base channels for Liu's eight and 64. Kernels, activations and initial weights are Liu's; batch
normalisation is left out, as in the other networks of the comparison.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.precision import FullPrecisionConv2d

KERNELS = (7, 5, 5)
"""Kernel size of the first levels of the encoder; 3 from there on (Liu et al., Table 2)."""

WIDEST = 8
"""The deep levels have this many times base_channels (Liu et al.: 512 for 64)."""


class PartialConvolutionNetwork(nn.Module):
    """Encoder of `depth` strided partial convolutions and a decoder of as many, joined by skip connections.

    Level i has base_channels * min(2^i, 8) channels. Takes any H and W: the borders count as not observed.
    Raises ValueError for settings that no network has.
    """

    takes_observed = True
    """What it is called with beside the image; `trainables.tasks` asks for this."""

    def __init__(self, *, depth: int = 5, base_channels: int = 32, in_channels: int = 1) -> None:
        super().__init__()
        if min(depth, base_channels, in_channels) < 1:
            raise ValueError(
                "depth, base_channels and in_channels must be at least 1, got "
                f"{depth=}, {base_channels=}, {in_channels=}"
            )
        channels = [base_channels * min(2**level, WIDEST) for level in range(depth)]
        skips = [in_channels, *channels[:-1]]
        outputs = [1, *channels[:-1]]
        kernels = [*KERNELS, *[3] * depth][:depth]
        self.encoder = nn.ModuleList(
            PartialConvolution(given, kept, kernel, stride=2)
            for given, kept, kernel in zip(skips, channels, kernels, strict=True)
        )
        self.decoder = nn.ModuleList(
            PartialConvolution(skip + deep, left, 3, stride=1)
            for skip, deep, left in zip(skips, channels, outputs, strict=True)
        )

    def forward(self, image: Tensor, observed: Tensor) -> Tensor:
        """Map (N, C, H, W), with what of it is observed, (N, C, H, W) or (N, 1, H, W), to (N, 1, H, W).

        0 in pixels that no observed pixel reaches.
        """
        # Not a product: a pixel that is not observed may be NaN.
        features = torch.where(observed, image, 0.0)
        share = observed.to(image.dtype).mean(1, keepdim=True)
        skips = []
        for layer in self.encoder:
            skips.append((features, share))
            features, share = layer(features, share)  # (N, c[level], H / 2^(level + 1), W / 2^(level + 1))
            features = features.relu()
        for level in reversed(range(len(self.decoder))):
            skip, skip_share = skips[level]
            raised, raised_share = double(features, skip), double(share, skip)
            deep, shallow = raised.shape[1], skip.shape[1]
            share = (shallow * skip_share + deep * raised_share) / (shallow + deep)
            features, share = self.decoder[level](torch.cat((skip, raised), dim=1), share)
            if level:
                features = F.leaky_relu(features, 0.2)  # (N, c[level - 1], H / 2^level, W / 2^level)
        return features


class PartialConvolution(nn.Module):
    """Convolution over observed values, scaled by window size / number observed under the filter."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        # The layer of one channel is the last one.
        kind = FullPrecisionConv2d if out_channels == 1 else nn.Conv2d
        self.convolution = kind(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.window = nn.AvgPool2d(kernel, stride, kernel // 2)
        # Liu et al. too: without normalisation PyTorch's default fades from layer to layer.
        nn.init.kaiming_normal_(self.convolution.weight, nonlinearity="relu")

    def forward(self, features: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (N, C, H, W), 0 where not observed, and the share of observed channels (N, 1, H, W).

        Returns features (N, out_channels, H / stride, W / stride), 0 where the filter saw nothing, and 1 where it
        saw any, else 0 (Liu et al., equations 1 and 2). The count needs no more than each pixel's share: all
        channels have the same window.
        """
        seen: Tensor = self.window(share)
        observed = (seen > 0).to(share.dtype)
        scale = torch.where(seen > 0, 1 / seen, 0.0)
        scaled = self.convolution(features) * scale
        return torch.addcmul(scaled, self.bias.view(-1, 1, 1), observed), observed


def double(values: Tensor, like: Tensor) -> Tensor:
    """Repeat every pixel as 2 x 2 of them, cropped to the rows and columns of `like`."""
    height, width = like.shape[-2:]
    return F.interpolate(values, scale_factor=2, mode="nearest")[..., :height, :width]
