"""Small seeded things that several tests need."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from scattering import dataset
from scattering.dataset import Dataset, RawFrame
from scattering.detectors import Detector
from search.machines.cluster import LOOPBACK, SETTINGS
from tests.effort import SEED, SOAK
from trainables.batches import WindowSet

torch.set_num_threads(1)

pytest_plugins = ["tests.models"]

# Read when Ray is imported, which some test modules do: theirs is to be as that of a user is.
os.environ.update(SETTINGS | LOOPBACK)

SIZE = 64

RUNS = (
    "tests/benchmarks",
    "tests/clusters",
    "tests/scattering/test_prepare.py",
    "tests/search/machines/test_cluster.py",
    "tests/search/test_command.py",
    "tests/search/test_interrupted.py",
)
"""Tests that wait for other programs: whole runs, and what they leave."""

IN_PROCESS = (
    "tests/search/following/test_tracking.py",
    "tests/search/machines/test_tasks.py",
    "tests/search/test_faults.py",
    "tests/search/tuning/test_tuner.py",
)
"""Tests that share one Ray in their own process."""

GROUPS = {"runs": RUNS, "ray": IN_PROCESS}
"""Each for one worker: two clusters fit on two cores, no more."""

LONG = (
    "tests/reports/test_page.py",
    "tests/scattering/reading/test_round_trip.py",
    "tests/scattering/writing/test_streaming.py",
)
"""Files whose tests take a second each: slow, all of them."""


def scope(nodeid: str) -> str:
    """Return what a test shares its worker with: its group, or else its file, whose fixtures are then made once."""
    return next((name for name, paths in GROUPS.items() if nodeid.startswith(paths)), nodeid.partition("::")[0])


class Groups(LoadScopeScheduling):
    """Gives tests of one scope to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the groups first: they take longest."""
    items.sort(key=lambda item: scope(item.nodeid) not in GROUPS)
    for item in items:
        if item.nodeid.startswith(LONG):
            item.add_marker(pytest.mark.slow)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("soak" if SOAK else "default")


def pytest_report_header() -> str:
    return f"random tests: seed {SEED}, {'at length' if SOAK else 'a little; at length by `make soak`'}"


def striped_detector() -> Detector:
    """A detector laid out as PILATUS 2M is, but tiny: two vertical gaps, and two horizontal ones."""
    gap = np.zeros((140, 150), bool)
    gap[44:50] = gap[96:102] = True
    gap[:, 48:52] = gap[:, 100:104] = True
    return Detector("tiny", gap, (172e-6, 172e-6))


def gapless_frames(count: int, shape: tuple[int, int], detector: Detector, seed: int = 0) -> list[RawFrame]:
    """Rings with photon noise, valid everywhere, observed outside the gaps; two frames a group."""
    rng = np.random.default_rng(seed)
    observed = ~detector.gap_for(shape)
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, size) for size in shape), indexing="ij")
    frames = []
    for number in range(count):
        radius = np.hypot(rows - rng.uniform(-0.5, 0.5), columns - rng.uniform(-0.5, 0.5))
        clean = 200 * np.exp(-2 * radius) * (1.2 + np.cos(rng.uniform(10, 30) * radius))
        counts = rng.poisson(clean).astype(np.int32)
        frames.append(
            RawFrame(f"frame {number}", f"sample {number // 2}", "rings", counts, observed | True, observed)
        )
    return frames


@pytest.fixture(scope="session")
def tiny_detector() -> Detector:
    return striped_detector()


@pytest.fixture(scope="session")
def raw_frames() -> Callable[..., list[RawFrame]]:
    return gapless_frames


@pytest.fixture(scope="session")
def prepare(tiny_detector: Detector) -> Callable[..., Dataset]:
    """Build a data set of raw frames, with the gaps of the tiny detector."""

    def build(frames: list[RawFrame], size: int = SIZE) -> Dataset:
        narrowest = min(frame.truth.shape[1] for frame in frames)
        return dataset.build(frames, tiny_detector, (size, size), {"title": "test", "size": size}, narrowest)

    return build


@pytest.fixture(scope="session")
def data(tiny_detector: Detector, prepare: Callable[..., Dataset]) -> Dataset:
    """Twelve frames of 64 x 64 in six groups; nobody may write into them."""
    built = prepare(gapless_frames(12, (140, 150), tiny_detector))
    for name in dataset.ARRAYS:
        getattr(built, name).flags.writeable = False
    return built


@pytest.fixture(scope="session")
def window_set(data: Dataset) -> WindowSet:
    return WindowSet(data, torch.device("cpu"))
