"""MSDNet: the mixed-scale dense network, computed without its quadratic cost.

Pelt & Sethian 2018 (doi:10.1073/pnas.1715832114) as used by Chavez et al. 2022 (doi:10.1107/S1600576722007105).
Layer i convolves all earlier maps with one 3 x 3 filter of dilation i mod max_dilation + 1. Parameter counts
equal those of the paper's Table 3; dlsia's MSDNet with `normalization=None` is the same function.

Every convolution here is a matrix product. With the maps kept as rows of one matrix X, flat and with zeros
between image rows, a tap of a filter is a shift along the row. So a layer is `weights (9, maps) @ X`, whose nine
rows are added, each shifted by its tap; both gradients are products of the same kind. Nothing but X is kept for
the backward pass.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from scattering.errors import one_line

log = logging.getLogger(__name__)


class MSDNet(nn.Module):
    """Densely connected layers of one map each, of dilations 1 to `max_dilation` in turn.

    Takes (N, in_channels, H, W) of any H and W, gives (N, 1, H, W).
    Raises ValueError for settings that no network has.
    """

    def __init__(self, *, num_layers: int, max_dilation: int, in_channels: int = 1) -> None:
        super().__init__()
        if num_layers < 1 or max_dilation < 1 or in_channels < 1:
            raise ValueError(
                "num_layers, max_dilation and in_channels must be at least 1, got "
                f"{num_layers=}, {max_dilation=}, {in_channels=}"
            )
        self.dilations = tuple(layer % max_dilation + 1 for layer in range(num_layers))
        self.layers = nn.ModuleList(
            nn.Conv2d(in_channels + layer, 1, 3, padding=dilation, dilation=dilation)
            for layer, dilation in enumerate(self.dilations)
        )
        self.head = nn.Conv2d(in_channels + num_layers, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, 1, H, W)."""
        weights = [layer.weight for layer in self.layers]
        biases = [layer.bias for layer in self.layers]
        with torch.autocast(image.device.type, enabled=False):
            # Sums over hundreds of maps need float32.
            layers = dense_layers(image.device) if self.head.weight.dtype == torch.float32 else DenseLayers
            output: Tensor = layers.apply(  # type: ignore[no-untyped-call]
                image.to(self.head.weight.dtype), self.dilations, self.head.weight, self.head.bias, *weights, *biases
            )
        return output


BLOCK = 4
"""Layers that are multiplied with the maps before them at once. More save passes over these maps, but cost more
passes inside the block; 3 to 8 take equally long."""


class Plane:
    """The places of the pixels of N images in a flat row, with zeros around them that every tap may fall on.

    Each line of pixels ends with `reach` zeros, each image with `reach` lines of zeros; as many lie before the
    first image.
    """

    def __init__(self, count: int, height: int, width: int, reach: int) -> None:
        self.shape = (count, height, width)
        self.line = width + reach
        image = (height + reach) * self.line
        self.strides = (image, self.line, 1)
        self.start = self.corner(reach)
        self.end = self.start + count * image
        # Rows begin where products may read 128 bytes at once.
        self.length = -(-self.end // 32) * 32

    @property
    def measures(self) -> tuple[int, ...]:
        """Length of a row, first and last place of pixels in it, lengths of a line and an image, their shape."""
        image, line, _ = self.strides
        return self.length, self.start, self.end, line, image, *self.shape[1:]

    def corner(self, dilation: int) -> int:
        """Distance of the last tap of a filter from its centre, and of the first one before it."""
        return dilation * (self.line + 1)

    def pixels(self, rows: Tensor, shift: int = 0) -> Tensor:
        """View the pixels (C, N, H, W) of rows (C, length), or what lies `shift` after them."""
        offset = rows.storage_offset() + self.start + shift
        return rows.as_strided((len(rows), *self.shape), (rows.stride(0), *self.strides), offset)

    def gather(self, products: Tensor, dilation: int) -> Tensor:
        """Add nine rows (9, length), one a tap, each shifted by its tap: (N, H, W)."""
        # One kernel on a GPU; on a CPU nine passes over what fits the cache are three times as fast.
        return self.gather_at_once(products, dilation) if products.is_cuda else self.gather_by_tap(products, dilation)

    def gather_at_once(self, products: Tensor, dilation: int) -> Tensor:
        """Add the nine rows in one reduction."""
        taps = (3 * products.stride(0) + dilation * self.line, products.stride(0) + dilation)
        offset = products.storage_offset() + self.start - self.corner(dilation)
        return products.as_strided((3, 3, *self.shape), (*taps, *self.strides), offset).sum((0, 1))

    def gather_by_tap(self, products: Tensor, dilation: int) -> Tensor:
        """Add the nine rows one after the other."""
        shifts = [dilation * (down * self.line + right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
        first, second, *others = (self.pixels(products[tap : tap + 1], shift)[0] for tap, shift in enumerate(shifts))
        total = first + second
        for part in others:
            total += part
        return total

    def scatter(self, row: Tensor, dilation: int) -> Tensor:
        """View a row with `start` zeros at both ends as (3, 3, length), shifted by the taps, last one first."""
        offset = row.storage_offset() + self.start - self.corner(dilation)
        return row.as_strided((3, 3, self.length), (dilation * self.line, dilation, 1), offset)


class DenseLayers(Function):
    """All layers and the final 1 x 1 convolution; keeps the maps alone."""

    @staticmethod
    def forward(
        ctx: Any, image: Tensor, dilations: tuple[int, ...], head: Tensor, head_bias: Tensor, *parameters: Tensor
    ) -> Tensor:
        """Return (N, 1, H, W); `parameters` are the weights (1, C, 3, 3) of all layers, then their biases."""
        layers, inputs = len(dilations), image.shape[1]
        filters = [_by_tap(weight) for weight in parameters[:layers]]
        biases = parameters[layers:]
        plane = Plane(len(image), image.shape[2], image.shape[3], max(dilations))
        maps = image.new_zeros(inputs + layers, plane.length)
        pixels = plane.pixels(maps)
        pixels[:inputs] = image.transpose(0, 1)
        products = image.new_empty(9 * BLOCK, plane.length)
        for first in range(0, layers, BLOCK):
            known = inputs + first
            block = range(first, min(first + BLOCK, layers))
            torch.mm(
                torch.cat([filters[layer][:, :known] for layer in block]),
                maps[:known],
                out=products[: 9 * len(block)],
            )
            for place, layer in enumerate(block):
                mine = products[9 * place : 9 * place + 9]
                if place:  # the maps that the block has made itself
                    mine.addmm_(filters[layer][:, known:], maps[known : inputs + layer])
                result = plane.gather(mine, dilations[layer]).add_(biases[layer])
                torch.clamp_min(result, 0, out=pixels[inputs + layer])
        ctx.save_for_backward(maps, head, *parameters[:layers])
        ctx.plane, ctx.dilations = plane, dilations
        return plane.pixels(head.reshape(1, -1) @ maps).transpose(0, 1) + head_bias

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Go through the blocks from the last to the first; within a block from layer to layer."""
        if torch.is_grad_enabled():
            raise RuntimeError("MSDNet has no second derivatives: leave out create_graph")
        maps, head, *weights = ctx.saved_tensors
        plane, dilations = ctx.plane, ctx.dilations
        layers, inputs = len(dilations), len(maps) - len(dilations)
        filters = [_by_tap(weight).flip(0) for weight in weights]  # as `scatter` orders the taps
        grad_weights: list[Tensor] = [head] * layers
        grad_biases: list[Tensor] = [head] * layers
        output = maps.new_zeros(1, plane.length)
        plane.pixels(output)[0] = grad[:, 0]
        grad_head = (output @ maps.t()).reshape(head.shape)
        grad_maps = head.reshape(-1, 1) * output
        padded = maps.new_zeros(plane.length + 2 * plane.start)
        inner = padded[plane.start : plane.start + plane.length]
        shifted = maps.new_empty(9 * BLOCK, plane.length)
        for end in range(layers, 0, -BLOCK):
            block = range(end - 1, max(end - BLOCK, 0) - 1, -1)
            known = inputs + block[-1]
            for place, layer in enumerate(block):
                row = grad_maps[inputs + layer]
                if place:  # from the later layers of the block
                    later = torch.cat([filters[other][:, inputs + layer] for other in block[:place]])
                    row.addmv_(shifted[: 9 * place].t(), later)
                torch.mul(row, maps[inputs + layer] > 0, out=inner)
                grad_biases[layer] = inner.sum().reshape(1)
                shifted[9 * place : 9 * place + 9].view(3, 3, -1).copy_(plane.scatter(padded, dilations[layer]))
            mine = shifted[: 9 * len(block)]
            grad_maps[:known].addmm_(torch.cat([filters[layer][:, :known] for layer in block]).t(), mine)
            products = mine @ maps[: inputs + end - 1].t()  # (9 B, maps)
            for place, layer in enumerate(block):
                taps = products[9 * place : 9 * place + 9, : inputs + layer].flip(0)
                grad_weights[layer] = taps.reshape(1, 3, 3, -1).permute(0, 3, 1, 2)
        grad_image = plane.pixels(grad_maps[:inputs]).transpose(0, 1) if ctx.needs_input_grad[0] else None
        return grad_image, None, grad_head, grad.sum().reshape(1), *grad_weights, *grad_biases


@cache
def dense_layers(device: torch.device) -> type[Function]:
    """Return the fastest way through the layers that a device has."""
    if device.type != "cuda" or not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return DenseLayers
    try:
        from trainables import msdnet_gpu

        msdnet_gpu.check(device)
    except Exception as error:  # Triton's compiler may fail in many ways, as where there is none for C.
        log.warning("MSDNet trains more slowly than it could, without Triton: %s", one_line(error))
        return DenseLayers
    return msdnet_gpu.DenseLayers


def _by_tap(weight: Tensor) -> Tensor:
    """See a filter (1, C, 3, 3) as (9, C); no copy where it lies channels last."""
    return weight.permute(0, 2, 3, 1).reshape(9, -1)
