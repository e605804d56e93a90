import math
import re

from reports import leaderboard, ranking
from reports.figures import bars


def test_methods_rank_by_l1_and_the_limit_comes_last_without_a_rank(make_score):
    scores = [
        make_score("floor", "limit", 1e-3),
        make_score("linear", "classical", 7e-3),
        make_score("tunet", l1=4e-3),
        make_score("biharmonic", "classical", 6e-3),
    ]
    rows = leaderboard.rows(scores)
    assert [(row.score.method, row.rank) for row in rows] == [
        ("tunet", 1),
        ("biharmonic", 2),
        ("linear", 3),
        ("floor", None),
    ]
    assert rows[-1].best == frozenset()


def test_equal_methods_share_the_rank_and_the_mark(make_score):
    rows = leaderboard.rows([make_score("b"), make_score("a"), make_score("c", l1=9e-3)])
    assert [(row.score.method, row.rank) for row in rows] == [("a", 1), ("b", 1), ("c", 3)]
    assert ["horizontal_l1" in row.best for row in rows] == [True, True, False]


def test_nothing_is_best_where_all_methods_print_the_same(make_score):
    rows = leaderboard.rows([make_score("a"), make_score("b", l1=9e-3)])
    assert "horizontal_cc" not in rows[0].best | rows[1].best


def test_a_method_without_a_value_comes_after_those_that_have_it(make_score):
    rows = leaderboard.rows(
        [make_score("partial", l1=1e-3, vertical_l1=None), make_score("whole"), make_score("lost", l1=math.nan)]
    )
    assert rows[0].score.method == "whole"
    assert rows[1].rank == rows[2].rank == 2


def test_ratios_are_to_biharmonic_and_absent_without_it(make_score):
    tunet, other = make_score("tunet", l1=4e-3), make_score("biharmonic", "classical", 6e-3)
    assert math.isclose(leaderboard.rows([tunet, other])[0].horizontal_ratio, 1.5)
    assert leaderboard.rows([tunet])[0].horizontal_ratio is None


def test_best_follows_the_direction_of_the_measure(make_score):
    rows = leaderboard.rows(
        [make_score("a", l1=4e-3, horizontal_cc=0.9), make_score("b", l1=6e-3, horizontal_cc=0.99)]
    )
    assert "horizontal_l1" in rows[0].best
    assert "horizontal_cc" in rows[1].best
    assert "parameters" not in rows[0].best | rows[1].best


def test_table_drops_what_no_method_has_and_dashes_what_one_lacks(make_score):
    rows = leaderboard.rows(
        [
            make_score("a", parameters=12_345, vertical_l1=None, vertical_cc=None),
            make_score("b", vertical_l1=None, vertical_cc=None),
        ]
    )
    html = leaderboard.html(rows)
    assert "vertical</small>" not in html.partition("Save as")[0]
    assert re.search(r"<td>12.345</td>", html)
    assert "I(q)" not in html


def test_the_best_is_marked_for_eyes_and_for_screen_readers(make_score):
    html = leaderboard.html(leaderboard.rows([make_score("a", l1=4e-3), make_score("b", l1=6e-3)]))
    assert "<strong>4.00</strong><span class='hidden'> (best)</span>" in html


def test_text_fits_a_terminal(make_score):
    rows = leaderboard.rows(
        [make_score("a long name\n" * 9, l1=123.4, parameters=34_512_200), make_score("b", l1=None)]
    )
    lines = leaderboard.text(rows).splitlines()
    assert len(lines) == 2 + len(rows) + 1
    assert lines[-1].startswith("*: best of the column")
    assert max(map(len, lines)) <= 100


def test_a_tie_is_called_a_tie_and_too_few_groups_are_no_tie(make_score, make_frames):
    scores = [make_score("a", l1=4e-3), make_score("b", l1=4.001e-3), make_score("c", l1=8e-3)]
    many, few = ranking.rank(scores, make_frames(scores)), ranking.rank(scores, make_frames(scores, groups=3))
    assert [row.ties for row in many.rows] == [("b",), ("a",), ()]
    assert [row.ties for row in few.rows] == [(), (), ()]
    html = leaderboard.html(many.rows)
    assert html.count("<span class='equal'>=</span><span class='hidden'> (ties with ") == 2 * 2
    assert "too few for intervals" not in html
    assert "n = 6 test frames of 3 samples or series, too few for intervals. " in leaderboard.html(few.rows)
    *lines, explained = leaderboard.text(many.rows).splitlines()[2:]
    assert "=: not told apart" in explained
    assert [line.split()[:2] for line in lines] == [["1=", "a"], ["2=", "b"], ["3", "c"]]


def test_the_mean_per_frame_stands_with_its_interval(make_score, make_frames):
    scores = [make_score("a", l1=4e-3, vertical_l1=None)]
    row = ranking.rank(scores, make_frames(scores)).rows[0]
    low, high = row.means["horizontal"].interval
    assert low < row.means["horizontal"].value < high
    assert f"<small>{low * 1e3:.2f} to {high * 1e3:.2f}</small>" in leaderboard.html([row])
    assert row.means["vertical"].value is None


def test_the_spread_over_seeds_stands_beside_the_mean(make_score):
    rows = leaderboard.rows([make_score("a", l1=4e-3, horizontal_l1_sd=1.5e-4, seeds=3), make_score("b", l1=5e-3)])
    html = leaderboard.html(rows)
    assert "± 0.15</small>" in html
    assert html.partition("Save as")[0].count("± 0.") == 1
    assert "over 3 trainings" in html


def test_the_rule_of_the_ranking_stands_above_the_table(make_score):
    both = leaderboard.html(leaderboard.rows([make_score("a"), make_score("b", l1=6e-3)]))
    assert "ranked by the product of L1 on horizontal and on vertical gaps, the lowest first" in both
    one = leaderboard.html(leaderboard.rows([make_score("a", vertical_l1=None), make_score("b", vertical_l1=None)]))
    assert "ranked by L1, the lowest first" in one


def test_measures_have_three_digits(make_score):
    html = leaderboard.html(leaderboard.rows([make_score("a", l1=4.1059e-3, ms_per_frame=410.04)]))
    shown = html.partition("Save as")[0] + html.partition('<table class="costs">')[2].partition("Save as")[0]
    assert {"4.11", "3.70", "12.5", "410"} <= set(re.findall(r">([\d.]+)<", shown))


def test_bars_name_the_lowest_and_the_highest_by_value_not_by_rank(make_score):
    rows = leaderboard.rows([make_score("a", l1=4e-3, vertical_l1=9e-3), make_score("b", l1=9e-3, vertical_l1=5e-3)])
    assert [row.score.method for row in rows] == ["a", "b"]
    assert bars.caption(bars.rows(rows, "vertical"), "vertical").endswith("lowest b 5.00, highest a 9.00.")


def test_bars_leave_out_what_has_no_value_and_name_the_limit(make_score):
    rows = leaderboard.rows([make_score("a", l1=4e-3), make_score("b", l1=None), make_score("floor", "limit", 1e-3)])
    scores = bars.rows(rows, "horizontal")
    chart = bars.figure(scores, "horizontal")
    assert list(chart.data[0].y) == ["a"]
    assert chart.layout.shapes[0].x0 == 1.0
    assert "a 4.00. Dotted: the noise floor, 1.00." in bars.caption(scores, "horizontal")
