"""Use of bfloat16 where it is enough."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


def mixed_precision(network: nn.Module, device: torch.device) -> AbstractContextManager[object]:
    """Run convolutions in bfloat16 on GPUs that have it; a CPU computes it by way of float32, more slowly.

    Only for networks whose last layer is a `FullPrecisionConv2d`.
    """
    ready = any(isinstance(module, FullPrecisionConv2d) for module in network.modules())
    if ready and device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


class FullPrecisionConv2d(nn.Conv2d):
    """A convolution that mixed precision leaves in float32 (TF32 where a GPU takes that): a network's last one.

    bfloat16 has eight bits: an intensity of 0.25 would be rounded to steps of 1e-3, a quarter of a good fill's error.
    """

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        with torch.autocast(image.device.type, enabled=False):
            return super().forward(image.to(self.weight.dtype))
