"""Rings as an input of networks: no truth in them, the same in training as when users' frames are filled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from scattering.calibration import Calibration
from scattering.dataset import Dataset, RawFrame
from search.evaluation.methods import Filler
from search.evaluation.scores import fill_gaps
from tests.courses import in_epochs
from tests.scattering.test_leak import Recorder, changed, garbage, under_gap
from trainables.batches import NO_GAP, Part, WindowSet
from trainables.hints import RING_CHANNELS, join
from trainables.images import Images, gapped_windows, whole_frames, windows_with
from trainables.rings import estimate, size, tabulate
from trainables.tasks import TASKS, WITH_RINGS, fill, of
from trainables.training import UNLOCATED, fit

CPU = torch.device("cpu")
HALF = 1e-3
"""Relative error of half precision, rounded up."""


def located(frame: RawFrame, row: float = 0.4, column: float = 0.55) -> RawFrame:
    rows, columns = frame.truth.shape
    pixel = 172e-6
    return frame._replace(
        calibration=Calibration(2.0, row * rows * pixel, column * columns * pixel, 0, 0, 0, pixel, pixel, 1e-10)
    )


@pytest.fixture(scope="module")
def frames(raw_frames, tiny_detector) -> list[RawFrame]:
    return [located(frame) for frame in raw_frames(3, (140, 150), tiny_detector)]


@pytest.fixture(scope="module")
def built(frames, prepare) -> Dataset:
    return prepare(frames)


def everything(windows: WindowSet, pattern: int) -> Tensor:
    number = torch.arange(len(windows))
    return windows.batch(number, torch.full_like(number, pattern)).rings


def test_the_table_says_what_a_filler_is_told(built: Dataset) -> None:
    windows = WindowSet(built, CPU, None, tabulate(built))
    for pattern in range(NO_GAP, windows.patterns):
        told, tabled = windows_with(built, pattern).rings, everything(windows, pattern)
        assert told.isfinite().any()
        torch.testing.assert_close(told, tabled, rtol=HALF, atol=1e-6, equal_nan=True)


def test_rings_are_followed_once_for_all_fillers_and_count_for_those_that_look(built: Dataset) -> None:
    seen: list[Tensor] = []

    def look(images: Images) -> np.ndarray:
        seen.append(images.rings)
        return images.truth

    def nothing(images: Images) -> np.ndarray:
        return images.truth

    fillers = [Filler(look, nothing, rings=True), Filler(look, nothing, rings=True), Filler(nothing, nothing)]
    told: list[int] = []
    *looking, blind = fill_gaps(fillers, built, progress=told.append)
    assert len(seen) == 2 * len(built)
    assert len({id(rings) for rings in seen}) == len(built)
    assert all(rings.isfinite().any() for rings in seen)
    assert sum(told) == len(fillers) * len(built)
    assert min(filled.ms_per_frame for filled in looking) > blind.ms_per_frame + 1


def test_the_table_of_parts_is_the_table_of_all(built: Dataset) -> None:
    whole = tabulate(built)
    parts = join([tabulate(built.select([number])) for number in range(len(built))])
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
    assert sum(array.nbytes for array in whole) < 1.5 * size(built)
    first = Part(built, None, whole).first()
    assert torch.equal(
        everything(WindowSet.of(first, CPU), 0).nan_to_num(),
        everything(WindowSet(built, CPU, None, whole), 0)[: len(built.windows.free)].nan_to_num(),
    )


def test_counts_under_any_gap_change_nothing_that_rings_say(frames, prepare: Callable[..., Dataset]) -> None:
    raw = frames[0]
    built = prepare([raw])
    gap = built.windows
    before = WindowSet(built, CPU, None, tabulate(built))
    columns = raw.truth.shape[1]
    vertical = (~raw.observed).all(axis=0)
    for pattern in range(before.patterns):
        for free in range(len(gap.free)):
            hidden = ~raw.observed
            hidden[:, under_gap(built, columns, pattern, free, vertical)] = True
            other = prepare([changed(raw, hidden, garbage("random", raw.truth.shape))])
            after = WindowSet(other, CPU, None, tabulate(other))
            chosen = torch.tensor([free]), torch.tensor([pattern])
            one, two = before.batch(*chosen).rings, after.batch(*chosen).rings
            assert torch.equal(one.nan_to_num(), two.nan_to_num())
            plain = torch.tensor([free]), torch.tensor([NO_GAP])
            assert not torch.equal(before.batch(*plain).rings.nan_to_num(), after.batch(*plain).rings.nan_to_num())


def test_without_geometry_nothing_is_known(built: Dataset, data: Dataset) -> None:
    assert tabulate(data).values.dtype == np.float16
    assert np.isnan(tabulate(data).values).all()
    assert whole_frames(data).rings.isnan().all()
    measured, observed = (torch.from_numpy(array[0]) for array in (built.measured, built.observed))
    assert estimate(measured, observed, None).isnan().all()


def test_networks_are_told_the_same_by_unknown_rings_and_by_none(built: Dataset) -> None:
    windows = WindowSet(built, CPU, None, tabulate(built))
    number = torch.arange(len(windows))
    batch = windows.batch(number, windows.fixed_patterns(), torch.zeros(len(windows), dtype=torch.bool))
    assert batch.rings.isnan().all()
    seen = []
    for rings in (batch.rings, None, batch.rings[:, :0]):
        network = Recorder()
        WITH_RINGS.predict(network, batch.measured, batch.observed, None, rings)
        seen.append(network.seen[0])
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])
    assert seen[0].shape[1] == WITH_RINGS.in_channels
    assert not seen[0][:, -1].any()  # says where they are known


def test_a_network_that_corrects_nothing_leaves_the_fill_along_rings(built: Dataset) -> None:
    images = gapped_windows(built)
    rings = images.rings
    measured, observed = (torch.from_numpy(array)[:, None] for array in (images.measured, images.observed))
    filled = fill(WITH_RINGS, Recorder(), measured, observed, rings)
    known = rings[:, :1].isfinite() & ~observed
    assert known.any()
    assert torch.equal(filled[known], rings[:, :1][known].clamp(min=0))
    assert torch.equal(filled[observed], measured[observed])
    lines = fill(TASKS["residual"], Recorder(), measured, observed, rings)
    assert not torch.equal(filled, lines)


def test_training_hides_the_rings_of_some_windows_and_of_the_same_ones_each_time(built: Dataset) -> None:
    table = tabulate(built)
    shares = []
    for _ in range(2):
        windows, network = WindowSet(built, CPU, None, table), Recorder()
        course = in_epochs(20, windows, batch_size=3, learning_rate=1e-3, schedule="step", seed=0)
        for _ in fit(network, WITH_RINGS, windows, windows, course):
            pass
        # Validation shows all of them.
        known = torch.cat([image[:, -1].flatten(1).any(1) for image in network.seen if len(image) == 3])
        shares.append(known.float())
    assert torch.equal(*shares)
    # 180 windows of 20 epochs and as many of validation: 6 sigma are a false failure in 10^8 runs.
    hidden = 2 * (1 - shares[0].mean().item())
    assert abs(hidden - UNLOCATED) < 6 * (UNLOCATED * (1 - UNLOCATED) / 180) ** 0.5


def test_a_configuration_says_whether_its_network_looks_at_rings() -> None:
    assert of({"task": "residual", "geometry": "yes"}) is WITH_RINGS
    assert of({"task": "residual", "geometry": "no"}) is of({"task": "residual"}) is TASKS["residual"]
    assert of({"task": "blind", "geometry": "yes"}) is TASKS["blind"]
    assert WITH_RINGS.in_channels == TASKS["residual"].in_channels + RING_CHANNELS + 1
