"""No truth may reach a network: what is not observed changes no bit of what a network sees."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scattering.dataset import ARRAYS, Dataset, RawFrame
from scattering.detectors import detector
from scattering.sources import from_files
from scattering.split import split
from scattering.survey.findings import Options
from tests.courses import in_epochs
from trainables.batches import NO_GAP, Batch, WindowSet
from trainables.tasks import TASKS
from trainables.training import fit, validate

SIZE = 128
SHAPES = [(300, 280), (140, 150), (90, 100)]
"""Frames larger than the working size, those of the detector, and smaller ones."""

SEEN = ("measured", "observed", "strips", "strips_observed")


class Recorder(nn.Module):
    """Remembers what it is given; its one weight makes it trainable."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(image.detach().clone())
        return self.weight * image[:, :1]


def changed(frame: RawFrame, where: np.ndarray, counts: np.ndarray) -> RawFrame:
    """The frame with other counts in some of its pixels."""
    return frame._replace(truth=np.where(where, counts, frame.truth).astype(np.result_type(frame.truth, counts)))


def differing(first: Dataset, second: Dataset) -> set[str]:
    return {name for name in ARRAYS if getattr(first, name).tobytes() != getattr(second, name).tobytes()}


def bits(batch: Batch) -> tuple[bytes, bytes]:
    return batch.measured.numpy().tobytes(), batch.observed.numpy().tobytes()


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def raw(request, raw_frames, tiny_detector):
    return raw_frames(1, request.param, tiny_detector, seed=3)[0]


@pytest.fixture(scope="module")
def built(raw, prepare):
    return prepare([raw], SIZE)


def garbage(kind: str, shape: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(9)
    return {
        "random": rng.integers(0, 2**21, shape, dtype=np.int32),
        "negative": np.full(shape, -(2**31), np.int32),
        "overflowed": np.full(shape, 2**32 - 1, np.int64),
        "huge": np.full(shape, 1e300),
        "zero": np.zeros(shape, np.int32),
    }[kind]


@pytest.mark.parametrize("kind", ["random", "overflowed", "zero"])
def test_counts_in_gaps_change_the_truth_and_nothing_that_is_seen(raw, built, prepare, kind):
    other = prepare([changed(raw, ~raw.observed, garbage(kind, raw.truth.shape))], SIZE)
    assert differing(built, other) == {"truth"}


@pytest.mark.parametrize("kind", ["random", "negative", "overflowed", "huge", "NaN"])
def test_codes_in_gaps_without_truth_change_nothing_at_all(raw, prepare, kind):
    codes = np.full(raw.truth.shape, np.nan) if kind == "NaN" else garbage(kind, raw.truth.shape)
    plain = raw._replace(valid=raw.observed)
    assert differing(prepare([plain], SIZE), prepare([changed(plain, ~raw.observed, codes)], SIZE)) == set()


def test_observed_counts_do_change_what_is_seen(raw, built, prepare):
    other = prepare([changed(raw, raw.observed, garbage("random", raw.truth.shape))], SIZE)
    assert differing(built, other) == {"measured", "truth", "strips"}


def test_a_second_exposure_changes_the_truth_and_nothing_that_is_seen(raw, prepare):
    twice = raw._replace(measured=raw.truth, clean=raw.truth)
    other = changed(twice, raw.valid, garbage("random", raw.truth.shape))._replace(clean=raw.truth + 7)
    assert differing(prepare([twice], SIZE), prepare([other], SIZE)) == {"truth"}


@pytest.mark.parametrize("highest", [2**10, 2**20 - 1])
def test_files_that_differ_in_gaps_look_the_same(raw_frames, tmp_path, monkeypatch, highest):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    frame = raw_frames(1, (420, 370), detector("Pilatus2M"))[0]
    # Whether it is a full counter must not be told by what lies under the gaps.
    frame.truth[tuple(np.argwhere(frame.observed)[77])] = highest
    noise = garbage("random", frame.truth.shape)
    sets = []
    for folder, under in (("a", frame.truth), ("b", noise)):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "frame.h5"
        with h5py.File(path, "w") as file:
            file["frames"] = np.stack([np.where(frame.observed, frame.truth, under)] * 3)
        sets.append(from_files([str(path)], Options(detector="Pilatus2M", group_by=".+"), str(SIZE), 0))
    assert differing(*sets) == {"truth"}


def under_gap(data: Dataset, columns: int, pattern: int, free: int, gap: np.ndarray) -> np.ndarray:
    """Columns of the frame as recorded that lie under an artificial gap: the detector's, moved to a free window."""
    layout = data.windows
    scale = columns / layout.frame_shape[1]
    first, target = layout.starts[layout.gapped[pattern]], layout.starts[layout.free[free]]
    inside = [j for j in np.flatnonzero(gap) if first * scale <= j < (first + layout.width) * scale]
    middles = (first + np.flatnonzero(layout.pattern(layout.gapped[pattern])) + 0.5) * scale
    moved = np.union1d(inside, middles.astype(int)).astype(int) + round((target - first) * scale)
    return moved[moved < columns]


def all_patterns(data: Dataset) -> list[tuple[int, int]]:
    return [(p, f) for p in range(len(data.windows.gapped)) for f in range(len(data.windows.free))]


@pytest.fixture(scope="module")
def pairs(raw, built, prepare, tiny_detector):
    """For each artificial gap: pattern, window, and its batch before and after other counts came under the gap."""
    gap = tiny_detector.gap_for(raw.truth.shape).all(axis=0)
    before, found = WindowSet(built, torch.device("cpu")), []
    for pattern, free in all_patterns(built):
        hidden = np.zeros(raw.truth.shape, bool)
        hidden[:, under_gap(built, raw.truth.shape[1], pattern, free, gap)] = True
        other = prepare([changed(raw, hidden, garbage("random", raw.truth.shape))], SIZE)
        after, chosen = WindowSet(other, torch.device("cpu")), (torch.tensor([free]), torch.tensor([pattern]))
        found.append((pattern, free, hidden, before.batch(*chosen), after.batch(*chosen), after))
    return found


def test_counts_under_an_artificial_gap_change_no_bit_of_its_batch(pairs):
    for pattern, free, hidden, before, after, _ in pairs:
        assert hidden.any()
        assert bits(before) == bits(after), f"pattern {pattern} in window {free}"


def test_counts_under_an_artificial_gap_do_change_truth_and_other_batches(pairs):
    for _, free, _, before, after, changed_set in pairs:
        assert not torch.equal(before.truth, after.truth)
        plain = changed_set.batch(torch.tensor([free]), torch.tensor([NO_GAP]))
        assert plain.measured.ne(before.measured)[before.observed].any()


def test_an_artificial_gap_hides_more_than_half_of_each_pixel_it_scores(pairs, built):
    from scattering.preprocessing import resize_matrix

    layout = built.windows
    for _, free, hidden, before, _, _ in pairs:
        weights = resize_matrix(hidden.shape[1], SIZE).toarray()
        window = slice(layout.starts[layout.free[free]], layout.starts[layout.free[free]] + layout.width)
        # Columns that the artificial gap alone takes: real horizontal gaps aside.
        held_out = before.held_out[0, 0].all(dim=0).numpy()
        assert held_out.any()
        assert (weights[window][held_out][:, hidden.any(axis=0)].sum(axis=1) >= 0.5 - 1e-6).all()


@pytest.mark.parametrize("task", TASKS)
def test_networks_are_given_the_same_whatever_lies_under_the_gap(pairs, task):
    for _, _, _, before, after, _ in pairs:
        network = Recorder()
        predicted = [TASKS[task].predict(network, batch.measured, batch.observed) for batch in (before, after)]
        assert torch.equal(*network.seen)
        assert torch.equal(*predicted)


@pytest.mark.parametrize("task", TASKS)
def test_training_and_validation_show_networks_no_truth(data, task):
    rng = np.random.default_rng(0)
    noise = replace(
        data,
        truth=rng.random(data.truth.shape, np.float32),
        valid=data.observed | (rng.random(data.valid.shape) > 0.5),
    )
    seen = []
    for version in (data, noise):
        network, windows = Recorder(), WindowSet(version, torch.device("cpu"))
        for _ in fit(
            network, TASKS[task], windows, windows,
            in_epochs(1, windows, batch_size=8, learning_rate=1e-3, schedule="step", seed=0),
        ):  # fmt: skip
            validate(network, TASKS[task], windows)
        seen.append(network.seen)
    assert len(seen[0]) > 3
    assert all(torch.equal(one, other) for one, other in zip(*seen, strict=True))


def test_frames_of_the_test_set_change_no_bit_of_training_and_validation(raw_frames, prepare, tiny_detector):
    frames = raw_frames(12, (140, 150), tiny_detector)
    groups = [frame.group for frame in frames]
    train, validation, test = split(groups, seed=4)
    others = [
        changed(frame, frame.valid, garbage("random", frame.truth.shape)) if number in test else frame
        for number, frame in enumerate(frames)
    ]
    before, after = prepare(frames), prepare(others)
    assert split(after.groups, seed=4) == (train, validation, test)
    for part in (train, validation):
        assert differing(before.select(part), after.select(part)) == set()
        assert before.select(part).fingerprint() == after.select(part).fingerprint()
    assert {"measured", "truth"} <= differing(before.select(test), after.select(test))


def test_validation_scores_the_same_pixels_whatever_the_frames_hold(raw_frames, prepare, tiny_detector):
    frames = raw_frames(3, (140, 150), tiny_detector)
    others = [changed(frame, frame.valid, garbage("random", frame.truth.shape)) for frame in frames]
    sets = [WindowSet(prepare(version), torch.device("cpu")) for version in (frames, others)]
    batches = [windows.batch(torch.arange(len(windows)), windows.fixed_patterns()) for windows in sets]
    assert torch.equal(batches[0].held_out, batches[1].held_out)
