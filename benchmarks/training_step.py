"""The cost of a training step, part by part, as it is and as it was: hints made step by step, in single precision.

`python -m benchmarks.training_step --output benchmarks/results/training_step.md`
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from unittest import mock

import torch

from scattering import provenance
from scattering.arguments import working_shape
from scattering.detectors import detector
from scattering.files import replacing
from scattering.filling.interpolation import linear, slanted
from scattering.filling.texture import texture
from scattering.sources import simulated
from search.settings import SIMULATED, resolve
from spaces import DEFAULTS
from trainables import hints, precision
from trainables.batches import Part, WindowSet
from trainables.losses import absolute_error
from trainables.models import build
from trainables.pace import pace
from trainables.tasks import apply

CPU = torch.device("cpu")
REPEATS = 30
FRAMES = 24
"""Enough windows that a step finds none of them in the caches of the one before."""


def main() -> None:
    """Print the tables, and write them to a file where one is given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, help="write the tables to this file too")
    options = parser.parse_args()
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
        parts = alone.submit(_parts).result()
        before, after = (alone.submit(_pace, new).result() for new in (False, True))
    with ProcessPoolExecutor(2, get_context("spawn")) as both:
        pairs = [list(both.map(_pace, [new, new])) for new in (False, True)]
    text = "\n".join([*_heading(), "", *_table(parts), "", *_speeds(before, after, pairs)]) + "\n"
    print(text)
    if options.output:
        with replacing(options.output) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _windows(new: bool) -> WindowSet:
    """Windows of the quick preset, with hints or without."""
    torch.set_num_threads(1)
    quick = resolve("tunet", "x", "quick", {})
    data = simulated(detector(SIMULATED), working_shape(quick.size, (0, 0)), quick.frames, seed=0).select(
        range(FRAMES)
    )
    plain = WindowSet(data, CPU)
    return WindowSet.of(Part(data, hints.tabulate(plain)), CPU) if new else plain


def _parts() -> dict[str, tuple[float, float]]:
    """Milliseconds of each part of a step of the quick default, before and after."""
    before, after = _windows(new=False), _windows(new=True)
    network, task = build("tunet", DEFAULTS["tunet"])
    chosen = torch.arange(4) * 7
    pattern = torch.arange(4) - 1
    batch = after.batch(chosen, pattern)
    start = linear(batch.measured, batch.observed)
    inputs = torch.rand(4, task.in_channels, *start.shape[2:]).contiguous(memory_format=torch.channels_last)

    def learn(half: bool) -> None:
        with mock.patch.object(precision, "has_bfloat16", lambda device: half):
            context = precision.mixed_precision(network, CPU)
        with context:
            output = apply(network, inputs, batch.observed)
        error, pixels = absolute_error(output, batch.truth, task.scored(batch))
        (error / pixels).backward()  # type: ignore[no-untyped-call]
        network.zero_grad(set_to_none=True)

    half = precision.has_bfloat16(CPU)
    return {
        "windows cut, gaps laid (and hints looked up)": (
            _ms(lambda: before.batch(chosen, pattern)),
            _ms(lambda: after.batch(chosen, pattern)),
        ),
        "linear interpolation": (_ms(lambda: linear(batch.measured, batch.observed)), 0.0),
        "slanted interpolations": (_ms(lambda: slanted(start, batch.observed, hints.SLOPES)), 0.0),
        "local contrast": (_ms(lambda: _texture_before(start)), _ms(lambda: texture(start))),
        "network, loss and gradients": (_ms(lambda: learn(False)), _ms(lambda: learn(half))),
    }


def _texture_before(start: torch.Tensor) -> None:
    for _ in range(2):
        torch.nn.functional.avg_pool2d(start, 9, stride=1, padding=4, count_include_pad=False)


def _pace(new: bool) -> float:
    """Windows a second of a training, before or after."""
    windows = _windows(new)
    network, task = build("tunet", DEFAULTS["tunet"])
    half = new and precision.has_bfloat16(CPU)
    with mock.patch.object(precision, "has_bfloat16", lambda device: half):
        return 1 / pace(network, task, windows, windows, 4, 4).training


def _ms(work: Callable[[], object]) -> float:
    for _ in range(3):
        work()
    began = time.perf_counter()
    for _ in range(REPEATS):
        work()
    return (time.perf_counter() - began) / REPEATS * 1e3


def _heading() -> list[str]:
    versions, machine = provenance.versions(), provenance.machine()
    return [
        "# The cost of a training step",
        "",
        "- Command: `python -m benchmarks.training_step --output benchmarks/results/training_step.md`",
        f"- Date: {date.today()}. Machine: {machine['processor']}; matrix units for bfloat16: "
        f"{'yes' if precision.has_bfloat16(CPU) else 'no'}",
        f"- Versions: Python {versions['python']}, torch {versions['torch']}; commit {versions['commit']}",
        "- TUNet as the quick preset begins with it (depth 2, 16 channels), batches of 4 windows of 256 x 64",
    ]


def _table(parts: dict[str, tuple[float, float]]) -> list[str]:
    whole = tuple(sum(column) for column in zip(*parts.values(), strict=True))
    rows = [*parts.items(), ("**a step**", whole)]
    return [
        "| part, ms | before | now | |",
        "|---|---|---|---|",
        *(f"| {name} | {old:.1f} | {new:.1f} | {new / old:.2f} |" for name, (old, new) in rows),
    ]


def _speeds(before: float, after: float, pairs: list[list[float]]) -> list[str]:
    together = [sum(pair) for pair in pairs]
    return [
        "| windows a second | before | now | |",
        "|---|---|---|---|",
        f"| one training | {before:.1f} | {after:.1f} | {after / before:.2f} |",
        f"| two at once, together | {together[0]:.1f} | {together[1]:.1f} | {together[1] / together[0]:.2f} |",
    ]


if __name__ == "__main__":
    main()
