"""Train the bank of learning curves: TUNet in the quick preset's space, shrunk to what 300 trainings allow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from scipy.stats import qmc

from benchmarks.search_efficiency.curves import EPOCHS, Curve, append, read
from benchmarks.search_efficiency.mapping import DEFAULTS, SPACE, at
from records.tables import Config

if TYPE_CHECKING:
    from trainables.batches import WindowSet

SIZE = 128
"""The quick preset has 256: a training would take eight times as long."""

FRAMES = 96
"""The quick preset has 240."""

QUASI = 270
"""Quasi-random configurations, every ninth of them blind: no search looks closely at those, they are too poor."""

REPEATED = 6
"""So many are trained with two further seeds, for the noise."""

Wanted = tuple[str, Config, int]


def wanted() -> list[Wanted]:
    """Return (source, config, seed) of every training, in an order that may end anywhere."""
    quasi: list[Wanted] = [("quasi", config, 0) for config in quasi_random(QUASI)]
    first: list[Wanted] = [("first", {**DEFAULTS, "task": task}, 0) for task in ("residual", "blind")]
    grid: list[Wanted] = [("grid", config, 0) for config in grid_points()]
    known = [first[0], *(entry for entry in quasi if entry[1]["task"] == "residual")][:REPEATED]
    repeats: list[Wanted] = [("repeat", config, seed) for _, config, _ in known for seed in (1, 2)]
    return [*first, *quasi[:90], *grid, *quasi[90:153], *repeats, *quasi[153:]]


def quasi_random(count: int) -> list[Config]:
    """Return Sobol points of the space, eight residual ones to a blind one."""
    distributions = {name: of for name, of in SPACE.items() if name != "task"}
    sobol = {task: qmc.Sobol(len(distributions), rng=seed) for seed, task in enumerate(("residual", "blind"))}

    def drawn(task: str) -> Config:
        point = zip(distributions.items(), sobol[task].random(1)[0], strict=True)
        return {"task": task, **{name: at(of, share) for (name, of), share in point}}

    return [drawn("blind" if number % 9 == 8 else "residual") for number in range(count)]


def grid_points() -> list[Config]:
    """Return a factorial grid in the manner of the paper's Table 2, first blind as there, then residual.

    Depth by base channels by growth rate, the batch falling with the channels, learning rate 1e-3.
    """
    batches = {8: 16, 16: 8, 24: 4}
    return [
        {
            "task": task, "depth": depth, "base_channels": base, "growth_rate": growth,
            "batch_size": batches[base], "learning_rate": 1e-3,
        }
        for task, depth, base, growth in product(("blind", "residual"), (2, 3), batches, (1.5, 2.0))
    ]  # fmt: skip


def train(path: Path, workers: int, minutes: float | None = None) -> None:
    """Train what the table lacks, `workers` at once on a core each, for so long or to the end."""
    done = {(curve.seed, _key(curve.config)) for curve in read(path)}
    left = [entry for entry in wanted() if (entry[2], _key(entry[1])) not in done]
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    with get_context("spawn").Pool(workers, _prepare) as pool:
        for number, curve in enumerate(pool.imap_unordered(_train, left), 1):
            append(path, curve)
            print(f"{number}/{len(left)} {curve.config} {curve.values[-1:]} {sum(curve.seconds):.1f} s", flush=True)
            if deadline is not None and time.monotonic() >= deadline:
                break


def _key(config: Config) -> tuple[str, ...]:
    return tuple(f"{value:.6g}" if isinstance(value, float) else str(value) for value in config.values())


_windows: list[WindowSet] = []


def _prepare() -> None:
    """Lay out the data of a worker, once."""
    import torch

    from scattering.detectors import detector
    from scattering.sources import simulated
    from trainables.batches import WindowSet

    torch.set_num_threads(1)
    data = simulated(detector("Pilatus2M"), (SIZE, SIZE), FRAMES, seed=0)
    _windows.extend(WindowSet(data.part(name), torch.device("cpu")) for name in ("train", "validation"))


def _train(entry: Wanted) -> Curve:
    source, config, seed = entry
    steps = list(_epochs(config, seed))
    return Curve(source, config, seed, tuple(value for value, _ in steps), tuple(seconds for _, seconds in steps))


def _epochs(config: Config, seed: int) -> Iterator[tuple[float, float]]:
    """Train as a trial of a search is trained; yield (validation gap L1, processor seconds) of each epoch."""
    from trainables.models import build
    from trainables.training import Course, DivergenceError, fit

    network, task = build("tunet", config, seed)
    train, validation = _windows
    started = time.process_time()
    try:
        for progress in fit(
            network, task, train, validation,
            Course.of(config, windows=EPOCHS * len(train), interval=len(train), schedule="cosine", seed=seed),
        ):  # fmt: skip
            ended = time.process_time()
            yield progress.metrics["val_gap_l1"], ended - started
            started = ended
    except DivergenceError:
        return
