"""Which frames are shown and why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from records.tables import Gallery
from scattering.dataset import Dataset
from search.evaluation.evaluate import measure
from search.evaluation.methods import CLASSICAL, LINEAR, Filler, Images, Method
from search.evaluation.pictures import CROP, Failures, close_up, photon_noise
from search.evaluation.scores import targets
from trainables.images import whole_frames


def zeros(images: Images) -> np.ndarray:
    return images.measured * 0


GOOD = replace(LINEAR, name="good", kind="network")
BAD = Method("bad", "network", (Filler(zeros, zeros),))


def assert_crops_lie_in_frames(gallery: Gallery, shape: tuple[int, int]) -> None:
    for top, bottom, left, right in gallery.crops:
        assert (bottom - top, right - left) == (min(CROP, shape[0]), min(CROP, shape[1]))
        assert 0 <= top < bottom <= shape[0]
        assert 0 <= left < right <= shape[1]


@pytest.mark.parametrize("good_first", [True, False])
def test_gallery_goes_from_the_best_to_the_worst_frame_of_the_best_network(data: Dataset, good_first: bool) -> None:
    result = measure([*((GOOD, BAD) if good_first else (BAD, GOOD)), *CLASSICAL], data)
    errors = {s.frame: s.horizontal_l1 for s in result.frames if s.method == "good"}
    shown = [errors[name] for name in result.gallery.names]
    assert shown == sorted(shown, key=float)
    assert (min(errors.values(), key=float), max(errors.values(), key=float)) == (shown[0], shown[-1])
    assert result.gallery.reasons == [
        "best", "better than three quarters", "median", "worse than three quarters", "worst",
    ]  # fmt: skip
    assert np.isnan(result.gallery.input).any()
    assert_crops_lie_in_frames(result.gallery, data.gap.shape)


@pytest.mark.parametrize(
    ("frames", "reasons"), [(1, ["best"]), (2, ["best", "worst"]), (3, ["best", "median", "worst"])]
)
def test_few_frames_are_shown_once_each(data: Dataset, frames: int, reasons: list[str]) -> None:
    gallery = measure([GOOD], data.select(range(frames))).gallery
    assert gallery.reasons == reasons
    assert len(set(gallery.names)) == frames


def test_pictures_show_what_each_method_fills(data: Dataset) -> None:
    result = measure([GOOD, BAD], data)
    for shown in (result.gallery, result.failures):
        part = data.select([data.names.index(name) for name in shown.names])
        np.testing.assert_allclose(shown.filled[:, 0], LINEAR.fillers[0].frames(whole_frames(part)), atol=1e-7)
        assert not shown.filled[:, 1].any()
        assert shown.methods == ["good", "bad"]


def test_a_planted_failure_of_all_methods_is_found(data: Dataset) -> None:
    """In frame 4 a spot in a gap that nobody could know; elsewhere each method fails, but never both."""
    truth = data.truth.copy()
    scored = whole_frames(data).scored
    row = int(np.flatnonzero(scored[4].any(axis=1))[0])
    truth[4, row, 10:40] += np.float32(0.5)
    spotted = replace(data, truth=truth)

    def spoilt(frames: slice) -> Method:
        def each(images: Images) -> np.ndarray:
            numbers = np.array([data.names.index(name) for name in images.data.names])
            spoil = np.isin(numbers, np.arange(len(data))[frames])[images.frame]
            return np.where(spoil[:, None, None], 0.9, LINEAR.fillers[0].frames(images)).astype(np.float32)

        return Method(f"spoilt {frames}", "classical", (Filler(each, each),))

    failures = measure([spoilt(slice(0, 4)), spoilt(slice(6, 9))], spotted).failures
    assert failures.names[0] == "frame 4"
    assert len(set(failures.names)) == 3
    top, bottom, left, right = failures.crops[0]
    assert top <= row < bottom
    assert left <= 10
    assert right >= 40
    part = slice(top, bottom), slice(left, right)
    inside = scored[4][part]
    errors = [np.abs(fill[part] - truth[4][part])[inside].mean() for fill in failures.filled[0]]
    assert failures.reasons[0] == f"no method comes closer than {min(errors):.2g} here"
    assert_crops_lie_in_frames(failures, data.gap.shape)


def test_noise_is_no_failure(data: Dataset) -> None:
    """The noise-free intensity fails nowhere where it is known; else photon noise is allowed for."""
    clean = data.truth + np.float32(0.01)
    known = Failures(targets(replace(data, clean=clean)))
    known.add(clean[known.targets.horizontal.scored])
    assert max(least.max() for least in known.least) == pytest.approx(0, abs=1e-6)
    unknown = Failures(targets(data))
    scored = unknown.targets.horizontal.scored
    noise = photon_noise(data.truth, data.full_scale).astype(np.float32) * np.float32(0.99)
    unknown.add((data.truth + noise)[scored])
    assert max(least.max() for least in unknown.least) == pytest.approx(0, abs=1e-6)
    unknown.least = []
    unknown.add((data.truth + np.float32(0.2))[scored])
    assert min(least.max() for least in unknown.least) > 1


def test_photon_noise_is_at_least_that_of_poisson_counts() -> None:
    """The spread of 10^5 draws, whose own error is 0.2 %, about mean counts from 0.1 to 10^4."""
    rng, full_scale = np.random.default_rng(0), 2.0**20
    for counts in (0.1, 1, 10, 100, 1e4):
        intensity = np.log1p(rng.poisson(counts, 100_000)) / np.log1p(full_scale)
        bound = photon_noise(np.array([np.log1p(counts) / np.log1p(full_scale)], np.float32), full_scale)[0]
        assert intensity.std() < 1.2 * bound
        assert counts < 10 or intensity.std() > 0.9 * bound


def test_the_close_up_lies_where_the_hidden_truth_varies_with_its_gap_in_the_middle() -> None:
    truth, held_out = np.zeros((200, 200), np.float32), np.zeros((200, 200), bool)
    held_out[40:44] = held_out[150:154] = True
    truth[150:154, 100:110] = np.linspace(0, 1, 10)
    top, bottom, left, right = close_up(truth, held_out)
    assert (top + bottom) / 2 == 152
    assert left < 105
    assert right >= 110
    assert close_up(truth[:9], held_out[:9] & False) == (0, 9, 0, 48)
