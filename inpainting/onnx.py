"""Prediction of whole frames as one ONNX graph, which programs without PyTorch run.

ONNX has no running maximum, no loop that ends early, no autograd function: their twins are here, of the same
results.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inpainting.filler import FrameFiller
from scattering.errors import InputError, one_line
from scattering.filling.interpolation import PASSES, linear_pass
from trainables.hints import SLOPES
from trainables.msdnet import MSDNet
from trainables.tasks import RING_INPUTS, TASKS, Task, correct, predict_blind

INPUTS = ("measured", "observed")
OUTPUTS = ("filled", "spread")

OPSET = 20
"""Of ONNX operators, of 2023: ONNX Runtime knows it from 1.17 on."""


NEEDED = ("onnx", "onnxruntime", "onnxscript")


def require() -> None:
    """Raise InputError without what writes and runs ONNX files."""
    try:
        for name in NEEDED:
            import_module(name)
    except ImportError as error:
        raise InputError(
            f"ONNX files need {', '.join(NEEDED)}, which cannot be imported ({one_line(error)}): install them with "
            "pip install -e '.[onnx]'"
        ) from None


class OnnxWindowFiller(nn.Module):
    """`inpainting.filler.WindowFiller` of operators that ONNX has, for frames of unknown geometry."""

    def __init__(self, network: nn.Module, task: Task) -> None:
        super().__init__()
        self.network, self.residual = plain(network), task is not TASKS["blind"]
        self.absent = RING_INPUTS if task.rings else 0

    def forward(self, measured: Tensor, observed: Tensor) -> Tensor:
        """Return windows (N, 1, H, W) filled."""
        if self.residual:
            start = linear(measured, observed)
            slants = slanted(start, observed, SLOPES)
            predicted = correct(self.network, measured, observed, start, slants, self.absent)
        else:
            predicted = predict_blind(self.network, measured, observed)
        return torch.where(observed, measured, predicted.clamp(min=0))


def plain(network: nn.Module) -> nn.Module:
    """Return a network of operators that ONNX has, of the same function: itself, but for MSDNet."""
    return PlainMSDNet(network) if isinstance(network, MSDNet) else network


class PlainMSDNet(nn.Module):
    """MSDNet as its definition says, layer by layer."""

    def __init__(self, network: MSDNet) -> None:
        super().__init__()
        self.layers, self.head = network.layers, network.head

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, 1, H, W)."""
        maps = image
        for layer in self.layers:
            maps = torch.cat((maps, layer(maps).relu()), dim=1)
        output: Tensor = self.head(maps)
        return output


def linear(values: Tensor, observed: Tensor) -> Tensor:
    """Do as `scattering.filling.interpolation.linear`."""
    filled, known = values, observed
    for extrapolate in PASSES:
        filled, known = linear_pass(filled, known, extrapolate, neighbours)
    return torch.where(observed, values, filled)


def slanted(start: Tensor, observed: Tensor, slopes: Sequence[float]) -> Tensor:
    """Do as `scattering.filling.interpolation.slanted`; frames have two rows and columns at least."""
    down = _slanted_rows(start.transpose(-1, -2), observed.transpose(-1, -2), slopes).transpose(-1, -2)
    return down + _slanted_rows(start, observed, slopes)


def _slanted_rows(start: Tensor, observed: Tensor, slopes: Sequence[float]) -> Tensor:
    """Interpolate in all pixels, then keep the gaps: ONNX cannot index by pixels without fixing their number."""
    before, after = neighbours(observed)
    rows, columns = start.shape[-2:]
    gap = ~observed & (before >= 0) & (after < columns)
    left, right = before.clamp(min=0), after.clamp(max=columns - 1)
    row, column = torch.arange(rows, device=start.device)[:, None], torch.arange(columns, device=start.device)
    to_left, to_right = column - left, right - column
    share = to_left / (right - left).clamp(min=1)
    tilts = torch.tensor(slopes, device=start.device).view(-1, 1, 1)
    values = start.flatten(-2).expand(-1, len(slopes), -1)

    def sample(column: Tensor, rows_away: Tensor) -> Tensor:
        place = (row + rows_away).clamp(0, rows - 1)  # (N, slopes, rows, columns)
        above = place.floor().clamp(max=rows - 2).long()
        first = (above * columns + column).flatten(-2)
        upper, lower = (values.gather(-1, index).view_as(place) for index in (first, first + columns))
        return torch.lerp(upper, lower, place - above)

    between = torch.lerp(sample(left, -tilts * to_left), sample(right, tilts * to_right), share)
    return torch.where(gap, between - start, 0.0)


def neighbours(known: Tensor) -> tuple[Tensor, Tensor]:
    """Tell `scattering.filling.interpolation.Neighbours`."""
    size = known.shape[-1]
    position = torch.arange(size, device=known.device, dtype=torch.float32)
    before = _running_maximum(torch.where(known, position, -1.0), from_right=False)
    after = -_running_maximum(torch.where(known, -position, -float(size)), from_right=True)
    return before.long(), after.long()


RADIX = 8


def _running_maximum(values: Tensor, *, from_right: bool) -> Tensor:
    """Return the maximum of each row (N, 1, rows, columns) up to each place, or from it on.

    Of 8 neighbours, then of 8 such maxima side by side, and so on (Hillis and Steele 1986, doi:10.1145/7902.7903).
    """
    lowest, span = -float(values.shape[-1]), 1
    while span < values.shape[-1]:
        reach = (RADIX - 1) * span
        padded = F.pad(values, (0, reach) if from_right else (reach, 0), value=lowest)
        values = F.max_pool2d(padded, (1, RADIX), stride=1, dilation=(1, span))
        span *= RADIX
    return values


def graph(filler: FrameFiller, shape: tuple[int, int], metadata: Mapping[str, str]) -> bytes:
    """Return the contents of an ONNX file that fills frames of one shape (H, W), any number of them at once.

    Raises InputError where packages are missing, or the networks are larger than a file can be.
    """
    require()
    import onnx

    size = sum(weight.nbytes for weight in filler.state_dict().values())
    if size > LARGEST:
        raise InputError(
            f"an ONNX file holds 2 GB of weights at most, got {size / 1e9:.1f} GB: search smaller networks"
        )
    frames = torch.zeros(2, 1, *shape)  # two: of one the exporter would make a constant
    with _quiet():
        program = torch.onnx.export(
            filler,
            (frames, frames == 0),
            dynamo=True,
            opset_version=OPSET,
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamic_shapes=({0: "frames"}, {0: "frames"}),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # lines of our source, with this machine's paths
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    contents: bytes = model.SerializeToString()
    return contents


LARGEST = 2 * 10**9
"""Bytes, a little less than the 2**31 of Protocol Buffers."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what torch's exporter says of torch itself: what it deprecates, and that torchvision is missing."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
