"""Write a model in the formats of other programs: `python -m search.export RUN -o model.onnx`.

`.onnx` is the whole prediction of frames, for programs without PyTorch, such as those that read a detector out; `.pt`
are networks alone, as pyMSDtorch (dlsia) saves its own. docs/model_file.md tells how they are used.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from inpainting import model_file, onnx
from inpainting.filler import FrameFiller, WindowFiller, spans
from inpainting.model_file import ModelFile
from scattering.arguments import Parser, command, output_file, program
from scattering.arrays import Bools
from scattering.errors import InputError
from scattering.files import replacing
from scattering.outputs import add_overwrite, check_output, nothing_is_own
from trainables import checkpoints, pymsdtorch
from trainables.tasks import Task

FORMAT = "gapsearch onnx 1"

TOLERANCE = 1e-4
"""Intensity by which a fill of the graph may differ from the model's: a fiftieth of what good fills err by."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write files; returns the exit code."""
    return command(lambda: _run(parser().parse_args(arguments)))


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(prog=program("export", "search.export"), description=__doc__)
    p.add_argument("model", type=Path, metavar="RUN_OR_MODEL", help="folder of a run, as runs/NAME, or a model file")
    p.add_argument(
        "-o", "--output", type=output_file, required=True, metavar="FILE",
        help="file to write, .onnx or .pt; as .pt every network of an ensemble has its own: model-0.pt, ...",
    )  # fmt: skip
    add_overwrite(p)
    return p


def _run(given: argparse.Namespace) -> None:
    suffix = given.output.suffix.lower()
    if suffix not in (".onnx", ".pt"):
        raise InputError(f"-o must end with .onnx or .pt, got {given.output}")
    check_output(given.output, nothing_is_own, overwrite=given.overwrite)
    model = model_file.read(given.model)
    if suffix == ".onnx":
        difference = write_onnx(given.output, model)
        print(f"{given.output}: {model.description.title}, {_frames(model)}, within {difference:.1g} of the model")
    else:
        for path, member in zip(write_checkpoints(given.output, model), model.description.members, strict=True):
            print(f"{path}: {member.network}, task {member.config['task']}")


def _frames(model: ModelFile) -> str:
    rows, columns = model.description.working
    return f"frames of {rows} x {columns} pixels"


def frame_filler(model: ModelFile, member: Callable[[nn.Module, Task], nn.Module] = WindowFiller) -> FrameFiller:
    """Return the filler of whole frames on the working grid, its members made by `member`."""
    members = [member(network, task) for network, task in model.members]
    return FrameFiller(members, spans(model.layout, model.gap.shape[1]))


def write_onnx(path: Path, model: ModelFile) -> float:
    """Write the prediction as ONNX; returns the largest difference to the model, in intensity, on a frame of noise.

    Raises InputError where packages are missing, or the model is too large.
    """
    metadata = {"format": FORMAT, "description": json.dumps(dataclasses.asdict(model.description))}
    contents = onnx.graph(frame_filler(model, onnx.OnnxWindowFiller), model.description.working, metadata)
    difference = _difference(contents, frame_filler(model), model.gap)
    if not difference <= TOLERANCE:
        raise RuntimeError(f"the ONNX graph differs from the model by {difference:.1g}")
    with replacing(path) as temporary:
        temporary.write_bytes(contents)
    return difference


def _difference(contents: bytes, filler: FrameFiller, gap: Bools) -> float:
    """Run both on a frame of noise, with the detector's gaps and a hole."""
    import onnxruntime

    generator = torch.Generator().manual_seed(0)
    measured = 0.5 * torch.rand(1, 1, *gap.shape, generator=generator)
    observed = torch.from_numpy(~gap)[None, None]
    observed[..., :40, :40] = False
    inputs = dict(zip(onnx.INPUTS, (measured.numpy(), observed.numpy()), strict=True))
    given = onnxruntime.InferenceSession(contents, providers=["CPUExecutionProvider"]).run(onnx.OUTPUTS, inputs)
    with torch.no_grad():
        expected = filler(measured, observed)
    return max(float(np.abs(one - other.numpy()).max()) for one, other in zip(given, expected, strict=True))


def write_checkpoints(path: Path, model: ModelFile) -> list[Path]:
    """Write each network as a checkpoint of pyMSDtorch; returns their paths.

    Raises InputError, before anything is written, where one of them is none of its networks.
    """
    contents = [pymsdtorch.checkpoint(network) for network, _ in model.members]
    paths = [path]
    if len(contents) > 1:
        paths = [path.with_name(f"{path.stem}-{number}{path.suffix}") for number in range(len(contents))]
    for name, content in zip(paths, contents, strict=True):
        checkpoints.save(name, content)
    return paths


if __name__ == "__main__":
    sys.exit(main())
