"""Stated intervals against the truth: calibrated on some frames, counted on others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from inpainting.uncertainty import Uncertainty
from records.tables import Coverage
from scattering import dataset
from scattering.arrays import Floats
from scattering.dataset import Dataset, RawFrame
from scattering.detectors import Detector
from scattering.simulation.recording import record
from search.evaluation.coverage import Pixels, calibrate, coverage, gap_pixels
from search.evaluation.methods import Filler
from search.evaluation.scores import fill_gaps, targets
from trainables.images import Images


@pytest.fixture(scope="module")
def native(data: Dataset) -> Dataset:
    """The shared frames, which know how large they were."""
    return replace(data, settings={**data.settings, "native": [140, 150]})


def _noisy(size: float, seed: int) -> Filler:
    """A model that knows the truth and adds an error of its own, in proportion to the local intensity."""

    def fill(images: Images) -> Floats:
        rng = np.random.default_rng(seed)
        return images.truth * (1 + size * rng.standard_normal(images.truth.shape)).astype(np.float32)

    return Filler(fill, fill)


def gap_pixels_of(fillers: Sequence[Filler], data: Dataset) -> dict[str, Pixels]:
    return gap_pixels(list(fill_gaps(fillers, data)), targets(data))


def calibrated(fillers: Sequence[Filler], data: Dataset) -> Uncertainty | None:
    return calibrate(list(fill_gaps(fillers, data)), targets(data))


def covered(fillers: Sequence[Filler], uncertainty: Uncertainty, data: Dataset) -> list[Coverage]:
    return coverage(list(fill_gaps(fillers, data)), uncertainty, targets(data))


def _overall(rows: list[Coverage]) -> dict[tuple[str, float], Coverage]:
    return {(row.kind, row.level): row for row in rows if not row.by}


def test_stated_shares_are_found(native: Dataset) -> None:
    found = calibrated([_noisy(0.05, seed) for seed in range(3)], native)
    assert found is not None
    # The same frames with other errors: pixels of both kinds together are exchangeable.
    rows = _overall(covered([_noisy(0.05, seed) for seed in range(10, 13)], found, native))
    for level in found.levels:
        both = [rows[kind, level] for kind in ("horizontal", "vertical")]
        count = sum(row.pixels for row in both)
        assert count > 5000
        # The errors are independent, those of the calibration too. Five standard errors: fails once in 10^6 draws.
        share = sum(row.found * row.pixels for row in both) / count
        assert share == pytest.approx(level, abs=5 * np.sqrt(2 * level * (1 - level) / count))
        for row in both:
            assert row.frames_low is not None and row.frames_high is not None
            assert 0 <= row.frames_low < row.found < row.frames_high <= 1


def test_errors_are_counted_against_the_half_width(native: Dataset) -> None:
    validation, test = native.select(range(8)), native.select(range(8, 12))
    found = calibrated([_noisy(0.05, 1)], validation)
    assert found is not None
    perfect = Filler(*[lambda images: images.truth] * 2)
    far_off = Filler(*[lambda images: images.truth + np.float32(1)] * 2)
    assert {row.found for row in covered([perfect], found, test)} == {1.0}
    assert {row.found for row in covered([far_off], found, test)} == {0.0}
    assert {row.l1 for row in covered([perfect], found, test)} == {0.0}


def test_classes_share_out_the_pixels(native: Dataset) -> None:
    found = calibrated([_noisy(0.05, 1)], native.select(range(8)))
    assert found is not None
    rows = covered([_noisy(0.05, 2)], found, native.select(range(8, 12)))
    for whole in _overall(rows).values():
        own = [row for row in rows if (row.kind, row.level) == (whole.kind, whole.level)]
        near = [row for row in own if row.by == "distance"]
        bright = [row for row in own if row.by == "counts"]
        assert sum(row.pixels for row in near) <= whole.pixels
        assert [row.start for row in near] == sorted(row.start or 0 for row in near)
        assert 0 < sum(row.pixels for row in bright) <= whole.pixels
        widths = [row.half_width_counts for row in bright]
        assert widths == sorted(widths), "errors in proportion are larger, in counts, where there are more"


def test_members_are_averaged_and_their_spread_is_known(native: Dataset) -> None:
    models = [_noisy(0.05, seed) for seed in range(3)]
    alone = [gap_pixels_of([model], native)["vertical"] for model in models]
    together = gap_pixels_of(models, native)["vertical"]
    fills = np.stack([pixels.filled for pixels in alone])
    np.testing.assert_allclose(together.filled, fills.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(together.spread, fills.std(axis=0, ddof=1), rtol=1e-4)
    assert not alone[0].spread.any()


def test_pixels_know_their_frame_and_distance(native: Dataset) -> None:
    pixels = gap_pixels_of([_noisy(0.05, 1)], native)
    scored = native.valid & ~native.observed & ~native.windows.vertical
    assert np.bincount(pixels["horizontal"].frame).tolist() == scored.sum(axis=(1, 2)).tolist()
    assert pixels["horizontal"].distance.min() == 1
    # Not one part of a few frames alone: there are twelve.
    assert set(pixels["vertical"].frame.tolist()) == set(range(12))


def test_too_few_pixels_are_not_calibrated(native: Dataset) -> None:
    unseen = replace(native, valid=native.observed)
    nothing = replace(unseen, strips_observed=np.ones_like(native.strips_observed))
    assert calibrated([_noisy(0.05, 1)], nothing) is None


def _noise(data: Dataset) -> Pixels:
    """The truth against the noise-free intensity: what is left is the noise."""

    def clean(images: Images) -> Floats:
        assert images.clean is not None
        return images.clean

    return gap_pixels_of([Filler(clean, clean)], data)["vertical"]


def test_the_noise_of_resized_frames_is_that_of_their_footprint(
    tiny_detector: Detector, raw_frames: Callable[..., list[RawFrame]]
) -> None:
    rng = np.random.default_rng(3)
    frames = []
    for raw in raw_frames(12, (140, 150), tiny_detector):
        clean = np.full(raw.truth.shape, 10 ** rng.uniform(-0.5, 3), np.float32)
        frames.append(raw._replace(truth=rng.poisson(clean).astype(np.int32), clean=clean))
    data = dataset.build(frames, tiny_detector, (64, 64), {"native": [140, 150]}, narrowest=150)
    pixels = _noise(data)
    # Neighbours share weights: some 3000 pixels are worth 1000, the mean square is known to 5 %.
    assert np.mean((pixels.error / pixels.noise) ** 2) == pytest.approx(1, abs=0.25)


@pytest.mark.slow
def test_the_noise_of_simulated_frames_is_that_of_the_detector(tiny_detector: Detector) -> None:
    shape = (64, 64)
    raw = [
        RawFrame(f.name, f.name, f.category, f.truth, f.valid, f.observed, f.counts, f.clean, f.calibration)
        for f in record(tiny_detector, shape, 6, seed=1)
    ]
    working = replace(tiny_detector, gap=tiny_detector.gap_for(shape))
    pixels = _noise(dataset.build(raw, working, shape, {"native": [140, 150]}, narrowest=64))
    assert np.mean((pixels.error / pixels.noise) ** 2) == pytest.approx(1, abs=0.25)
