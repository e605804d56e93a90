"""The dense layers of MSDNet on a GPU: the products of `trainables.msdnet`, and one kernel of Triton a layer.

Of some ten kernels a layer one is left. Forward it adds the nine shifted rows of the layer's products, the taps of
the maps that its block has made itself, and the bias, and clips. Backward it does the same for the gradient of the
map, and writes its nine shifted rows, which the products take.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd import Function

from trainables import msdnet as plain
from trainables.msdnet import Plane

BLOCK = 8
"""Layers that are multiplied with the maps before them at once. More save passes over these maps, but every map of
the block costs nine taps in each later one."""

TILE = 256
"""Places of a row for one program of a kernel."""

ALIGNED = 8
"""Rows of the matrix of filters begin at multiples of so many numbers: tensor cores read 32 bytes at once."""

VARIES = ["layer", "place", "inputs"]
"""Arguments that change from launch to launch: no kernel is to be compiled anew for a value of theirs."""


@triton.jit(do_not_specialize=VARIES)  # type: ignore[untyped-decorator]
def _add_taps(  # type: ignore[no-untyped-def]
    maps, products, filters, biases, dilations, layer, place, inputs,
    columns, length, start, end, line, image, height, width, tile: tl.constexpr,
):  # fmt: skip
    """Make the map of a layer, the `place`-th of its block."""
    at = tl.program_id(0) * tile + tl.arange(0, tile)
    pixel = start + at
    inside = (pixel < end) & (at % image // line < height) & (at % line < width)
    dilation = tl.load(dilations + layer)
    total = tl.zeros((tile,), tl.float32) + tl.load(biases + layer)
    for tap in tl.static_range(9):
        shift = dilation * ((tap // 3 - 1) * line + tap % 3 - 1)
        row = products + (9 * place + tap).to(tl.int64) * length
        total += tl.load(row + pixel + shift, mask=inside, other=0.0)
    for own in range(place):
        known = inputs + layer - place + own
        row = maps + known.to(tl.int64) * length
        for tap in tl.static_range(9):
            shift = dilation * ((tap // 3 - 1) * line + tap % 3 - 1)
            weight = tl.load(filters + (9 * layer + tap) * columns + known)
            total += weight * tl.load(row + pixel + shift, mask=inside, other=0.0)
    tl.store(maps + (inputs + layer).to(tl.int64) * length + pixel, tl.maximum(total, 0.0), mask=inside)


@triton.jit(do_not_specialize=[*VARIES, "later"])  # type: ignore[untyped-decorator]
def _shift_gradient(  # type: ignore[no-untyped-def]
    maps, grads, shifted, filters, dilations, layer, place, later, inputs,
    columns, length, start, end, line, image, height, width, tile: tl.constexpr,
):  # fmt: skip
    """Finish the gradient before a layer's ReLU, from `later` layers of its block, and write its shifted rows."""
    dilation = tl.load(dilations + layer)
    # Beyond both ends of a row, too: zeros are shifted into it from there.
    pixel = tl.program_id(0) * tile + tl.arange(0, tile) - dilation * (line + 1)
    at = pixel - start
    inside = (at >= 0) & (pixel < end) & (at % image // line < height) & (at % line < width)
    own = grads + (inputs + layer).to(tl.int64) * length
    total = tl.load(own + pixel, mask=inside, other=0.0)
    for number in range(later):
        other = layer + 1 + number
        far = tl.load(dilations + other)
        row = grads + (inputs + other).to(tl.int64) * length
        for tap in tl.static_range(9):
            shift = far * ((tap // 3 - 1) * line + tap % 3 - 1)
            weight = tl.load(filters + (9 * other + tap) * columns + inputs + layer)
            total += weight * tl.load(row + pixel - shift, mask=inside, other=0.0)
    active = tl.load(maps + (inputs + layer).to(tl.int64) * length + pixel, mask=inside, other=0.0) > 0
    total = tl.where(active, total, 0.0)
    tl.store(own + pixel, total, mask=(pixel >= 0) & (pixel < length))
    for tap in tl.static_range(9):
        place_of_tap = pixel + dilation * ((tap // 3 - 1) * line + tap % 3 - 1)
        row = shifted + (9 * place + tap).to(tl.int64) * length
        tl.store(row + place_of_tap, total, mask=(place_of_tap >= 0) & (place_of_tap < length))


class DenseLayers(Function):
    """All layers and the final 1 x 1 convolution, as `trainables.msdnet.DenseLayers`."""

    @staticmethod
    def forward(
        ctx: Any, image: Tensor, dilations: tuple[int, ...], head: Tensor, head_bias: Tensor, *parameters: Tensor
    ) -> Tensor:
        """Return (N, 1, H, W); `parameters` are the weights (1, C, 3, 3) of all layers, then their biases."""
        layers, inputs = len(dilations), image.shape[1]
        table = _Table.of(inputs, dilations, image.device)
        filters, biases = table.filters(parameters[:layers]), torch.cat(parameters[layers:])
        plane = Plane(len(image), image.shape[2], image.shape[3], max(dilations))
        maps = image.new_zeros(inputs + layers, plane.length)
        plane.pixels(maps)[:inputs] = image.transpose(0, 1)
        products = image.new_empty(9 * BLOCK, plane.length)
        grid = (triton.cdiv(plane.end - plane.start, TILE),)
        for first in range(0, layers, BLOCK):
            known, end = inputs + first, min(first + BLOCK, layers)
            torch.mm(filters[9 * first : 9 * end, :known], maps[:known], out=products[: 9 * (end - first)])
            with torch.cuda.device_of(image):  # type: ignore[no-untyped-call]
                # Kernels of Triton run on the current GPU; backward it is that of the tensors.
                for layer in range(first, end):
                    _add_taps[grid](
                        maps, products, filters, biases, table.dilations, layer, layer - first, inputs,
                        filters.shape[1], *plane.measures, tile=TILE,
                    )  # fmt: skip
        ctx.save_for_backward(maps, filters, head)
        ctx.plane, ctx.table = plane, table
        return plane.pixels(head.reshape(1, -1) @ maps).transpose(0, 1) + head_bias

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Go through the blocks from the last to the first; within a block from layer to layer."""
        if torch.is_grad_enabled():
            raise RuntimeError("MSDNet has no second derivatives: leave out create_graph")
        maps, filters, head = ctx.saved_tensors
        plane, table = ctx.plane, ctx.table
        layers, inputs = len(table.dilations), table.inputs
        output = maps.new_zeros(1, plane.length)
        plane.pixels(output)[0] = grad[:, 0]
        grad_head = (output @ maps.t()).reshape(head.shape)
        grads = head.reshape(-1, 1) * output
        shifted = maps.new_empty(9 * BLOCK, plane.length)
        grad_filters = torch.zeros_like(filters)
        # Rows with what may be shifted into them from both ends.
        grid = (triton.cdiv(plane.length + 2 * plane.start, TILE),)
        for first in reversed(range(0, layers, BLOCK)):
            end = min(first + BLOCK, layers)
            for layer in reversed(range(first, end)):
                _shift_gradient[grid](
                    maps, grads, shifted, filters, table.dilations, layer, layer - first, end - 1 - layer, inputs,
                    filters.shape[1], *plane.measures, tile=TILE,
                )  # fmt: skip
            rows, mine = slice(9 * first, 9 * end), shifted[: 9 * (end - first)]
            known = inputs + first
            grads[:known].addmm_(filters[rows, :known].t(), mine)
            seen = inputs + end - 1
            torch.mm(mine, maps[:seen].t(), out=grad_filters[rows, :seen])
        grad_image = plane.pixels(grads[:inputs]).transpose(0, 1) if ctx.needs_input_grad[0] else None
        grad_biases = grads[inputs:].sum(1, keepdim=True)
        return (
            grad_image, None, grad_head, grad.sum().reshape(1), *table.weights(grad_filters), *grad_biases.unbind(),
        )  # fmt: skip


def check(device: torch.device) -> None:
    """Raise an error where the kernels cannot be compiled, or give other numbers than the plain way."""
    layers, inputs = BLOCK + 2, 2
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, inputs, 9, 7), (1, inputs + layers, 1, 1), (1,)]
    shapes += [(1, inputs + layer, 3, 3) for layer in range(layers)] + [(1,)] * layers
    given = [(0.3 * torch.randn(shape, generator=generator)).to(device).requires_grad_() for shape in shapes]
    dilations = tuple(layer % 3 + 1 for layer in range(layers))
    before = torch.get_float32_matmul_precision()
    # Products in TF32 have ten bits, and the two ways multiply in other blocks.
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.enable_grad():
            found = []
            for way in (DenseLayers, plain.DenseLayers):
                output = way.apply(given[0], dilations, *given[1:])  # type: ignore[no-untyped-call]
                found.append([output, *torch.autograd.grad(output.square().sum(), given)])
    finally:
        torch.set_float32_matmul_precision(before)
    for mine, expected in zip(*found, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-3, atol=1e-3 * float(expected.detach().abs().max()))


class _Table:
    """The places of the weights of all layers in one matrix: nine rows a layer, one a tap, and a column a map."""

    def __init__(self, inputs: int, dilations: tuple[int, ...], device: torch.device) -> None:
        self.inputs = inputs
        self.dilations = torch.tensor(dilations, dtype=torch.int32, device=device)
        self.channels = [inputs + layer for layer in range(len(dilations))]
        self.columns = -(-(inputs + len(dilations)) // ALIGNED) * ALIGNED
        places = [
            (9 * layer + torch.arange(9)[:, None]) * self.columns + torch.arange(channels)
            for layer, channels in enumerate(self.channels)
        ]
        self.places = torch.cat([place.flatten() for place in places]).to(device)

    @staticmethod
    @lru_cache(maxsize=8)
    def of(inputs: int, dilations: tuple[int, ...], device: torch.device) -> _Table:
        """Return the table of a network, made once: nothing is copied to the GPU within a step."""
        return _Table(inputs, dilations, device)

    def filters(self, weights: tuple[Tensor, ...]) -> Tensor:
        """Lay the weights (1, C, 3, 3) of all layers into their matrix."""
        filters = weights[0].new_zeros(9 * len(weights) * self.columns)
        filters[self.places] = torch.cat([weight.permute(0, 2, 3, 1).flatten() for weight in weights])
        return filters.view(-1, self.columns)

    def weights(self, filters: Tensor) -> list[Tensor]:
        """Cut them out of it."""
        parts = torch.split(filters.view(-1)[self.places], [9 * channels for channels in self.channels])
        return [part.view(1, 3, 3, -1).permute(0, 3, 1, 2) for part in parts]
