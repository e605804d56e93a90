"""Use of bfloat16 where it is enough."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


def mixed_precision(network: nn.Module, device: torch.device) -> AbstractContextManager[object]:
    """Run convolutions in bfloat16 on GPUs and CPUs that have units for it; others would be slower than in float32.

    Only for networks whose last layer is a `FullPrecisionConv2d`.
    """
    ready = any(isinstance(module, FullPrecisionConv2d) for module in network.modules())
    return torch.autocast(device.type, torch.bfloat16) if ready and has_bfloat16(device) else nullcontext()


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether a device multiplies matrices of bfloat16: a GPU's tensor cores, or the AMX units of a CPU.

    AVX-512 alone has instructions for it, too, and gains nothing by them (benchmarks/results/training_step.md).
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16"))


class FullPrecisionConv2d(nn.Conv2d):
    """A convolution that mixed precision leaves in float32 (TF32 where a GPU takes that): a network's last one.

    bfloat16 has eight bits: an intensity of 0.25 would be rounded to steps of 1e-3, a quarter of a good fill's error.
    """

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        with torch.autocast(image.device.type, enabled=False):
            return super().forward(image.to(self.weight.dtype))
