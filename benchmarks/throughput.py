"""Speed and memory of the training of networks: ours, dlsia's of the same shape, and the machine's limits.

`.venv-pymsdtorch/bin/python -m benchmarks.throughput --output benchmarks/results/throughput.md`

`make test` sets up .venv-pymsdtorch. On the CPU in about ten minutes, then on a GPU where there is one; Linux.
Every measurement is made in a process of its own. The two sides take turns, so that a slow phase of the machine
meets both.

Kernel: forward and backward of MSDNet, same weights; outputs and gradients are compared. Training: `fit` on a
WindowSet beside dlsia's `train_regression` as its tutorials call it (DataLoader over prepared windows, L1, Adam).
All else is equal, so that a difference in quality is one of the code: windows and their order, initial weights, loss,
batch size, learning rates, epochs, and a validation after each of them, which is within the time.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack
from datetime import date
from functools import cache
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TypeVar

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as `search.run` sets it: two sides wait on the same cores

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Sampler, TensorDataset

from scattering.dataset import Dataset
from scattering.detectors import detector
from scattering.errors import InputError
from scattering.files import replacing
from scattering.sources import simulated
from trainables.batches import Batch, WindowSet
from trainables.losses import absolute_error
from trainables.models import TRAINING_KEYS, Config, build
from trainables.msdnet import MSDNet
from trainables.precision import mixed_precision
from trainables.pymsdtorch import copy_weights, dlsia_needed, names
from trainables.tasks import TASKS
from trainables.training import Course, fit, validate

T = TypeVar("T")
Shape = tuple[int, int, int, int]
Settings = dict[str, int | float | str | None]

OURS = "gapsearch"
MEGABYTE = 1e6


class Kernel(NamedTuple):
    """An MSDNet and its input (N, 1, H, W)."""

    num_layers: int
    max_dilation: int
    shape: Shape


class Case(NamedTuple):
    """A network to train, and dlsia's beside it."""

    network: str
    config: Config
    equal: Config
    """What ours is set to for the first peer to be the same function; it then starts from the peer's weights."""
    peers: dict[str, Settings]
    """Settings of dlsia's network beyond the shared ones, by what the table calls it."""


class Plan(NamedTuple):
    """The measurements on a kind of device."""

    kernels: tuple[Kernel, ...]
    steps: int
    """Forward and backward passes timed at once."""
    repeats: int
    size: int
    """Frames are size x size pixels."""
    frames: tuple[int, int]
    """For training and for validation."""
    epochs: int
    """A multiple of three, for dlsia's schedule can change the learning rate between epochs only."""
    seeds: int
    cases: tuple[Case, ...]


def cases(batch_size: int, learning_rate: float, networks: dict[str, Config]) -> tuple[Case, ...]:
    """Return every network, blind; TUNet and MSDNet beside dlsia's."""
    training: Config = {"task": "blind", "batch_size": batch_size, "learning_rate": learning_rate}
    peers: dict[str, tuple[Config, dict[str, Settings]]] = {
        "tunet": ({"up_kernel": 2, "normalization": "batch"}, {"dlsia": {}}),
        "msdnet": ({}, {"dlsia, normalization=None": {"normalization": None}, "dlsia, its default": {}}),
    }
    return tuple(Case(name, training | config, *peers.get(name, ({}, {}))) for name, config in networks.items())


PLANS = {
    "cpu": Plan(
        kernels=(Kernel(100, 10, (2, 1, 256, 128)), Kernel(200, 15, (2, 1, 256, 128))),
        steps=1, repeats=3, size=256, frames=(20, 8), epochs=6, seeds=3,
        cases=cases(4, 5e-3, {
            "tunet": {"depth": 4, "base_channels": 16, "growth_rate": 2.0},
            "msdnet": {"num_layers": 20, "max_dilation": 6},
            "autoencoder": {"depth": 1, "base_channels": 16, "latent_dimension": 64},
            "pconv": {"depth": 2, "base_channels": 24},
        }),
    ),
    "cuda": Plan(
        kernels=tuple(
            Kernel(layers, dilation, (batch, 1, 512, 128)) for layers, dilation in ((100, 10), (200, 15))
            for batch in (6, 30)
        ),
        steps=3, repeats=5, size=512, frames=(256, 64), epochs=6, seeds=3,
        cases=cases(24, 2e-3, {
            "tunet": {"depth": 4, "base_channels": 32, "growth_rate": 2.0},
            "msdnet": {"num_layers": 50, "max_dilation": 12},
            "autoencoder": {"depth": 2, "base_channels": 32, "latent_dimension": 200},
            "pconv": {"depth": 5, "base_channels": 32},
        }),
    ),
}  # fmt: skip

TOLERANCE = {"cpu": 1e-4, "cuda": 1e-2}
"""Largest difference between equal networks, relative to the largest value: they sum in another order, and on GPUs
PyTorch's convolutions round to TF32, ten bits."""


def main(argv: list[str] | None = None) -> int:
    """Measure and print; 2 without dlsia."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write what is printed to this file too")
    output = parser.parse_args(argv).output
    lines = []
    try:
        for line in report(PLANS):
            print(line, flush=True)
            lines.append(line)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if output:
        with replacing(output) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def report(plans: dict[str, Plan]) -> Iterator[str]:
    """Measure on every device there is, in Markdown, line by line."""
    with dlsia_needed():
        import dlsia  # noqa: F401
    yield from heading()
    for device, plan in plans.items():
        if device == "cpu" or torch.cuda.is_available():
            frames = simulated(detector("Pilatus2M"), (plan.size, plan.size), sum(plan.frames), seed=0)
            yield from ["", f"## {'CPU' if device == 'cpu' else torch.cuda.get_device_name()}", "", LIMITS]
            yield from kernel_table(plan, device)
            yield from training_table(plan, device, frames)


def heading() -> list[str]:
    """Return what was run, when, on what."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=Path(__file__).parent, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    processors = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    }
    return [
        "# Throughput of training, beside dlsia",
        "",
        "- Command: `python -m benchmarks.throughput --output benchmarks/results/throughput.md`",
        f"- Date: {date.today()}. Machine: {', '.join(processors)}, {torch.get_num_threads()} threads",
        f"- Versions: Python {platform.python_version()}, torch {torch.__version__}, dlsia {version('dlsia')}, "
        f"gapsearch {commit}",
    ]


# --- processes, time and memory


def process() -> Executor:
    """Start a process that has run nothing yet."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def timed(work: Callable[[], object], device: str, calls: int = 1) -> float:
    """Return the seconds that a call takes, one of several in a row."""
    started = time.perf_counter()
    for _ in range(calls):
        work()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / calls


def peak_growth(work: Callable[[], T], device: str) -> tuple[T, int]:
    """Return what a call returns, and how many bytes more than before it were in use at its peak."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = work()
        return result, torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins here: man 5 proc
    before = resident("VmRSS")
    result = work()
    return result, resident("VmHWM") - before


def resident(key: str) -> int:
    """Return memory of this process, bytes: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


# --- what the machine allows, and what a network asks for


LIMITS = (
    "Of the limit: the least time that the convolutions need by arithmetic (GFLOP/s of a matrix product, in bfloat16 "
    "where ours trains in it) or by memory (GB/s of a copy), over the time taken; limits are measured beside each "
    "network, for a machine's speed drifts."
)


class Cost(NamedTuple):
    """Of one forward and backward pass."""

    operations: float
    """Multiplications and additions of the convolutions, twice as many backward as forward."""
    values: float
    """Least traffic: every map written once and read once in each of three passes (forward, data, weights)."""


class Limits(NamedTuple):
    """The limits that the device reached in this run; operations and bytes per second."""

    arithmetic: dict[torch.dtype, float]
    """Of a large matrix product."""
    bandwidth: float
    """Of a large copy, read and written."""

    def share(self, cost: Cost, seconds: float, dtype: torch.dtype) -> str:
        """Return how much of the limit that is met first a network reaches: '23 % of 300 GFLOP/s'."""
        arithmetic = cost.operations / self.arithmetic[dtype]
        memory = cost.values * dtype.itemsize / self.bandwidth
        rate, unit = (self.arithmetic[dtype], "GFLOP/s") if arithmetic > memory else (self.bandwidth, "GB/s")
        return f"{100 * max(arithmetic, memory) / seconds:.2g} % of {rate / 1e9:.0f} {unit}"


def limits_beside(device: str) -> Limits:
    """Measure a device in a process of its own."""
    with process() as pool:
        return pool.submit(limits_of, device).result()


def limits_of(device: str) -> Limits:
    """Measure a device."""
    size, copied = (4096, 2**26) if device == "cpu" else (8192, 2**30)
    arithmetic = {}
    for dtype in (torch.float32,) if device == "cpu" else (torch.float32, torch.bfloat16):
        left, right = torch.rand(2, size, size, device=device).to(dtype)
        product = torch.empty_like(left)
        seconds = min(timed(lambda: torch.mm(left, right, out=product), device) for _ in range(5))  # noqa: B023
        arithmetic[dtype] = 2 * size**3 / seconds
    source = torch.rand(copied, device=device)
    copy = torch.empty_like(source)
    return Limits(arithmetic, 2 * source.nbytes / min(timed(lambda: copy.copy_(source), device) for _ in range(5)))


def cost(network: nn.Module, *inputs: Tensor) -> Cost:
    """Count from the shapes of a forward pass."""
    operations, maps = 0.0, 0.0

    def count(module: nn.Conv2d | nn.ConvTranspose2d, given: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal operations, maps
        # Every weight is used once for each pixel of the coarser side.
        pixels = given[0][:, 0] if isinstance(module, nn.ConvTranspose2d) else output[:, 0]
        operations += 2 * module.weight.numel() * pixels.numel()
        maps += output.numel()

    if isinstance(network, MSDNet):  # its convolutions are never called
        pixels = inputs[0][:, 0].numel()
        layers = (*network.layers, network.head)
        operations = 2.0 * pixels * sum(layer.weight.numel() for layer in layers)
        maps = pixels * len(layers)
    else:
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.register_forward_hook(count)
        network(*inputs)
    return Cost(3 * operations, 6 * maps)


# --- kernel


def kernel_table(plan: Plan, device: str) -> Iterator[str]:
    """Measure forward and backward of MSDNet."""
    yield from (
        "",
        f"Forward and backward of MSDNet, normalization=None. Seconds: median of {plan.repeats} (least–most). "
        "Ratios: dlsia's over ours, for time over pairs. Differences: from ours, relative to the largest value.",
        "",
        "| layers, max dilation | input | | s | MB | of the limit | time ratio | memory ratio | output differs | "
        "gradients differ |",
        "|---|---|---|---|---|---|---|---|---|---|",
    )
    for kernel in plan.kernels:
        yield from kernel_rows(kernel, plan, device)


def kernel_rows(kernel: Kernel, plan: Plan, device: str) -> Iterator[str]:
    """Measure one network in two processes that take turns."""
    with ExitStack() as stack:
        pools = {side: stack.enter_context(process()) for side in (OURS, "dlsia")}
        memory, results = {}, {}
        for side, pool in pools.items():
            try:
                results[side], memory[side] = pool.submit(first_pass, side, kernel, device).result()
            except torch.OutOfMemoryError:
                pool.shutdown()  # what it holds would be missing from the other
        seconds: dict[str, list[float]] = {side: [] for side in results}
        for _ in range(plan.repeats):
            for side, taken in seconds.items():
                taken.append(pools[side].submit(passes, side, kernel, device, plan.steps).result())
    limits = limits_beside(device)
    needed = cost(MSDNet(num_layers=kernel.num_layers, max_dilation=kernel.max_dilation), torch.empty(kernel.shape))
    title = [f"{kernel.num_layers}, {kernel.max_dilation}", " x ".join(str(length) for length in kernel.shape)]
    for side in pools:
        if side not in results:
            yield row(*title, side, "out of memory", *[""] * 6)
            continue
        cells = [
            spread(seconds[side], ".3f"),
            f"{memory[side] / MEGABYTE:.0f}",
            limits.share(needed, statistics.median(seconds[side]), torch.float32),
        ]
        if side != OURS:
            differences = check(results[OURS], results[side], device)
            cells += [
                spread(quotients(seconds[side], seconds[OURS]), ".1f"),
                f"{memory[side] / memory[OURS]:.1f}",
                *(f"{difference:.0e}" for difference in differences),
            ]
        yield row(*title, side, *cells, *[""] * (7 - len(cells)))


@cache
def prepared(side: str, kernel: Kernel, device: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Make a network, its input, and what its output is weighted with for the backward pass."""
    torch.manual_seed(0)
    image, weights = torch.rand(2, *kernel.shape)
    settings: Settings = {"num_layers": kernel.num_layers, "max_dilation": kernel.max_dilation}
    network = theirs("msdnet", {**settings, "normalization": None}, kernel.shape)
    if side == OURS:
        other, network = network, MSDNet(num_layers=kernel.num_layers, max_dilation=kernel.max_dilation)
        copy_weights(network, other.state_dict())
    return network.to(device), image.to(device), weights.to(device)


def first_pass(side: str, kernel: Kernel, device: str) -> tuple[tuple[Tensor, Tensor], int]:
    """Return (output, gradients of all weights in one row), and the memory taken for them, bytes."""
    network, image, weights = prepared(side, kernel, device)
    output, memory = peak_growth(lambda: forward_backward(network, image, weights), device)
    named = names(network) if isinstance(network, MSDNet) else {}  # as dlsia does
    gradients = {named.get(name, name): parameter.grad for name, parameter in network.named_parameters()}
    return (output.cpu(), torch.cat([gradients[name].flatten() for name in sorted(gradients)]).cpu()), memory


def passes(side: str, kernel: Kernel, device: str, steps: int) -> float:
    """Return seconds for one forward and backward pass."""
    network, image, weights = prepared(side, kernel, device)
    return timed(lambda: forward_backward(network, image, weights), device, steps)


def forward_backward(network: nn.Module, image: Tensor, weights: Tensor) -> Tensor:
    """Return the output; gradients are left in the parameters."""
    network.zero_grad(set_to_none=True)
    output: Tensor = network(image)
    (output * weights).mean().backward()
    return output.detach()


def check(ours: Iterable[Tensor], others: Iterable[Tensor], device: str) -> list[float]:
    """Return largest differences, relative to the largest value; ArithmeticError where networks are not equal."""
    pairs = zip(ours, others, strict=True)
    differences = [((our - other).abs().max() / other.abs().max()).item() for our, other in pairs]
    if not max(differences) <= TOLERANCE[device]:
        raise ArithmeticError(f"equal networks must differ by at most {TOLERANCE[device]}, got {differences}")
    return differences


# --- training


class Trained(NamedTuple):
    """One training."""

    rate: float
    """Training windows per second, from the end of the first epoch to that of the last."""
    gap_l1: float
    memory: int


class PreparedWindows(WindowSet):
    """Windows whose artificial gaps were drawn once, as a DataLoader over prepared windows has them."""

    def __init__(self, data: Dataset, device: torch.device) -> None:
        super().__init__(data, device)
        self.drawn = self.random_patterns(len(self), torch.Generator().manual_seed(0))

    def batch(self, chosen: Tensor, pattern: Tensor, located: Tensor | None = None) -> Batch:
        """Cut windows, whatever the pattern asked for."""
        return super().batch(chosen, self.drawn[chosen], located)


class FitsOrder(Sampler[int]):
    """Gives windows in the order in which `fit` draws them: else two trainings differ by as much as two seeds."""

    def __init__(self, windows: int, seed: int) -> None:
        self.windows = windows
        self.epoch_seed = seed * 1_000_003

    def __iter__(self) -> Iterator[int]:
        """Draw the order of the next epoch."""
        generator = torch.Generator().manual_seed(self.epoch_seed)
        self.epoch_seed += 1
        yield from torch.randperm(self.windows, generator=generator).tolist()

    def __len__(self) -> int:
        """Number of windows."""
        return self.windows


class ValidationLoader(DataLoader[tuple[Tensor, ...]]):
    """Gives windows to a network in evaluation mode.

    dlsia's loop never leaves training mode: validation windows would enter the running statistics.
    """

    def __init__(self, windows: TensorDataset, batch_size: int, network: nn.Module) -> None:
        super().__init__(windows, batch_size)
        self.network = network

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:  # type: ignore[override]
        """Change the mode and back."""
        self.network.eval()
        yield from super().__iter__()
        self.network.train()


NO_TRUTH = -1.0
"""Target where the truth is not known; intensities are at or above 0."""


def valid_l1(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean error where the truth is known, as `fit` minimises it."""
    error, pixels = absolute_error(output, target, target != NO_TRUTH)
    return error / pixels


class Clock(StepLR):
    """Divides the learning rate by ten after each third, as `fit` does, and notes when each epoch ends."""

    def __init__(self, optimizer: torch.optim.Optimizer, epochs: int) -> None:
        self.ends: list[float] = []
        super().__init__(optimizer, epochs // 3, gamma=0.1)

    def step(self, epoch: int | None = None) -> None:
        """Note the time; the first call is that of the constructor."""
        super().step(epoch)
        self.ends.append(time.perf_counter())


def training_table(plan: Plan, device: str, frames: Dataset) -> Iterator[str]:
    """Train every network, and dlsia's beside it, with several seeds."""
    train, validation = plan.frames
    data = frames.select(range(train)), frames.select(range(train, train + validation))
    windows = len(frames.windows.free)
    height, width = frames.windows.frame_shape[0], frames.windows.width
    yield from (
        "",
        f"Training on {train * windows} windows of {height} x {width} pixels, {plan.epochs} epochs, with "
        f"{plan.seeds} seeds; validation on {validation * windows} windows. The first of dlsia's is the same "
        "function as ours, starts from the same weights and sees the same windows in the same order. Windows/s: "
        "median (least–most). Ratios at equal seeds: speed of ours over dlsia's, memory of dlsia's over ours. "
        "Validation gap L1, in evaluation mode, and its difference from ours: mean ± standard deviation over seeds.",
        "",
        *(f"- {case.network}: {described(case)}" for case in plan.cases),
        "",
        "| network | | windows/s | MB | of the limit | speed ratio | memory ratio | gap L1 (1e-3) | difference |",
        "|---|---|---|---|---|---|---|---|---|",
    )
    for case in plan.cases:
        yield from training_rows(case, plan, device, data)


def described(case: Case) -> str:
    """Return the settings of our network."""
    return ", ".join(f"{key} {value}" for key, value in (case.config | case.equal).items())


def training_rows(case: Case, plan: Plan, device: str, data: tuple[Dataset, Dataset]) -> Iterator[str]:
    """Train one network and its peers in turn, once for each seed."""
    results: dict[str, list[Trained]] = {side: [] for side in (OURS, *case.peers)}
    with ExitStack() as stack:
        pools = {side: stack.enter_context(process()) for side in results}
        for seed in range(plan.seeds):
            for side, trained in results.items():
                trained.append(pools[side].submit(train, side, case, plan.epochs, device, data, seed).result())
    limits = limits_beside(device)
    needed, dtype = training_cost(case, data, device)
    ours = results[OURS]
    for side, trained in results.items():
        rates, errors = [one.rate for one in trained], [1e3 * one.gap_l1 for one in trained]
        memory = trained[0].memory  # later ones reuse what the process has kept
        cells = [
            spread(rates, ".1f"),
            f"{memory / MEGABYTE:.0f}",
            limits.share(needed, 1 / statistics.median(rates), dtype if side == OURS else torch.float32),
        ]
        if side == OURS:
            cells += ["", "", deviation(errors), ""]
        else:
            cells += [
                spread(quotients([one.rate for one in ours], rates), ".1f"),
                f"{memory / ours[0].memory:.1f}",
                deviation(errors),
                deviation([error - 1e3 * one.gap_l1 for error, one in zip(errors, ours, strict=True)]),
            ]
        yield row(case.network, side, *cells)


def training_cost(case: Case, data: tuple[Dataset, Dataset], device: str) -> tuple[Cost, torch.dtype]:
    """Return what one window of an epoch asks for, its share of the validation included; and our precision."""
    layout = data[0].windows
    network, _ = build(case.network, case.config | case.equal)
    window = torch.ones(1, 1, layout.frame_shape[0], layout.width)
    needed = cost(network, *((window, window > 0) if case.network == "pconv" else (window,)))
    validated = 1 + len(data[1]) / len(data[0]) / 3  # forward only
    with mixed_precision(network, torch.device(device)):
        mixed = torch.is_autocast_enabled(device)
    return Cost(*(validated * value for value in needed)), torch.bfloat16 if mixed else torch.float32


def train(side: str, case: Case, epochs: int, device: str, data: tuple[Dataset, Dataset], seed: int) -> Trained:
    """Train ours or a peer and score it; memory counts windows, network and training."""
    if case.peers:
        from dlsia.core import networks, train_scripts  # noqa: F401 - else their import would count

    work = train_ours if side == OURS else train_theirs
    where = torch.device(device)
    (network, rate), memory = peak_growth(lambda: work(side, case, epochs, where, data, seed), device)
    return Trained(rate, validate(network, TASKS["blind"], WindowSet(data[1], where))["val_gap_l1"], memory)


def train_ours(
    _: str, case: Case, epochs: int, device: torch.device, data: tuple[Dataset, Dataset], seed: int
) -> tuple[nn.Module, float]:
    """Train as a search does; return the network and windows per second."""
    windows, validation = PreparedWindows(data[0], device), WindowSet(data[1], device)
    network, task = build(case.network, case.config | case.equal, seed)
    if case.peers:
        copy_weights(network, peer(next(iter(case.peers)), case, data[0], seed).state_dict())
    progress = fit(
        network.to(device), task, windows, validation,
        Course.of(case.config, windows=epochs * len(windows), interval=len(windows), schedule="step", seed=seed),
    )  # fmt: skip
    first, *_, last = (step.metrics["seconds"] for step in progress)
    return network, len(windows) * (epochs - 1) / (last - first)


def train_theirs(
    side: str, case: Case, epochs: int, device: torch.device, data: tuple[Dataset, Dataset], seed: int
) -> tuple[nn.Module, float]:
    """Train as dlsia's tutorials do; return the network and windows per second."""
    from dlsia.core.train_scripts import train_regression

    host = torch.device("cpu")
    windows, validation = PreparedWindows(data[0], host), WindowSet(data[1], host)
    prepared, watched = (
        TensorDataset(batch.measured, batch.truth.where(batch.valid, NO_TRUTH))
        for batch in (everything(windows, windows.drawn), everything(validation, validation.fixed_patterns()))
    )
    batch_size = int(case.config["batch_size"])
    network = peer(side, case, data[0], seed).to(device)
    loader = DataLoader(prepared, batch_size, sampler=FitsOrder(len(windows), seed), drop_last=True)
    validation_loader = ValidationLoader(watched, batch_size, network)
    optimizer = torch.optim.Adam(network.parameters(), lr=float(case.config["learning_rate"]))
    clock = Clock(optimizer, epochs)
    train_regression(network, loader, validation_loader, epochs, valid_l1, optimizer, device, scheduler=clock)
    _, first, *_, last = clock.ends
    return network, len(windows) * (epochs - 1) / (last - first)


def everything(windows: WindowSet, patterns: Tensor) -> Batch:
    """Cut all windows at once."""
    return windows.batch(torch.arange(len(windows)), patterns)


def peer(side: str, case: Case, data: Dataset, seed: int) -> nn.Module:
    """Make dlsia's network of a case."""
    torch.manual_seed(seed)
    settings = {key: value for key, value in case.config.items() if key not in TRAINING_KEYS}
    shape = (1, 1, data.windows.frame_shape[0], data.windows.width)
    return theirs(case.network, {**settings, **case.peers[side]}, shape)


def theirs(network: str, settings: Settings, shape: Shape) -> nn.Module:
    """Make a network as dlsia's users do."""
    from dlsia.core.networks import msdnet, tunet

    made: nn.Module = (
        tunet.TUNet(image_shape=shape[2:], in_channels=1, out_channels=1, **settings)
        if network == "tunet"
        else msdnet.MixedScaleDenseNetwork(in_channels=1, out_channels=1, **settings)
    )
    return made


# --- tables


def row(*cells: str) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def spread(values: list[float], form: str) -> str:
    """Return median (least–most)."""
    return f"{statistics.median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


def deviation(values: list[float]) -> str:
    """Return mean ± standard deviation."""
    form = ".2f" if max(values) < 1e4 else ".0e"  # dlsia's MSDNet with its running statistics, soon after the start
    return f"{statistics.mean(values):{form}} ± {statistics.stdev(values):{form}}"


def quotients(above: Iterable[float], below: Iterable[float]) -> list[float]:
    """Divide pair by pair."""
    return [a / b for a, b in zip(above, below, strict=True)]


if __name__ == "__main__":
    raise SystemExit(main())
