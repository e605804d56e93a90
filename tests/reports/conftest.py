"""Synthetic run folders, written with the functions that a search writes with."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from records.files import append_line, write_arrays, write_json, write_table
from records.tables import (
    Coverage,
    DistanceScore,
    Evaluation,
    FrameScore,
    Gallery,
    Importance,
    Interim,
    Ladder,
    Latent,
    Member,
    MethodScore,
    RetrainInterim,
    RunInfo,
    Trial,
)

NETWORKS = ("tunet", "msdnet", "autoencoder", "pconv")
CATEGORIES = ("powder rings", "lamellar", "fibre", "GISAXS")
METHODS = {
    # kind, network, L1 against biharmonic's, parameters, device-seconds, ms per frame
    "ensemble": ("ensemble", "", 0.62, 4_371_000, 9000.0, 410.0),
    "TUNet": ("network", "tunet", 0.66, 2_140_097, 2400.0, 61.0),
    "TUNet 2": ("network", "tunet", 0.661, 535_521, 1900.0, 34.0),
    "MSDNet": ("network", "msdnet", 0.70, 45_652, 3100.0, 250.0),
    "partial convolution": ("network", "pconv", 0.94, 901_000, 700.0, 41.0),
    "autoencoder": ("network", "autoencoder", 0.97, 301_000, 500.0, 22.0),
    "pyFAI, tuned": ("classical", "", 0.98, None, None, 310.0),
    "biharmonic": ("classical", "", 1.0, None, None, 412.0),
    "pyFAI": ("classical", "", 1.31, None, None, 230.0),
    "linear": ("classical", "", 1.1, None, None, 3.1),
    "noise floor": ("limit", "", 0.45, None, None, None),
}
"""TUNet and TUNet 2 are equally good; the other networks differ by more than their frames scatter."""


def score(method: str, kind: str = "network", l1: float | None = 5e-3, **others: object) -> MethodScore:
    """A row of the leaderboard; the vertical L1 is nine tenths of the horizontal one."""
    values: dict[str, object] = {
        "horizontal_l1": l1,
        "horizontal_cc": 0.998,
        "vertical_l1": None if l1 is None else 0.9 * l1,
        "vertical_cc": 0.9985,
        "horizontal_recovered": 0.5,
        "vertical_recovered": 0.4,
        "horizontal_l1_counts": 12.5,
        "vertical_l1_counts": 11.0,
        "parameters": None,
        "train_seconds": None,
        "ms_per_frame": 20.0,
    }
    return MethodScore(method, kind, **{**values, **others})  # type: ignore[arg-type]


def trial(number: int, state: str = "finished", l1: float | None = 6e-3, error: str = "") -> Trial:
    """One trial with a config that depends on its number."""
    config = {"depth": 2 + number % 3, "base_channels": 8, "learning_rate": 1e-3 / (1 + number), "task": "residual"}
    epochs = {"finished": 16, "failed": 0}.get(state, 4)
    return Trial(number, "tunet", state, epochs, l1, 0.99, 0.02, 0.02, 32_665, 40.0 * epochs, config, error)


def rings(size: int, seed: int) -> np.ndarray:
    """A noisy ring pattern in [0, 1]."""
    random = np.random.default_rng(seed)
    row, col = np.mgrid[:size, :size] / size
    radius = np.hypot(row - 0.55, col - 0.47)
    signal = 0.15 + 0.5 * np.exp(-5 * radius)
    for place in random.uniform(0.1, 0.6, 4):
        signal += random.uniform(0.05, 0.2) * np.exp(-(((radius - place) / 0.012) ** 2))
    return np.asarray(signal + random.normal(0, 0.01, signal.shape), dtype=np.float32)


def gallery(methods: list[str], size: int, count: int) -> Gallery:
    """Ring patterns with horizontal gaps that have a truth and a vertical one that has none."""
    truth = np.stack([rings(size, seed) for seed in range(count)])
    truth[:, :, size // 3 : size // 3 + max(2, size // 200)] = np.nan
    seen, width = truth.copy(), max(2, size // 100)
    for start in range(size // 8, size, size // 4):
        seen[:, start : start + width] = np.nan
    random = np.random.default_rng(1)
    filled = np.stack([np.nan_to_num(truth, nan=0.3) for _ in methods], axis=1)
    gap = ~np.isfinite(seen)
    for place, _ in enumerate(methods):
        filled[:, place][gap] += random.normal(0, 0.03 / (1 + place), gap.sum())
    side = min(48, size // 2)
    reasons = ["best", "better than three quarters", "median", "worse than three quarters", "worst"]
    return Gallery(
        names=[f"frame {k:03d}" for k in range(count)],
        categories=[CATEGORIES[k % len(CATEGORIES)] for k in range(count)],
        reasons=[reasons[k % len(reasons)] for k in range(count)],
        methods=methods,
        crops=np.array([[size // 8, size // 8 + side, 4, 4 + side]] * count),
        input=seen,
        truth=truth,
        filled=filled,
    )


def frame_scores(scores: list[MethodScore], groups: int = 12, per_group: int = 2) -> list[FrameScore]:
    """L1 of every frame: frames spread over a decade, methods keep their ratio but for 3 %."""
    random = np.random.default_rng(3)
    bright = np.exp(random.normal(0, 0.5, groups * per_group))
    bright /= bright.mean()
    found = []
    for score in scores:
        for k, factor in enumerate(bright * np.exp(random.normal(0, 0.03, bright.size))):
            l1 = [None if v is None else float(v * factor) for v in (score.horizontal_l1, score.vertical_l1)]
            category = CATEGORIES[(k // per_group) % 2 + 2 * (k < 8)]
            iq = 0.02 * float(factor)
            group = f"sample {k // per_group}"
            found.append(FrameScore(score.method, f"frame {k:03d}", group, category, l1[0], 0.99, l1[1], 0.99, iq))
    return found


def covered(off: float = -0.01) -> list[Coverage]:
    """What is found within the intervals: so much more than is stated, faint or bright."""
    found = []
    for kind in ("horizontal", "vertical"):
        for level, width in ((0.68, 4e-3), (0.95, 9e-3)):
            whole = Coverage(kind, level, level + off, width, 700 * width, 3.9e-3, 90_000)
            found.append(replace(whole, frames_low=level + off - 0.12, frames_high=min(level + off + 0.08, 1.0)))
            found += [replace(whole, by="distance", start=far, end=far) for far in (1, 2)]
            for start, end in ((0.0, 1.0), (1.0, 10.0), (10.0, 100.0), (100.0, 1000.0), (1000.0, None)):
                counts = 30 * width * (1 + start)
                found.append(replace(whole, by="counts", start=start, end=end, half_width_counts=counts, pixels=9000))
    return found


def write_run(
    folder: Path,
    name: str = "demo",
    size: int = 64,
    count: int = 5,
    groups: int = 12,
    seed: int = 7,
    better: float = 1.0,
) -> Path:
    """Write a run that has all its parts; the L1 of its networks is `better` times the usual."""
    random = np.random.default_rng(0)
    write_json(folder / "run.json", _info(name, seed))
    states = ["finished"] * 4 + ["stopped"] * 12 + ["interrupted", "infeasible", "failed"]
    trials = []
    for number in range(2 * len(states)):
        state, network = states[number % len(states)], NETWORKS[number // len(states)]
        end, value = random.uniform(5.2e-3, 9e-3), None
        last = {"finished": 16, "failed": 0, "infeasible": 0}.get(state, 2 ** (1 + number % 3))
        for epoch in range(1, last + 1):
            value = end * (1 + 2 * np.exp(-epoch / 4)) * random.uniform(0.98, 1.02)
            append_line(
                folder / "progress.jsonl", Interim(number, epoch, epoch, 0.02, 0.02, value, 0.99, 1e-3, 9.0 * epoch)
            )
        error = {"failed": "RuntimeError: out of memory", "infeasible": "takes 40 GB, 16 GB are free"}.get(state, "")
        trials.append(replace(trial(number, state, value, error), network=network))
    write_table(folder / "trials.csv", trials)
    write_table(folder / "ladders.csv", [Ladder(network, network, 1, 16, 1, 2) for network in NETWORKS])
    winners = [trials[0], trials[1], trials[len(states)]]
    write_table(folder / "winners.csv", winners)
    for winner in winners:
        for own in (0, 1, 2):
            for epoch in range(1, 7):
                l1 = 9e-3 * random.uniform(0.9, 1.1) / epoch**0.3
                line = RetrainInterim(winner.trial, epoch, epoch, 0.02, 0.02, l1, 0.99, 1e-3, 9.0 * epoch, own, 1)
                append_line(folder / "retraining.jsonl", line)
    write_table(
        folder / "importances.csv",
        [
            Importance(n, p, share, 18, 6)
            for n in NETWORKS[:2]
            for p, share in (("depth", 0.7), ("learning_rate", 0.3))
        ],
    )
    frames = groups * 2
    notes = ["The bins of pyFAI, tuned: 1024 in radius, 360 in azimuth, by 12 validation frames."]
    test = Evaluation(frames, groups, 368_640, 92_160, 0.2496, 0.2394, 3.22e-3, 3.9e-3, notes)
    write_json(folder / "evaluation.json", test)
    write_table(folder / "ensemble.csv", [Member("tunet", 0, k, 5e-3 + 1e-5 * k) for k in range(3)])
    scores = [_score(method, better) for method in METHODS]
    write_table(folder / "leaderboard.csv", scores)
    write_table(folder / "scores.csv", frame_scores(scores, groups))
    write_table(
        folder / "distances.csv",
        [
            DistanceScore(m, kind, d, 1e-3 * d, 99)
            for m in METHODS
            for kind in ("horizontal", "vertical")
            for d in (1, 2)
        ],
    )
    write_table(folder / "coverage.csv", covered())
    shown = ["biharmonic", "linear", "TUNet"]
    write_arrays(folder / "gallery.npz", gallery(shown, size, count))
    write_arrays(folder / "failures.npz", gallery(shown, size, 2))
    spaces = ["truth", "masked", "inpainted", "truth, another seed"]
    write_arrays(
        folder / "latent.npz",
        Latent("TUNet", 10, 200, spaces, random.uniform(0.5, 1, (4, 23)), random.uniform(0, 1, (4, frames))),
    )
    return folder


def _score(method: str, better: float) -> MethodScore:
    kind, network, share, parameters, seconds, ms = METHODS[method]
    learned = kind in ("network", "ensemble")
    l1 = 6.6225e-3 * share * (better if learned else 1)
    recovered = (1 - l1 / 6.6225e-3) / (1 - 0.45)
    seeds = 3 if learned else None
    return score(
        method,
        kind,
        l1,
        horizontal_cc=1 - 0.6 * l1,
        horizontal_recovered=recovered,
        vertical_recovered=recovered,
        horizontal_l1_counts=2500 * l1,
        vertical_l1_counts=2300 * l1,
        parameters=parameters,
        train_seconds=seconds,
        ms_per_frame=ms,
        iq_error=4 * l1,
        network=network,
        task="residual" if network else "",
        trial=0 if network else None,
        seeds=seeds,
        horizontal_l1_sd=4.1e-5 if kind == "network" else None,
        vertical_l1_sd=3.1e-5 if kind == "network" else None,
    )


def _info(name: str, seed: int = 7) -> RunInfo:
    return RunInfo(
        name=name,
        command=f"python -m search.run tunet --minutes 20 --seed {seed}",
        network="tunet",
        preset="quick",
        seed=seed,
        created="2026-05-04T12:30:00+00:00",
        settings={"minutes": 20, "trials": 20, "max_epochs": 16, "workers": 2, "task": "residual", "resume": False},
        data={
            "title": "simulated scattering on PILATUS3 2M",
            "simulated": True,
            "detector": "Pilatus 2M",
            "size": "512x512",
            "frames": 160,
            "train_frames": 112,
            "validation_frames": 24,
            "test_frames": 24,
            "groups": 80,
            "fingerprint": "sha256:" + "0123456789abcdef" * 4,
        },
        versions={
            "gapsearch": "0.1.0",
            "python": "3.11.9",
            "torch": "2.14.1",
            "ray": "2.60.0",
            "optuna": "5.0.0",
            "commit": "0a1b2c3d4e5f",
        },
        machine={"processor": "2 cores", "memory": "23 GiB", "accelerator": "none", "system": "Linux 6.1"},
    )


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to copy: to write one takes a while."""
    return write_run(tmp_path_factory.mktemp("template"))


@pytest.fixture
def run(template: Path, tmp_path: Path) -> Path:
    """The folder of a run that has all its parts."""
    return Path(shutil.copytree(template, tmp_path / "run"))


@pytest.fixture(scope="session")
def make_run():
    """`write_run`: folder -> a run that has all its parts, as asked."""
    return write_run


@pytest.fixture
def make_score():
    """`score`: method, kind, L1 -> a row of the leaderboard."""
    return score


@pytest.fixture
def make_trial():
    """`trial`: number, state, L1 -> a trial."""
    return trial


@pytest.fixture
def make_frames():
    """`frame_scores`: scores -> L1 of every frame, so many groups, so many frames in each."""
    return frame_scores


@pytest.fixture
def make_coverage():
    """`covered`: what is found within the intervals, less what is stated -> all rows of a run."""
    return covered
