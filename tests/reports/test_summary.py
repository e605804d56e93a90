import re
from importlib.resources import files

import pytest

from reports import folder, leaderboard, page, ranking, summary


@pytest.fixture
def say(make_score, make_frames):
    """The headline of a network with these L1, against linear and biharmonic, on so many groups of frames."""

    def say(horizontal: float, vertical: float, groups: int = 12) -> str:
        scores = [
            make_score("tunet", l1=horizontal, vertical_l1=vertical),
            make_score("biharmonic", "classical", 6e-3, vertical_l1=5e-3),
            make_score("linear", "classical", 7e-3, vertical_l1=4e-3),
        ]
        frames = make_frames(scores, groups)
        found = ranking.rank(scores, frames)
        return summary.headline(found.rows, summary.duels(found.rows, frames, found.comparisons))

    return say


def test_a_network_that_wins_is_compared_with_the_best_classical_methods_by_one_number(say):
    # Half of the error on horizontal gaps, three quarters of it on vertical ones.
    assert say(3e-3, 3e-3) == (
        "tunet fills the gaps best: its error is 39 % lower than that of the best classical methods, "
        "“biharmonic” and “linear”."
    )


def test_a_network_that_loses_is_said_to_lose(say):
    assert say(9e-3, 8e-3) == (
        "The network did not win: the error of tunet is 73 % higher than that of “biharmonic” and “linear”."
    )


def test_a_difference_that_may_be_chance_is_a_tie(say):
    assert say(5.99e-3, 3.99e-3).startswith(
        "tunet ties with “biharmonic” and “linear” on horizontal and vertical gaps"
    )


def test_a_split_result_is_said_to_be_one(say):
    assert say(3e-3, 5e-3) == (
        "A split result: tunet errs less than “biharmonic” on horizontal gaps, but errs more than “linear” on "
        "vertical gaps; over both its error is 21 % lower."
    )
    assert "but ties with “linear” on vertical gaps" in say(3e-3, 3.99e-3)


def test_with_too_few_groups_nobody_is_said_to_be_best(say):
    text = say(3e-3, 3e-3, groups=3)
    assert not text.startswith("tunet fills")
    assert "39 % lower" in text
    assert "too few samples or series to tell that from chance" in text


def test_an_ensemble_can_win(make_score, make_frames):
    scores = [make_score("ensemble", "ensemble", 3e-3), make_score("biharmonic", "classical", 6e-3)]
    found = ranking.rank(scores, make_frames(scores))
    duels = summary.duels(found.rows, make_frames(scores), found.comparisons)
    assert summary.headline(found.rows, duels).startswith("ensemble fills the gaps best")


def test_a_test_that_contradicts_the_pooled_error_is_no_win(make_score, make_frames):
    scores = [make_score("tunet", l1=5e-3), make_score("biharmonic", "classical", 6e-3)]
    frames = make_frames([make_score("tunet", l1=7e-3), make_score("biharmonic", "classical", 6e-3)])
    found = ranking.rank(scores, frames)
    duels = summary.duels(found.rows, frames, found.comparisons)
    assert [duel.outcome for duel in duels] == ["unclear", "unclear"]
    assert "neither clearly better nor clearly worse" in summary.headline(found.rows, duels)


def test_working_size_and_number_of_test_frames_stand_beside_the_verdict(run):
    summary_of = page.html(folder.read(run)).partition('<p class="basis">')[2].partition("</p>")[0]
    assert summary_of.startswith("Measured on 24 test frames of 512 × 512 pixels from 12 samples or series")


def test_the_verdict_is_the_largest_text():
    style = files("reports").joinpath("page.css").read_text(encoding="utf-8")
    sizes = {
        selector: min(map(float, re.findall(r"([\d.]+)rem", size)), default=0.0)
        for selector, size in re.findall(r"^([^{}\n]+) \{[^}]*font-size: ([^;]+);", style, re.MULTILINE)
    }
    assert max(sizes, key=sizes.__getitem__) == ".headline"


def test_nothing_is_claimed_before_the_test_or_without_a_rival(make_score):
    assert "No method has been measured" in summary.headline([], [])
    rows = leaderboard.rows([make_score("tunet")])
    assert "cannot be compared yet" in summary.headline(rows, summary.duels(rows, []))


def test_won_frames_are_counted_over_frames_that_both_methods_have(make_score):
    from records.tables import FrameScore

    def frame(method: str, name: str, l1: float | None) -> FrameScore:
        return FrameScore(method, name, "a", "rings", l1, 0.9, None, None)

    frames = [frame("tunet", "1", 1.0), frame("tunet", "2", 3.0), frame("tunet", "3", 1.0), frame("tunet", "4", 1.0)]
    frames += [frame("biharmonic", "1", 2.0), frame("biharmonic", "2", 2.0), frame("biharmonic", "3", None)]
    rows = leaderboard.rows([make_score("tunet", l1=1e-3), make_score("biharmonic", "classical", 2e-3)])
    duel = summary.duels(rows, frames)[0]
    assert (duel.frames_won, duel.frames) == (1, 2)
