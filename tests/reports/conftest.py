"""A synthetic run folder, written with the functions that a search writes with."""

from pathlib import Path

import numpy as np
import pytest

from search.records import (
    Epoch,
    Evaluation,
    FrameScore,
    Gallery,
    MethodScore,
    RunInfo,
    Trial,
    append_line,
    write_gallery,
    write_json,
    write_table,
)


def score(method: str, kind: str = "network", l1: float | None = 5e-3, **others: float | None) -> MethodScore:
    """A row of the leaderboard; the vertical L1 is nine tenths of the horizontal one."""
    values: dict[str, float | None] = {
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
    names = [f"frame {k:03d}" for k in range(count)]
    return Gallery(
        names, ["powder rings", "lamellar"] * (count // 2) + ["fibre"] * (count % 2), methods, seen, truth, filled
    )


def write_run(folder: Path, name: str = "tunet-demo", size: int = 64, count: int = 2) -> Path:
    """Write a run that has all its parts."""
    random = np.random.default_rng(0)
    write_json(folder / "run.json", _info(name))
    states = ["finished"] * 4 + ["stopped"] * 14 + ["interrupted", "failed"]
    trials = []
    for number, state in enumerate(states):
        end = random.uniform(5.2e-3, 9e-3)
        value = None
        for epoch in range(1, {"finished": 16, "failed": 0}.get(state, 2 ** (1 + number % 3)) + 1):
            value = end * (1 + 2 * np.exp(-epoch / 4)) * random.uniform(0.98, 1.02)
            append_line(folder / "progress.jsonl", Epoch(number, epoch, 0.02, 0.02, value, 0.99, 1e-3, 9.0 * epoch))
        error = "RuntimeError: out of memory" if state == "failed" else ""
        trials.append(trial(number, state, value, error))
    write_table(folder / "trials.csv", trials)
    write_table(folder / "winners.csv", [min(trials[:4], key=lambda t: t.val_gap_l1 or 1)])
    write_json(folder / "evaluation.json", Evaluation(24, 8, 368_640, 92_160, 0.2496, 0.2394, 3.22e-3, 3.9e-3))
    scores = [
        score("tunet", l1=4.4746e-3, parameters=2_140_097, train_seconds=754.0, horizontal_recovered=0.63),
        score(
            "biharmonic", "classical", 6.6225e-3, horizontal_cc=0.9958, horizontal_recovered=0.0, ms_per_frame=412.0
        ),
        score("linear", "classical", 7.3e-3, horizontal_cc=0.995, horizontal_recovered=-0.2, ms_per_frame=3.1),
        score("noise floor", "limit", 3.22e-3, horizontal_recovered=1.0, vertical_recovered=1.0, ms_per_frame=None),
    ]
    write_table(folder / "leaderboard.csv", scores)
    frames = [
        FrameScore(
            s.method,
            f"frame {k:03d}",
            "a",
            "powder rings",
            s.horizontal_l1 * random.uniform(0.7, 1.3),
            0.9,
            s.vertical_l1,
            0.9,
        )
        for s in scores[:3]
        for k in range(24)
        if s.horizontal_l1
    ]
    write_table(folder / "scores.csv", frames)
    write_gallery(folder / "gallery.npz", gallery(["biharmonic", "linear", "tunet"], size, count))
    return folder


def _info(name: str) -> RunInfo:
    return RunInfo(
        name=name,
        command="python -m search.run tunet --minutes 20 --seed 7",
        network="tunet",
        preset="quick",
        seed=7,
        created="2026-05-04T12:30:00+00:00",
        settings={"minutes": 20, "trials": 20, "max_epochs": 16, "workers": 2, "task": "residual", "resume": False},
        data={
            "title": "simulated scattering on PILATUS3 2M",
            "simulated": True,
            "detector": "Pilatus 2M",
            "frame_shape": [512, 512],
            "frames": 160,
            "train": 112,
            "val": 24,
            "test": 24,
            "fingerprint": "sha256:" + "0123456789abcdef" * 4,
        },
        versions={"gapsearch": "0.1.0", "python": "3.11.9", "torch": "2.14.1", "ray": "2.60.0", "optuna": "5.0.0"},
        machine={"processor": "2 cores", "memory": "23 GiB", "accelerator": "none", "system": "Linux 6.1"},
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run that has all its parts."""
    return write_run(tmp_path / "run")


@pytest.fixture
def make_run():
    """`write_run`: folder -> a run that has all its parts, its name and picture size as asked."""
    return write_run


@pytest.fixture
def make_score():
    """`score`: method, kind, L1 -> a row of the leaderboard."""
    return score


@pytest.fixture
def make_trial():
    """`trial`: number, state, L1 -> a trial."""
    return trial
