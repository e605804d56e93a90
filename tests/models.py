"""A small model that fills frames, trained once a session."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inpainting import model_file
from inpainting.familiarity import ranges, traits
from inpainting.model import Model, load
from inpainting.model_file import Description, MemberInfo
from search.evaluation.coverage import calibrate
from search.evaluation.methods import network_filler
from search.evaluation.scores import fill_gaps, targets
from trainables.batches import WindowSet
from trainables.models import build
from trainables.training import Course, fit

CONFIG = {
    "depth": 2,
    "base_channels": 4,
    "growth_rate": 2.0,
    "task": "residual",
    "batch_size": 8,
    "learning_rate": 2e-3,
}
"""Of the small model."""


@pytest.fixture(scope="session")
def trained(data):
    """Two networks of the tiny detector, trained for a moment."""
    windows = WindowSet(data, torch.device("cpu"))
    members = []
    for seed in (0, 1):
        network, task = build("tunet", CONFIG, seed=seed)
        for _ in fit(
            network, task, windows, windows,
            Course.of(CONFIG, windows=3 * len(windows), interval=len(windows), schedule="cosine", seed=seed),
        ):  # fmt: skip
            pass
        members.append((network, task))
    return members


@pytest.fixture(scope="session")
def description(data, trained, tiny_detector) -> Description:
    fillers = [network_filler([member]) for member in trained]
    uncertainty = calibrate(list(fill_gaps(fillers, data)), targets(data))
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
