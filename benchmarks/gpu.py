"""Trainings on a GPU: milliseconds of a step, recorded and as it is, what the kernels take, memory; beside dlsia's.

`python -m benchmarks.gpu --output benchmarks/results/gpu.md`, in some two minutes; dlsia where it is installed.
`--device cpu --tiny` tries the script itself out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from scattering import provenance
from scattering.detectors import detector
from scattering.errors import InputError
from scattering.files import replacing
from scattering.filling.rings import Rings, beside
from scattering.sources import simulated
from trainables import hints, msdnet, rings
from trainables.batches import Part, WindowSet
from trainables.devices import with_index
from trainables.losses import absolute_error
from trainables.models import Config, build
from trainables.precision import mixed_precision
from trainables.training import Course, Training

ROUNDS = 3
"""Times that each is measured, in turns."""


class Case(NamedTuple):
    """A network to train."""

    network: str
    shape: Config
    posed: Config
    batch_size: int

    @property
    def config(self) -> Config:
        """Its configuration."""
        return {**self.shape, **self.posed, "batch_size": self.batch_size, "learning_rate": 1e-4}

    @property
    def title(self) -> str:
        """Its name in the table."""
        task = "with rings" if "geometry" in self.posed else self.posed["task"]
        return f"{self.network} {', '.join(map(str, self.shape.values()))}, {task} | {self.batch_size}"


BLIND: Config = {"task": "blind"}
RINGS: Config = {"task": "residual", "geometry": "yes"}
CASES = (
    Case("tunet", {"depth": 2, "base_channels": 16, "growth_rate": 2.0}, RINGS, 4),  # the first trial of a search
    Case("tunet", {"depth": 4, "base_channels": 32, "growth_rate": 2.0}, BLIND, 24),
    Case("tunet", {"depth": 4, "base_channels": 32, "growth_rate": 2.0}, RINGS, 24),
    Case("pconv", {"depth": 5, "base_channels": 32}, RINGS, 24),
    Case("autoencoder", {"depth": 2, "base_channels": 32, "latent_dimension": 200}, RINGS, 24),
    Case("msdnet", {"num_layers": 20, "max_dilation": 6}, RINGS, 2),  # likewise
    Case("msdnet", {"num_layers": 100, "max_dilation": 10}, BLIND, 6),
    Case("msdnet", {"num_layers": 200, "max_dilation": 15}, BLIND, 6),
)
LARGE = CASES[-1]


def main() -> None:
    """Print the tables, and write them to a file where one is given."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, help="write the tables to this file too")
    parser.add_argument("--device", type=lambda name: with_index(torch.device(name)), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small frames and networks")
    options = parser.parse_args()
    text = ""
    for line in report(options.device, tiny=options.tiny):
        print(line, flush=True)
        text += line + "\n"
        if options.output:
            with replacing(options.output) as temporary:
                temporary.write_text(text, encoding="utf-8")


def report(device: torch.device, *, tiny: bool) -> Iterator[str]:
    """Measure everything, in Markdown, line by line."""
    torch.set_float32_matmul_precision("high")  # as `trainables.trial.prepare` does
    torch.backends.cudnn.deterministic = True
    yield from _heading(device)
    data = simulated(detector("Pilatus2M"), (64, 64) if tiny else (512, 512), 6 if tiny else 10, seed=0)
    part = Part(data, hints.tabulate(WindowSet(data, torch.device("cpu"))), rings.tabulate(data))
    cases = [_small(case) for case in CASES] if tiny else CASES
    yield from (
        "",
        "A step as `fit` takes it: windows drawn, gaps laid, forward, backward, Adam.",
        "",
        "| network | windows | recorded, ms | as it is, ms | kernels, ms | kernels | memory, MB |",
        "|---|---|---|---|---|---|---|",
    )
    for case in cases:
        yield from _row(lambda case=case: _steps(case, part, device), case.title)  # type: ignore[misc]
    large = cases[-1]
    yield from ("", f"Ways through the dense layers: {large.title.replace(' |', ',')} windows, step as it is.", "")
    yield from ("| way | ms | memory, MB |", "|---|---|---|")
    for title, change in _ways(device).items():
        yield from _row(lambda change=change: _way(change, large, part, device), title)  # type: ignore[misc]
    yield from ("", "Forward and backward beside dlsia's, equal weights.", "")
    yield "| network | input | ours, ms | dlsia's, ms | | ours, MB | dlsia's, MB | |"
    yield "|---|---|---|---|---|---|---|---|"
    for case in (large, cases[1]):
        yield from _row(lambda case=case: _beside(case, part, device), case.title.split(",", 1)[0])  # type: ignore[misc]
    yield from ("", "Ring estimates of a frame, ms:", "")
    yield from _row(lambda: _estimates(part, device), "x".join(map(str, data.gap.shape)))


def _heading(device: torch.device) -> list[str]:
    versions, machine = provenance.versions(), provenance.machine()
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else machine["processor"]
    return [
        "# Trainings on a GPU",
        "",
        "- Command: `python -m benchmarks.gpu --output benchmarks/results/gpu.md`",
        f"- Date: {date.today()}. Machine: {card}",
        f"- Versions: Python {versions['python']}, torch {torch.__version__}; commit {versions['commit']}",
    ]


def _small(case: Case) -> Case:
    shape = {**case.shape, "num_layers": 9} if case.network == "msdnet" else case.shape
    return case._replace(shape=shape, batch_size=2)


def _row(work: Callable[[], str], title: str) -> Iterator[str]:
    try:
        yield f"| {title} | {work()} |"
    except (RuntimeError, InputError, ImportError) as error:
        yield f"| {title} | {type(error).__name__}: {str(error).splitlines()[0][:120]} |"
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _begin(case: Case, part: Part, device: torch.device, steps: int, *, recorded: bool) -> Training:
    network, task = build(case.network, case.config)
    windows = WindowSet.of(part, device, rings=task.rings)
    course = Course(2**62, steps * case.batch_size, case.batch_size, 1e-4, "cosine", 0)
    training = Training.begin(network.to(device), task, windows, course)
    if not recorded:
        training.recorder = None
    return training


def _ms(work: Callable[[], object], times: int, device: torch.device) -> float:
    began = time.perf_counter()
    work()
    _wait(device)
    return (time.perf_counter() - began) / times * 1e3


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _steps(case: Case, part: Part, device: torch.device) -> str:
    """Measure a step, in both ways, and its kernels."""
    steps = 10
    ways = [_begin(case, part, device, steps, recorded=recorded) for recorded in (True, False)]
    for way in ways:
        way.to_next_report()
        _wait(device)
    times = [[_ms(way.to_next_report, steps, device) for way in ways] for _ in range(ROUNDS)]
    recorded, plain = (statistics.median(column) for column in zip(*times, strict=True))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    busy, kernels = _kernels(ways[1].to_next_report, device)
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return f"{recorded:.2f} | {plain:.2f} | {busy / steps:.2f} | {kernels / steps:.0f} | {memory / 1e6:.0f}"


def _kernels(work: Callable[[], object], device: torch.device) -> tuple[float, int]:
    """Return the milliseconds of all kernels, and their number."""
    if device.type != "cuda":
        return 0.0, 0
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        work()
        _wait(device)
    events = [event for event in seen.events() or () if event.device_type == torch.autograd.DeviceType.CUDA]
    return sum(event.device_time for event in events) / 1e3, len(events)


def _ways(device: torch.device) -> dict[str, dict[str, object]]:
    """Return settings of the kernels to compare."""
    if device.type != "cuda":
        return {"plain": {}}
    ways: dict[str, dict[str, object]] = {"plain": {"plain": True}}
    for block in (4, 8, 16):
        ways[f"kernels, block {block}"] = {"BLOCK": block}
    for tile in (512, 1024, 2048):
        ways[f"kernels, block 8, tile {tile}"] = {"TILE": tile}
    return ways


def _way(change: dict[str, object], case: Case, part: Part, device: torch.device) -> str:
    """Measure a step with other settings of the dense layers."""
    with ExitStack() as stack:
        if change.get("plain"):
            stack.enter_context(mock.patch.object(msdnet, "dense_layers", lambda device: msdnet.DenseLayers))
        elif change:
            from trainables import msdnet_gpu

            for name, value in change.items():
                stack.enter_context(mock.patch.object(msdnet_gpu, name, value))
        found = []
        for recorded in (False, True):
            training = _begin(case, part, device, 5, recorded=recorded)
            training.to_next_report()
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            found.append(min(_ms(training.to_next_report, 5, device) for _ in range(ROUNDS)))
            if not recorded:
                memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return f"{found[0]:.2f}, recorded {found[1]:.2f} | {memory / 1e6:.0f}"


def _beside(case: Case, part: Part, device: torch.device) -> str:
    """Measure forward and backward of a network, and of dlsia's of the same shape."""
    from benchmarks.throughput import theirs

    height, width = part.data.windows.frame_shape[0], part.data.windows.width
    image = torch.rand(case.batch_size, 1, height, width, device=device)
    ours, _ = build(case.network, case.config)
    extra = {"normalization": None} if case.network == "msdnet" else {}
    peers: list[nn.Module] = [ours.to(device), theirs(case.network, {**case.shape, **extra}, image.shape).to(device)]
    measured = []
    for network in peers:
        precision = mixed_precision(network, device)

        def work(network: nn.Module = network, precision: object = precision) -> None:
            network.zero_grad(set_to_none=True)
            with precision:  # type: ignore[attr-defined]
                output = network(image)
            error, pixels = absolute_error(output, image, torch.ones_like(image, dtype=torch.bool))
            (error / pixels).backward()  # type: ignore[no-untyped-call]

        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
        took = [_ms(work, 1, device) for _ in range(5)]
        memory = torch.cuda.max_memory_allocated(device) - before if device.type == "cuda" else 1
        measured.append((statistics.median(took), memory))
    (mine, own), (other, taken) = measured
    return (
        f"{' x '.join(map(str, image.shape))} | {mine:.1f} | {other:.1f} | {other / mine:.1f} | {own / 1e6:.0f} | "
        f"{taken / 1e6:.0f} | {taken / own:.1f}"
    )


def _estimates(part: Part, device: torch.device) -> str:
    calibration = part.data.calibrations[0]
    assert calibration is not None
    values, seen = (torch.from_numpy(array[0]).to(device) for array in (part.data.measured, part.data.observed))
    wanted = beside(seen)
    made = Rings(calibration, wanted)
    made.estimate(values, seen)
    _wait(device)
    setup = min(_ms(lambda: Rings(calibration, wanted), 1, device) for _ in range(5))
    return f"{setup:.1f} to prepare, {min(_ms(lambda: made.estimate(values, seen), 1, device) for _ in range(5)):.1f}"


if __name__ == "__main__":
    main()
