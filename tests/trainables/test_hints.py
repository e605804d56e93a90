"""Hints from the table are those that would be made step by step, and know nothing of what lies under the gaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scattering.dataset import Dataset
from trainables import hints
from trainables.batches import NO_GAP, Batch, Part, WindowSet

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def table(data: Dataset) -> hints.Hints:
    return hints.tabulate(WindowSet(data, CPU))


def every(windows: WindowSet) -> Batch:
    """Every window under every pattern."""
    patterns = torch.arange(NO_GAP, windows.patterns)
    chosen = torch.arange(len(windows)).repeat_interleave(len(patterns))
    return windows.batch(chosen, patterns.repeat(len(windows)))


def made(batch: Batch) -> torch.Tensor:
    return hints.make(batch.measured, batch.observed)


def test_the_table_has_what_would_be_made(data: Dataset, table: hints.Hints) -> None:
    batch = every(WindowSet.of(Part(data, table), CPU))
    expected = made(batch)
    assert torch.equal(batch.hints[:, :1], expected[:, :1])
    # Slants in half precision: eleven bits.
    assert torch.allclose(batch.hints[:, 1:], expected[:, 1:], rtol=2**-11, atol=1e-7)
    assert expected[:, 1:].abs().max() > 0.01


def test_windows_without_a_table_bring_no_hints(data: Dataset) -> None:
    assert every(WindowSet(data, CPU)).hints.shape[1] == 0


def test_tables_of_parts_join_to_that_of_all(data: Dataset, table: hints.Hints) -> None:
    pieces = [data.select(frames) for frames in (range(1), range(1, 6), range(6, len(data)))]
    joined = hints.join([hints.tabulate(WindowSet(piece, CPU)) for piece in pieces])
    one, other = (every(WindowSet(data, CPU, rows)).hints for rows in (joined, table))
    assert torch.equal(one, other)
    first = Part(data, joined).first()
    assert torch.equal(every(WindowSet.of(first, CPU)).hints, other[: len(every(WindowSet.of(first, CPU)).hints)])


def test_frames_without_gaps_have_a_table_too(data: Dataset) -> None:
    whole = replace(data, observed=np.ones_like(data.observed))
    windows = WindowSet(whole, CPU, hints.tabulate(WindowSet(whole, CPU)))
    plain = windows.batch(torch.arange(3), torch.full((3,), NO_GAP))
    assert torch.equal(plain.hints[:, :1], plain.measured)
    assert not plain.hints[:, 1:].any()


def test_the_size_is_at_least_that_of_the_table(data: Dataset, table: hints.Hints) -> None:
    bytes_of_table = sum(array.nbytes for array in table)
    assert bytes_of_table <= hints.size(WindowSet(data, CPU)) <= 3 * bytes_of_table


def test_no_hint_knows_what_lies_under_a_gap(data: Dataset, table: hints.Hints) -> None:
    """Neither under the detector's gaps nor under the artificial ones."""
    spoilt = replace(data, truth=np.where(data.observed, data.truth, np.float32(0.9)))
    for one, other in zip(hints.tabulate(WindowSet(spoilt, CPU)), table, strict=True):
        np.testing.assert_array_equal(one, other)
