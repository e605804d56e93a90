import threading

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from scattering import dataset
from scattering.detectors import Detector
from trainables.batches import NO_GAP, Drawn, WindowSet

CPU = torch.device("cpu")


def every(windows: WindowSet, pattern: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(len(windows)), torch.full((len(windows),), pattern)


@pytest.fixture(scope="module")
def gapless(raw_frames):
    """Windows of a detector without any vertical gap."""
    gap = np.zeros((140, 150), bool)
    gap[44:50] = True
    detector = Detector("rows", gap, (172e-6, 172e-6))
    frames = raw_frames(3, (140, 150), detector)
    return WindowSet(dataset.build(frames, detector, (64, 64), {}, 150), CPU)


def test_without_a_gap_a_batch_is_the_plain_window(window_set, data):
    batch = window_set.batch(*every(window_set, NO_GAP))
    layout = data.windows
    for number in range(len(window_set)):
        frame, free = divmod(number, len(layout.free))
        columns = slice(layout.starts[layout.free[free]], layout.starts[layout.free[free]] + layout.width)
        for name in ("measured", "observed", "truth", "valid"):
            expected = getattr(data, name)[frame][:, columns]
            np.testing.assert_array_equal(getattr(batch, name)[number, 0].numpy(), expected)


def test_gaps_are_laid_where_the_other_windows_have_them(window_set, data):
    layout = data.windows
    for pattern, gapped in enumerate(layout.gapped):
        batch = window_set.batch(*every(window_set, pattern))
        expected = torch.from_numpy(layout.pattern(gapped))
        for window in range(3):
            gap = ~batch.observed[window, 0, 5:15]  # rows without a horizontal gap
            assert gap.any(dim=0).equal(gap.all(dim=0))
            # The gap moves by whole detector pixels: its edges may fall in the next pixel.
            near = F.max_pool1d(expected[None].float(), 3, stride=1, padding=1)[0].bool()
            assert gap[0].any()
            assert not (gap[0] & ~near).any()


def test_a_gap_changes_nothing_away_from_it(window_set):
    plain = window_set.batch(*every(window_set, NO_GAP))
    for pattern in range(window_set.patterns):
        laid = window_set.batch(*every(window_set, pattern))
        away = torch.ones(laid.measured.shape[-1], dtype=torch.bool)
        away[window_set.strip_columns[pattern]] = False
        assert torch.equal(laid.measured[..., away], plain.measured[..., away])
        assert torch.equal(laid.observed[..., away], plain.observed[..., away])
        assert torch.equal(laid.truth, plain.truth)
        assert torch.equal(laid.valid, plain.valid)


def test_held_out_is_valid_and_not_observed(data):
    valid = np.random.default_rng(0).random(data.valid.shape) > 0.3
    windows = WindowSet(dataset.replace(data, valid=valid), CPU)
    batch = windows.batch(torch.arange(36), windows.fixed_patterns())
    assert torch.equal(batch.held_out, batch.valid & ~batch.observed)
    assert (~batch.observed & ~batch.valid).any()
    assert batch.held_out.flatten(1).any(dim=1).all()


def test_measured_is_zero_where_not_observed(window_set):
    for pattern in range(NO_GAP, window_set.patterns):
        batch = window_set.batch(*every(window_set, pattern))
        assert not batch.measured[~batch.observed].any()


def test_a_batch_does_not_write_into_the_data(data, window_set):
    before = data.fingerprint()
    batch = window_set.batch(torch.arange(36), window_set.fixed_patterns())
    for tensor in batch:
        tensor.zero_()
    assert data.fingerprint() == before


def test_windows_of_a_batch_are_those_asked_for(window_set):
    chosen, pattern = torch.tensor([30, 4, 4, 17]), torch.tensor([0, NO_GAP, 2, 1])
    batch = window_set.batch(chosen, pattern)
    for place in range(4):
        alone = window_set.batch(chosen[place : place + 1], pattern[place : place + 1])
        for name in ("measured", "observed", "truth", "valid"):
            assert torch.equal(getattr(batch, name)[place], getattr(alone, name)[0])


def test_fixed_gaps_follow_the_frame_and_not_its_place(data, window_set):
    turned = list(range(11, -1, -2))
    fixed = window_set.fixed_patterns().reshape(12, -1)
    other = WindowSet(data.select(turned), CPU).fixed_patterns().reshape(len(turned), -1)
    assert torch.equal(other, fixed[turned])


def test_fixed_gaps_follow_names_alone(data):
    renamed = dataset.replace(data, names=tuple(f"other {name}" for name in data.names))
    noise = dataset.replace(data, measured=np.zeros_like(data.measured), truth=np.ones_like(data.truth))
    fixed = WindowSet(data, CPU).fixed_patterns()
    assert torch.equal(WindowSet(noise, CPU).fixed_patterns(), fixed)
    assert not torch.equal(WindowSet(renamed, CPU).fixed_patterns(), fixed)


def test_fixed_gaps_use_every_pattern(window_set):
    fixed = window_set.fixed_patterns()
    # 36 draws of 4: all of them but for one run in 8000; the names are fixed, so always or never.
    assert set(fixed.tolist()) == set(range(window_set.patterns))


def test_random_gaps_are_as_likely_as_none(window_set):
    count = 50_000
    drawn = window_set.random_patterns(count, torch.Generator().manual_seed(0))
    outcomes = torch.bincount(drawn + 1, minlength=window_set.patterns + 1)
    share = 1 / (window_set.patterns + 1)
    assert len(outcomes) == window_set.patterns + 1
    # 6 sigma for each of 5 outcomes: a false failure in 10^8 runs (were the seed not fixed).
    np.testing.assert_allclose(outcomes / count, share, atol=6 * np.sqrt(share * (1 - share) / count))


def test_a_detector_without_vertical_gaps_lays_none(gapless):
    drawn = gapless.random_patterns(50, torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == set(gapless.fixed_patterns().tolist()) == {NO_GAP}
    batch = gapless.batch(torch.arange(len(gapless)), gapless.fixed_patterns())
    assert torch.equal(batch.held_out, ~batch.observed)
    assert batch.held_out.any()


def test_batches_from_the_host_are_the_same_and_one_ahead(data):
    here, there = WindowSet(data, CPU), WindowSet(data, CPU)
    there.device = torch.device("cpu", 0)  # another device than that of the windows, for all that it knows
    chosen, patterns = torch.arange(20), torch.arange(20) % here.patterns
    parts = [Drawn(*part) for part in zip(chosen.split(6), patterns.split(6), strict=True)]
    for one, other in zip(here.batches(parts), there.batches(parts), strict=True):
        assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_batches_may_be_left_before_their_end(data):
    windows = WindowSet(data, CPU)
    windows.device = torch.device("cpu", 0)
    parts = [Drawn(torch.arange(4), torch.zeros(4, dtype=torch.long))] * 9
    before = threading.active_count()
    batches = windows.batches(parts)
    next(batches)
    assert threading.active_count() == before + 1
    batches.close()
    assert threading.active_count() == before
    assert list(windows.batches([])) == []
