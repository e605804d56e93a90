"""Does filling gaps bring frames nearer to their true neighbours in a latent space (the paper's Fig. 10)?

`python -m benchmarks.latent --output benchmarks/results/latent.md` trains a TUNet on other simulated frames;
`python -m benchmarks.latent runs/NAME` takes the best model that a finished run has kept.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import date
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as `search.run` sets it

import numpy as np
import torch
from scipy.stats import wilcoxon
from torch import nn

from records.files import read_json, read_table
from records.tables import RunInfo, Trial
from scattering import provenance
from scattering.arrays import Reals
from scattering.dataset import Dataset
from scattering.detectors import detector
from scattering.files import replacing
from scattering.filling.interpolation import biharmonic, linear
from scattering.sources import simulated
from scattering.split import PARTS
from scattering.windows import cut, stitch
from search.evaluation.latent import NEIGHBOURS, Ranks, correlations, neighbours, overlap
from trainables import devices
from trainables.batches import WindowSet
from trainables.embedding import DIMENSION, Floats, latent_vectors
from trainables.models import build, load
from trainables.tasks import Task, fill
from trainables.training import Course, fit

DETECTOR = "Pilatus2M"
SIZE = 128
TRAINING_FRAMES = 300
CONFIG: dict[str, int | float | str] = {
    "depth": 3, "base_channels": 8, "growth_rate": 2.0, "task": "residual", "batch_size": 16, "learning_rate": 2e-3,
}  # fmt: skip
EPOCHS = 1000
"""More than there is time for: the clock ends the training."""
RESAMPLES = 2000
SEEDS = 3
DEVICE = devices.device()


class Model(NamedTuple):
    """A network that fills gaps, and the frames that it is to fill: others than it learnt from."""

    name: str
    network: nn.Module
    task: Task
    detector: str
    shape: tuple[int, int]
    seed: int


def main() -> None:
    """Simulate, fill, compare, print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?", help="folder of a finished run, runs/NAME (default: train anew)")
    parser.add_argument("--frames", type=int, default=1000, help="simulated frames (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the training anew (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="write the table to this file too")
    options = parser.parse_args()
    model = kept(options.run) if options.run else trained(options.seconds)
    test = simulated(detector(model.detector), model.shape, options.frames, seed=model.seed)
    text = "\n".join([*_heading(model, test), "", *_table(compared(model, test))]) + "\n"
    print(text)
    if options.output:
        with replacing(options.output) as temporary:
            temporary.write_text(text, encoding="utf-8")


def trained(seconds: float) -> Model:
    """Train a small TUNet on simulated frames of seed 0."""
    data = simulated(detector(DETECTOR), (SIZE, SIZE), TRAINING_FRAMES, seed=0)
    train, validation, _ = (WindowSet(data.part(name), DEVICE) for name in PARTS)
    network, task = build("tunet", CONFIG)
    for progress in fit(
        network.to(DEVICE), task, train, validation,
        Course.of(
            CONFIG, windows=EPOCHS * len(train), interval=len(train), schedule="cosine", seed=0, seconds=seconds
        ),
    ):  # fmt: skip
        last = progress.metrics
    name = f"TUNet, residual, {seconds:g} s ({last['epoch']:.0f} epochs) on {len(train.names)} other frames"
    return Model(name, network, task, DETECTOR, (SIZE, SIZE), seed=1)


def kept(run: Path) -> Model:
    """Load the best model of a finished run, by the validation error of its trial."""
    info = read_json(run / "run.json", RunInfo)
    winner = min(read_table(run / "winners.csv", Trial), key=lambda trial: trial.val_gap_l1 or np.inf)
    network, task = load(min((run / "models").glob(f"{winner.network}-{winner.trial:04d}-*.safetensors")))
    name = f"{winner.network} of {info.name} (trial {winner.trial})"
    data = info.data
    return Model(name, network.to(DEVICE), task, data["detector"], tuple(data["size"]), seed=info.seed + 1)


def fills(model: Model, test: Dataset) -> dict[str, Floats]:
    """Fill the frames (N, H, W) by each method; "masked" leaves 0 in the gaps."""
    measured, observed = torch.from_numpy(test.measured), torch.from_numpy(test.observed)
    model.network.eval()

    def frame(i: int) -> torch.Tensor:
        values, seen = (cut(array[i : i + 1], test.windows)[0, :, None] for array in (measured, observed))
        with torch.no_grad():
            filled = fill(model.task, model.network, values.to(DEVICE), seen.to(DEVICE))
        return torch.where(observed[i], measured[i], stitch(filled[:, 0].cpu()[None], test.windows)[0])

    frames = range(len(test))
    return {
        "masked": test.measured,
        "linear": linear(measured, observed).numpy(),
        "biharmonic": np.stack([biharmonic(test.measured[i], test.observed[i]) for i in frames]),
        "network": torch.stack([frame(i) for i in frames]).numpy(),
    }


class Line(NamedTuple):
    """One way to fill gaps, against the neighbours in the space of the truth."""

    name: str
    gap_l1: float
    overlap: Reals
    """(seeds, N): each autoencoder against that of the truth with the same seed."""
    other: Reals
    """(seeds, N): against that of the truth with the next seed."""
    components: Reals
    """(N,): the latent space is that of the principal components."""
    correlation: float


def compared(model: Model, test: Dataset) -> list[Line]:
    """Train the autoencoders, two seeds for each way to fill, and count shared neighbours."""
    gap = test.valid & ~test.observed
    known: dict[str, Floats] = {"truth": test.truth, **fills(model, test)}
    alike = correlations(test.measured, test.observed, DEVICE)
    count = min(NEIGHBOURS, len(test) // 10)
    ranked: dict[str, list[Ranks]] = {}
    for name, filled in known.items():
        started = time.perf_counter()
        shown = np.where(test.valid, filled, 0)
        vectors = [latent_vectors(shown, seed=seed, device=DEVICE) for seed in range(SEEDS)]
        ranked[name] = [neighbours(space) for space in (*vectors, principal_components(shown))]
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    *reference, linear_reference = ranked["truth"]
    lines = []
    for name, (*own, components) in ranked.items():
        near = [np.take_along_axis(alike, ranks[:, :count], axis=1).mean() for ranks in own]
        lines.append(
            Line(
                name,
                gap_l1=float(np.abs(known[name] - test.truth)[gap].mean(dtype=np.float64)),
                overlap=np.stack([overlap(own[i], reference[i], count) for i in range(SEEDS)]),
                other=np.stack([overlap(own[i], reference[(i + 1) % SEEDS], count) for i in range(SEEDS)]),
                components=overlap(components, linear_reference, count),
                correlation=float(np.mean(near)),
            )
        )
    return lines


def principal_components(frames: Floats) -> Reals:
    """Describe frames (N, H, W) by their first components: what a linear autoencoder comes to, without any chance."""
    pixels = frames.reshape(len(frames), -1)
    centred = pixels - pixels.mean(axis=0)
    variances, directions = np.linalg.eigh((centred @ centred.T).astype(np.float64))
    scores = directions * np.sqrt(np.maximum(variances, 0))
    return np.asarray(scores[:, -DIMENSION:])


def _heading(model: Model, test: Dataset) -> list[str]:
    versions, machine = provenance.versions(), provenance.machine()
    packages = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "numpy", "scikit-image"))
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{machine['cores']} CPU cores, no GPU"
    count = min(NEIGHBOURS, len(test) // 10)
    return [
        "# Neighbours in latent spaces (the paper's Fig. 10)",
        "",
        f"- Command: `python -m benchmarks.latent {' '.join(sys.argv[1:])}`",
        f"- Date: {date.today()}. Machine: {where} ({machine['processor']}). Versions: {packages}",
        f"- {len(test)} simulated frames of {model.shape[0]} x {model.shape[1]} with the gaps of {model.detector}; "
        f"an autoencoder with a latent vector of {DIMENSION} numbers is trained on them for each way to fill gaps",
        f"- Network: {model.name}",
        f"- Overlap: share (%) of a frame's {count} nearest neighbours in the space of the truth that are its "
        f"nearest in this one; chance gives {100 * count / (len(test) - 1):.1f}. Mean, 95 % interval of a bootstrap "
        f"over frames, and the values of {SEEDS} seeds",
        "- Same seed: equal initial weights and batches, as in the report. Another seed: than that of the truth. "
        f"Components: the first {DIMENSION} principal components instead, to which a linear autoencoder comes: no "
        "chance in it",
        "- Correlation: mean over a frame's nearest neighbours (same seed), measured pixels only",
        "- p: Wilcoxon's signed-rank test over frames (means over seeds) against masked, same seed; frames share "
        "neighbours, so it is too sure",
    ]


def _table(lines: list[Line]) -> list[str]:
    masked = next(line for line in lines if line.name == "masked")
    rows = [
        "| frames | gap L1 (1e-3) | overlap, same seed | p | another seed | components | correlation |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        cells = [line.name, f"{line.gap_l1 * 1e3:.2f}", _interval(line.overlap), "", _interval(line.other)]
        if line is not masked and line.name != "truth":
            cells[3] = f"{wilcoxon(line.overlap.mean(axis=0), masked.overlap.mean(axis=0)).pvalue:.1g}"
        cells += [_interval(line.components[None]), f"{line.correlation:.4f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _interval(values: Reals) -> str:
    """Mean of (seeds, N) with the 95 % interval of a bootstrap over frames, then of each seed alone; in per cent."""
    rng = np.random.default_rng(0)
    frames = values.mean(axis=0)
    means = frames[rng.integers(len(frames), size=(RESAMPLES, len(frames)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    seeds = "; " + ", ".join(f"{100 * value:.1f}" for value in values.mean(axis=1)) if len(values) > 1 else ""
    return f"{100 * frames.mean():.1f} ({100 * low:.1f} to {100 * high:.1f}{seeds})"


if __name__ == "__main__":
    main()
