"""Stages of a run that need no Ray: which trial wins."""

from __future__ import annotations

import pytest

from search.experiment import _nothing, best
from search.records import Trial


def trial(number: int, state: str, value: float | None, network: str = "tunet", error: str = "") -> Trial:
    return Trial(number, network, state, 3, value, None, None, None, 1, 1.0, error=error)


@pytest.mark.parametrize(
    ("trials", "winner"),
    [
        ([trial(0, "stopped", 0.1), trial(1, "finished", 0.3), trial(2, "finished", 0.2)], 2),
        ([trial(0, "stopped", 0.1), trial(1, "interrupted", 0.3)], 1),
        ([trial(0, "finished", 0.1, "msdnet"), trial(1, "stopped", 0.3)], 1),
        ([trial(0, "finished", None), trial(1, "stopped", 0.3)], 1),
    ],
)
def test_the_winner_is_the_best_of_those_that_finished(trials: list[Trial], winner: int) -> None:
    found = best(trials, "tunet")
    assert found is not None
    assert found.trial == winner


def test_without_a_result_there_is_no_winner() -> None:
    failed = [trial(0, "failed", None, error="out of memory"), trial(1, "failed", 0.1, error="the loss")]
    assert best(failed, "tunet") is None
    assert "out of memory; the loss" in _nothing(failed)
    assert "give more --minutes" in _nothing([])
