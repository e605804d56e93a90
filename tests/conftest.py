"""Small seeded things that several tests need."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from xdist.scheduler import LoadScopeScheduling

from scattering import dataset
from scattering.dataset import Dataset, RawFrame
from scattering.detectors import Detector
from search.machines.cluster import LOOPBACK, SETTINGS
from trainables.batches import WindowSet

torch.set_num_threads(1)

pytest_plugins = ["tests.models"]

# Read when Ray is imported, which some test modules do: theirs is to be as that of a user is.
os.environ.update(SETTINGS | LOOPBACK)

SIZE = 64

STARTS_RAY = (
    "tests/benchmarks",
    "tests/clusters",
    "tests/search/following",
    "tests/search/machines",
    "tests/search/test_command.py",
    "tests/search/test_faults.py",
    "tests/search/tuning/test_tuner.py",
)
"""Tests that start Ray, or time other programs."""


class RayOnOneWorker(LoadScopeScheduling):
    """Gives the tests that start Ray to one worker, in a row: two cores have room for one cluster at a time."""

    def _split_scope(self, nodeid: str) -> str:
        return "ray" if nodeid.startswith(STARTS_RAY) else nodeid.partition("[")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> RayOnOneWorker:
    return RayOnOneWorker(config, log)


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
