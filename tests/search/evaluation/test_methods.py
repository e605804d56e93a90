"""Frames of any shape, with any gaps, are trained on and filled."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pytest
import torch

from scattering.dataset import Dataset, build
from scattering.detectors import Detector
from search.evaluation.methods import CLASSICAL, network_filler
from tests.conftest import gapless_frames
from tests.courses import in_epochs
from trainables import NETWORKS
from trainables.batches import WindowSet
from trainables.images import gapped_windows, whole_frames
from trainables.models import Config
from trainables.models import build as build_network
from trainables.tasks import TASKS
from trainables.training import fit

SMALL: dict[str, Config] = {
    "tunet": {"depth": 2, "base_channels": 4, "growth_rate": 1.5},
    "msdnet": {"num_layers": 4, "max_dilation": 3},
    "autoencoder": {"depth": 2, "base_channels": 4, "latent_dimension": 8},
    "pconv": {"depth": 2, "base_channels": 4},
}
SHAPES = [(75, 131), (67, 209), (129, 66)]
"""Odd, wider and taller than the others; the first one is the detector's own."""


def detector_with(kind: str) -> Detector:
    gap = np.zeros(SHAPES[0], bool)
    if kind in ("both", "horizontal"):
        gap[20:24] = gap[50:54] = True
    if kind in ("both", "vertical"):
        gap[:, 44:47] = gap[:, 88:91] = True
    return Detector(kind, gap, (172e-6, 172e-6))


def prepared(kind: str, shape: tuple[int, int]) -> Dataset:
    detector = detector_with(kind)
    return build(gapless_frames(2, SHAPES[0], detector), detector, shape, {"title": "test"}, SHAPES[0][1])


@pytest.mark.parametrize("kind", ["both", "vertical", "horizontal"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_whole_frames_and_windows_of_any_shape_are_filled(kind: str, shape: tuple[int, int]) -> None:
    data = prepared(kind, shape)
    frames, windows = whole_frames(data), gapped_windows(data)
    assert frames.scored.any() == (kind != "vertical")
    assert windows.scored.any() == (kind != "horizontal")
    for method in CLASSICAL:
        for images, fill in ((frames, method.fillers[0].frames), (windows, method.fillers[0].windows)):
            filled = fill(images)
            assert filled.shape == images.measured.shape
            np.testing.assert_array_equal(filled[images.observed], images.measured[images.observed])
            if images.scored.any():
                assert np.abs(filled - images.truth)[images.scored].mean() < 0.05


@pytest.mark.parametrize(("name", "task"), list(zip(NETWORKS, cycle(TASKS))))
@pytest.mark.parametrize("kind", ["both", "vertical", "horizontal"])
def test_networks_learn_from_and_fill_frames_of_odd_sides(kind: str, name: str, task: str) -> None:
    data = prepared(kind, SHAPES[0])
    network, posed = build_network(name, {**SMALL[name], "task": task, "batch_size": 4, "learning_rate": 1e-3})
    windows = WindowSet(data, torch.device("cpu"))
    losses = [
        metrics["train_loss"]
        for metrics, *_ in fit(
            network,
            posed,
            windows,
            windows,
            in_epochs(1, windows, batch_size=4, learning_rate=1e-3, schedule="step", seed=0),
        )
    ]
    assert np.isfinite(losses).all()
    filler, frames = network_filler([(network, posed)]), whole_frames(data)
    filled = filler.frames(frames)
    assert filled.shape == data.measured.shape
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[frames.observed], frames.measured[frames.observed])
    images = gapped_windows(data)
    assert filler.windows(images).shape == images.measured.shape


def test_without_any_gap_there_is_nothing_to_fill() -> None:
    data = prepared("none", SHAPES[0])
    frames = whole_frames(data)
    assert not frames.scored.any()
    assert len(gapped_windows(data)) == 0
    network, posed = build_network(
        "tunet", {**SMALL["tunet"], "task": "blind", "batch_size": 4, "learning_rate": 1e-3}
    )
    np.testing.assert_array_equal(network_filler([(network, posed)]).frames(frames), data.measured)
