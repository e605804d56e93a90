"""A search that hardly happened is called so, and what one gained is that of equal training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from records.tables import Interim, RetrainInterim, Trial
from reports.folder import Run, read
from reports.page import html
from reports.searched import sentences


def trial(number: int, state: str, epochs: float = 2.0, l1: float = 5e-3) -> Trial:
    return Trial(number, "tunet", state, epochs, l1, 0.9, 0.1, 0.1, 99, 10.0, {"task": "residual"})


def interim(number: int, windows: int, l1: float) -> Interim:
    return Interim(number, windows, windows / 100, 0.1, 0.1, l1, 0.9, 1e-3, 1.0)


@pytest.fixture
def one(run: Path) -> Run:
    """Eight trials were planned; four ended, the second best of them won."""
    made = read(run)
    trials = [trial(0, "finished"), trial(1, "stopped"), trial(2, "finished", 2.0, 4e-3), trial(3, "stopped")]
    progress = [interim(0, 100, 6e-3), interim(0, 200, 5e-3), interim(2, 100, 5.9e-3), interim(2, 300, 4e-3)]
    info = replace(made.info, network="tunet", settings={**made.info.settings, "trials": 8, "task": None})
    return replace(made, info=info, trials=trials, progress=progress, winners=[trials[2]], retraining=[])


def test_the_gain_is_that_after_equal_training(one: Run) -> None:
    """Not of the winner's end against an earlier one of the default."""
    (text,) = sentences(one)
    assert "After 1 epoch the" in text
    assert "1.7 % lower than that of the default configuration." in text


def test_the_scatter_of_seeds_stands_beside_the_gain(one: Run) -> None:
    ends = {0: 4.0e-3, 1: 4.2e-3}
    again = [
        RetrainInterim(2, windows, 1.0, 0.1, 0.1, l1 + late, 0.9, 1e-3, 1.0, seed, 1)
        for seed, l1 in ends.items()
        for windows, late in ((100, 0.0), (200, 1e-3))
    ]
    (text,) = sentences(replace(one, retraining=again))
    # Of the best report of each, whose weights are kept.
    assert "seeds of one configuration scatter by 3.4 %" in text


def test_a_default_that_won_is_no_gain(one: Run) -> None:
    (text,) = sentences(replace(one, winners=[one.trials[0]]))
    assert text == "The search found nothing better for TUNet than its default configuration."


@pytest.mark.parametrize(
    ("states", "hardly"),
    [
        (["interrupted"] * 2, "2 of 8 trials began, none finished"),
        (["finished", "stopped", "stopped"], "3 of 8 trials began, 1 finished"),
        (["stopped"] * 8, "8 of 8 trials began, none finished"),
        (["finished"] + ["stopped"] * 7, ""),
        (["finished"] + ["stopped"] * 3 + ["interrupted"] * 4, ""),
    ],
)
def test_a_search_that_hardly_happened_is_called_so(one: Run, states: list[str], hardly: str) -> None:
    trials = [trial(number, state) for number, state in enumerate(states)]
    (text,) = sentences(replace(one, trials=trials, winners=trials[:1]))
    assert ("hardly a search" in text) == bool(hardly)
    assert hardly in text
    if hardly:
        assert "--resume --minutes 30" in text
        assert hardly in html(replace(one, trials=trials, winners=trials[:1]))


def test_before_there_is_a_winner_nothing_is_said(one: Run) -> None:
    assert sentences(replace(one, winners=[])) == []
