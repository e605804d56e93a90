"""The latent-space analysis, on neighbours that are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from records.tables import Latent
from scattering.dataset import Dataset
from search.evaluation import latent
from search.evaluation.latent import correlations, latent_space, neighbours, overlap
from trainables import embedding

CPU = torch.device("cpu")
FRAMES, SIZE, KINDS = 40, 32, 4
UNSEEN = slice(8, 12)
DEAD = slice(0, 3)


def frames(seed: int = 0) -> Dataset:
    """Frames whose only difference of kind lies in a gap that a second exposure saw; three columns have no truth."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.1, 0.2, (FRAMES, SIZE, SIZE)).astype(np.float32)
    for kind in range(KINDS):
        truth[kind::KINDS, UNSEEN, 8 * kind : 8 * kind + 8] += 0.6
    valid, observed = np.ones(truth.shape, bool), np.ones(truth.shape, bool)
    valid[:, :, DEAD] = observed[:, :, DEAD] = observed[:, UNSEEN] = False
    truth[~valid] = 0
    nothing = np.zeros((FRAMES, 0, 0, SIZE, 0), np.float32)
    names = tuple(f"frame {rng.integers(10**9)}" for _ in range(FRAMES))
    return Dataset(
        settings={"full_scale": 2.0**20},
        gap=~observed[0],
        names=names,
        groups=names,
        categories=("planted",) * FRAMES,
        parts=("test",) * FRAMES,
        measured=np.where(observed, truth, 0),
        observed=observed,
        truth=truth,
        valid=valid,
        strip_starts=(),
        strips=nothing,
        strips_observed=nothing.astype(bool),
    )


@pytest.fixture(scope="module")
def test_set() -> Dataset:
    return frames()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training of a few steps, where the law does not need a long one."""
    monkeypatch.setattr(embedding, "STEPS", 6)
    monkeypatch.setattr(embedding, "EPOCHS", 2)


def analysed(filled: np.ndarray, test: Dataset, seed: int = 0) -> Latent:
    return latent_space("TUNet", filled, test, seed)


def by_space(found: Latent) -> dict[str, np.ndarray]:
    return dict(zip(found.spaces, found.overlap, strict=True))


def test_a_perfect_fill_has_the_neighbours_of_the_truth(test_set: Dataset, short: None) -> None:
    found = analysed(test_set.truth, test_set)
    share = by_space(found)
    assert (share["truth"] == 1).all()
    assert (share["inpainted"] == 1).all()
    np.testing.assert_array_equal(found.correlation[0], found.correlation[found.spaces.index("inpainted")])
    assert (found.neighbours, found.overlap.shape) == (FRAMES // 10, (4, FRAMES))


@pytest.mark.slow
def test_kinds_that_only_the_gap_tells_apart_are_lost_without_a_fill(test_set: Dataset) -> None:
    """Nothing outside the gap tells the kinds apart, so masked frames have neighbours by chance.

    Overlap by chance has mean 4 / 39 and, were frames independent, a standard error of 0.022; with the factor of
    `test_unrelated_spaces_overlap_by_chance` 0.057: 0.5 is 6 of them off and more, a false failure in 10^9 runs.
    """
    share = by_space(analysed(test_set.truth, test_set))
    assert share["masked"].mean() < 0.5
    assert share["inpainted"].mean() == 1
    order = neighbours(embedding.latent_vectors(test_set.truth, seed=0, device=CPU))
    near = order[:, : FRAMES // KINDS - 1] % KINDS
    assert (near == np.arange(FRAMES)[:, None] % KINDS).mean() > 0.95


def test_equal_seeds_give_equal_results_and_other_seeds_others(test_set: Dataset, short: None) -> None:
    first, again, other = (analysed(test_set.truth * 0.9, test_set, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.overlap, again.overlap)
    np.testing.assert_array_equal(first.correlation, again.correlation)
    assert (first.correlation != other.correlation).any()


def test_another_seed_is_not_that_of_the_other_spaces(test_set: Dataset, short: None) -> None:
    assert by_space(analysed(test_set.truth, test_set))["truth, another seed"].mean() < 1


def test_frames_in_another_order_give_the_same_in_that_order(test_set: Dataset, short: None) -> None:
    order = np.random.default_rng(1).permutation(FRAMES)
    filled = test_set.truth * np.float32(0.8)
    before, after = analysed(filled, test_set), analysed(filled[order], test_set.select(list(order)))
    np.testing.assert_array_equal(before.overlap[:, order], after.overlap)
    np.testing.assert_array_equal(before.correlation, after.correlation)


def test_masked_and_inpainted_frames_know_nothing_of_the_truth(
    test_set: Dataset, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the truth is, what the autoencoders of masked and of filled frames are shown stays the same."""

    def shown(test: Dataset) -> list[np.ndarray]:
        seen: list[np.ndarray] = []

        def watched(frames: np.ndarray, **_: object) -> np.ndarray:
            seen.append(frames.copy())
            return np.random.default_rng(0).normal(size=(len(frames), 3))

        monkeypatch.setattr(latent, "latent_vectors", watched)
        analysed(test_set.measured + np.float32(0.1), test)
        return seen

    truth, masked, inpainted, again = shown(test_set)
    other = shown(dataclasses.replace(test_set, truth=test_set.truth[::-1].copy()))
    np.testing.assert_array_equal(masked, other[1])
    np.testing.assert_array_equal(inpainted, other[2])
    assert (truth != other[0]).any()
    np.testing.assert_array_equal(truth, again)
    assert (masked[:, UNSEEN] == 0).all()
    for each in (truth, masked, inpainted):
        assert (each[:, :, DEAD] == 0).all()


def test_neighbours_are_those_on_a_line() -> None:
    places = np.array([[0.0], [1.0], [3.0], [7.0]])
    assert neighbours(places).tolist() == [[1, 2, 3], [0, 2, 3], [1, 0, 3], [2, 1, 0]]


def test_equal_vectors_are_ranked_by_number_and_never_themselves() -> None:
    assert neighbours(np.zeros((4, 2))).tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


def test_overlap_counts_the_shared_among_the_nearest() -> None:
    ranks = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
    other = np.array([[1, 3, 2], [2, 3, 0], [1, 0, 3], [2, 1, 0]])
    assert overlap(other, ranks, 2).tolist() == [0.5, 0.5, 1.0, 0.5]
    assert (overlap(other, ranks, 3) == 1).all()


def test_unrelated_spaces_overlap_by_chance() -> None:
    """Mean k / (N - 1); each frame's overlap is hypergeometric, but frames share neighbours.

    60 pairs of spaces spread 2.6 times as widely as with independent frames. 6 of these standard errors: a false
    failure in 5 x 10^8 runs.
    """
    count, near = 300, 30
    rng = np.random.default_rng(0)
    first, second = (neighbours(rng.normal(size=(count, 200))) for _ in range(2))
    share = near / (count - 1)
    deviation = 2.6 * np.sqrt(share * (1 - share) * (count - 1 - near) / (count - 2) / near / count)
    assert overlap(first, second, near).mean() == pytest.approx(share, abs=6 * deviation)


def test_correlation_agrees_with_numpy_over_the_pixels_that_both_observed() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0.4, 0.1, (5, 30, 41)).astype(np.float32)
    values += np.linspace(0, 1, 41, dtype=np.float32) * rng.normal(size=(5, 1, 1)).astype(np.float32)
    observed = rng.random(values.shape) > 0.4
    found = correlations(values, observed, CPU)
    for i in range(5):
        for j in range(5):
            both = observed[i] & observed[j]
            assert found[i, j] == pytest.approx(np.corrcoef(values[i][both], values[j][both])[0, 1], abs=1e-5)


def test_masked_pixels_do_not_influence_the_correlation() -> None:
    rng = np.random.default_rng(0)
    values, observed = rng.random((4, 16, 16)).astype(np.float32), rng.random((4, 16, 16)) > 0.3
    spoilt = np.where(observed, values, np.float32(0.9))
    np.testing.assert_array_equal(correlations(values, observed, CPU), correlations(spoilt, observed, CPU))
