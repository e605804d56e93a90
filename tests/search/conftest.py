"""Ray for tests: one cluster a session; commands run as users run them; a small model that fills frames."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from inpainting import model_file
from inpainting.familiarity import ranges, traits
from inpainting.model import Model, load
from inpainting.model_file import Description, MemberInfo
from search.evaluation.coverage import calibrate
from search.evaluation.methods import network_filler
from search.machines.resources import Resources
from trainables.batches import WindowSet
from trainables.models import build
from trainables.training import fit

ONE_CORE = Resources(cpus=1, gpus=0.0, memory=10**9, parallel=2)

FACTS = {"parameters": 1, "headroom": 10**8, "micro_batch": 4, "memory": 10**8, "patience": 600.0}
"""What every report of a trial says of its training."""

CONFIG = {
    "depth": 2,
    "base_channels": 4,
    "growth_rate": 2.0,
    "task": "residual",
    "batch_size": 8,
    "learning_rate": 2e-3,
}
"""Of the small model."""

SHARED_FRAMES = Path(__file__).resolve().parents[3] / "shared" / "frames"


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A local Ray for all in-process tests that need one."""
    from search.machines.cluster import cluster

    with cluster():
        yield


class Command:
    """`python -m search.run` in a folder of its own."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        # As a user's shell is: what Ray is told is the program's own business.
        known = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "TUNE_"))}
        self.environment = {**known, "XDG_CACHE_HOME": str(cache)}
        self.log = folder / "output.txt"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start it; output goes to the log."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "search.run", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run it to the end: exit code and output."""
        self.log.unlink(missing_ok=True)
        code = self.start(*arguments).wait(timeout=600)
        return code, self.log.read_text()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of simulated frames, shared by all commands of the session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def command(tmp_path: Path, cache: Path) -> Command:
    return Command(tmp_path, cache)


@pytest.fixture(scope="session")
def trained(data):
    """Two networks of the tiny detector, trained for a moment."""
    windows = WindowSet(data, torch.device("cpu"))
    members = []
    for seed in (0, 1):
        network, task = build("tunet", CONFIG, seed=seed)
        for _ in fit(
            network, task, windows, windows,
            epochs=3, batch_size=8, learning_rate=2e-3, schedule="cosine", seed=seed,
        ):  # fmt: skip
            pass
        members.append((network, task))
    return members


@pytest.fixture(scope="session")
def description(data, trained, tiny_detector) -> Description:
    uncertainty = calibrate([network_filler(*member) for member in trained], data)
    return Description(
        run="tiny",
        created="2026-01-01T00:00:00+00:00",
        members=tuple(MemberInfo("tunet", CONFIG, "gapsearch", 0, seed, 0.01) for seed in (0, 1)),
        detector="tiny",
        native=tiny_detector.gap.shape,
        working=data.gap.shape,
        full_scale=data.full_scale,
        familiar=ranges(
            traits(measured, observed, data.gap)
            for measured, observed in zip(data.measured, data.observed, strict=True)
        ),
        uncertainty=uncertainty,
        data={"title": "test", "simulated": False},
        scores={"ensemble": {"horizontal_l1": 0.01}},
        versions={"gapsearch": "0"},
    )


@pytest.fixture(scope="session")
def model_path(tmp_path_factory, description, data, trained):
    """The file of a model."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model_file.write(path, description, data.gap, [network for network, _ in trained])
    return path


@pytest.fixture(scope="session")
def model(model_path) -> Model:
    return load(model_path, "cpu")


@pytest.fixture(scope="session")
def frame(raw_frames, tiny_detector):
    """Counts with -1 in the gaps, and what truly lies there."""
    raw = raw_frames(13, tiny_detector.gap.shape, tiny_detector)[-1]
    return np.where(tiny_detector.gap, -1, raw.truth).astype(np.int32), raw.truth
