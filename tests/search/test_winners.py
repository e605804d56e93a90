"""Which trials are trained again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from records.tables import Trial
from search.settings import Settings, Study, resolve
from search.winners import choose, ranked, summary

TUNET = Study("tunet", None)


def trial(
    number: int,
    state: str,
    value: float | None,
    network: str = "tunet",
    task: str = "residual",
    point: int | None = None,
) -> Trial:
    config: dict[str, int | float | str] = {"task": task}
    return Trial(number, network, state, 3, value, None, None, None, 1, 1.0, config, point=point)


@pytest.mark.parametrize(
    ("trials", "winner"),
    [
        ([trial(0, "stopped", 0.4), trial(1, "finished", 0.3), trial(2, "finished", 0.2)], 2),
        ([trial(0, "finished", 0.3), trial(1, "stopped", 0.2), trial(2, "interrupted", 0.1)], 2),
        ([trial(0, "finished", 0.3), trial(1, "stopped", 0.2), trial(2, "interrupted", 0.4)], 1),
        ([trial(0, "failed", 0.1), trial(1, "interrupted", 0.3)], 1),
        ([trial(0, "finished", 0.1, "msdnet"), trial(1, "stopped", 0.3)], 1),
        ([trial(0, "finished", None), trial(1, "stopped", 0.3)], 1),
    ],
)
def test_the_winner_is_the_best_however_it_ended(trials: list[Trial], winner: int) -> None:
    assert ranked(trials, TUNET)[0].trial == winner
    assert [chosen.trial for chosen in choose(resolve("tunet", "x", "quick", {}), trials)] == [winner]


def test_without_a_result_there_is_no_winner() -> None:
    failed = [trial(0, "failed", None), trial(1, "infeasible", 0.1)]
    assert choose(resolve("all", "x", "quick", {"top": 3}), failed) == []
    assert summary(failed, TUNET) == "TUNet: none of 2 trials has a result"


def chosen(settings: Settings, trials: list[Trial], given_up: list[Trial] | None = None) -> list[int]:
    return [winner.trial for winner in choose(settings, trials, given_up or [])]


def test_the_best_of_each_network_win_and_who_gives_up_makes_room() -> None:
    settings = replace(resolve("all", "x", "quick", {"top": 2}), network="all")
    trials = [trial(k, "finished", 0.1 + k, ("tunet", "msdnet")[k % 2]) for k in range(8)]
    assert chosen(settings, trials) == [0, 2, 1, 3]
    assert chosen(settings, trials, [trials[0], trials[3]]) == [2, 4, 1, 5]
    assert chosen(settings, trials, trials[:6]) == [6, 7]


def test_each_task_has_winners_of_its_own_where_both_are_asked_for() -> None:
    trials = [trial(k, "finished", 0.1 + k, task=("blind", "residual")[k > 3]) for k in range(8)]
    assert chosen(resolve("tunet", "x", "quick", {"top": 2}), trials) == [0, 1]
    assert chosen(resolve("tunet", "x", "quick", {"top": 2, "task": "both"}), trials) == [0, 1, 4, 5]


def test_the_best_of_the_papers_points_is_retrained_beside_the_winners() -> None:
    settings = resolve("tunet", "x", "quick", {"points": "paper,search", "top": 2})
    trials = [trial(k, "finished", 0.1 + k, point=k - 3 if k > 3 else None) for k in range(8)]
    assert chosen(settings, trials) == [0, 1, 4]
    # One that wins anyway has its place.
    assert chosen(settings, [*trials, trial(8, "finished", 0.05, point=5)]) == [8, 0]
    assert chosen(settings, trials, [trials[4]]) == [0, 1, 5]


def test_the_summary_names_study_winner_and_configuration() -> None:
    trials = [trial(0, "finished", 4e-3), trial(1, "stopped", 5e-3), trial(2, "finished", 3e-3, task="blind")]
    assert summary(trials, Study("tunet", "residual")) == (
        "TUNet, residual: best of 2 is trial 0, validation gap L1 4.00e-3 (task residual)"
    )
