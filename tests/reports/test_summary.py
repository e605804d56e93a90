import pytest

from reports import leaderboard, summary


@pytest.fixture
def say(make_score):
    def say(horizontal: float, vertical: float) -> str:
        scores = [
            make_score("tunet", l1=horizontal, vertical_l1=vertical),
            make_score("biharmonic", "classical", 6e-3, vertical_l1=5e-3),
            make_score("linear", "classical", 7e-3, vertical_l1=4e-3),
        ]
        rows = leaderboard.rows(scores)
        return summary.headline(rows, summary.duels(rows, []))

    return say


def test_a_network_that_wins_is_compared_with_the_best_classical_method_of_each_gap(say):
    assert "50 % lower on horizontal gaps and 25 % lower on vertical gaps" in say(3e-3, 3e-3)


def test_a_network_that_loses_is_said_to_lose(say):
    assert say(8e-3, 8e-3).startswith("The network did not win: biharmonic and linear")
    assert say(6e-3, 4e-3).startswith("The network did not win")


def test_a_split_result_is_said_to_be_one(say):
    text = say(3e-3, 5e-3)
    assert text.startswith("A split result: tunet is best on horizontal gaps (50 % lower)")
    assert "linear is on vertical gaps, where the network’s error is 25 % higher" in text


def test_nothing_is_claimed_before_the_test_or_without_a_rival(make_score):
    assert "No method has been measured" in summary.headline([], [])
    rows = leaderboard.rows([make_score("tunet")])
    assert "cannot be compared yet" in summary.headline(rows, summary.duels(rows, []))


def test_won_frames_are_counted_over_frames_that_both_methods_have(make_score):
    from search.records import FrameScore

    def frame(method: str, name: str, l1: float | None) -> FrameScore:
        return FrameScore(method, name, "a", "rings", l1, 0.9, None, None)

    frames = [frame("tunet", "1", 1.0), frame("tunet", "2", 3.0), frame("tunet", "3", 1.0), frame("tunet", "4", 1.0)]
    frames += [frame("biharmonic", "1", 2.0), frame("biharmonic", "2", 2.0), frame("biharmonic", "3", None)]
    rows = leaderboard.rows([make_score("tunet", l1=1e-3), make_score("biharmonic", "classical", 2e-3)])
    duel = summary.duels(rows, frames)[0]
    assert (duel.frames_won, duel.frames) == (1, 2)
