import dataclasses

import pytest

from records.tables import FrameScore
from reports import comparisons, ranking
from reports.statistics import compare, holm


@pytest.fixture
def found(make_score, make_frames):
    """Scores, frames and comparisons of five methods; a and b are equally good."""
    scores = [
        make_score("a", l1=4e-3),
        make_score("b", l1=4.001e-3),
        make_score("c", l1=5e-3),
        make_score("biharmonic", "classical", 6e-3),
        make_score("linear", "classical", 7e-3),
    ]
    frames = make_frames(scores)
    return scores, frames, comparisons.rows(scores, frames)


def test_each_method_meets_the_best_classical_one_and_its_neighbours_once(found):
    pairs = [frozenset((c.method, c.rival)) for c in found[2] if c.kind == "horizontal"]
    assert len(pairs) == len(set(pairs)) == 6
    assert {frozenset(pair) for pair in (("a", "biharmonic"), ("a", "b"), ("linear", "biharmonic"))} <= set(pairs)
    assert frozenset(("a", "c")) not in pairs


def test_p_is_corrected_for_all_tests_of_both_kinds_of_gap(found):
    _, frames, rows = found
    raw = []
    for row in rows:
        own, other = (
            {f.frame: getattr(f, f"{row.kind}_l1") for f in frames if f.method == name}
            for name in (row.method, row.rival)
        )
        groups = {f.frame: f.group for f in frames}
        raw.append(compare(list(own.values()), [other[f] for f in own], [groups[f] for f in own]).p)
    assert [row.p for row in rows] == pytest.approx(holm(raw))
    assert len(raw) == 12


def test_verdicts_are_said_from_the_side_of_the_method(found):
    rows = found[2]
    assert comparisons.find(rows, "horizontal", "a", "b").verdict == "tie"
    forth, back = (comparisons.find(rows, "vertical", *pair) for pair in (("c", "biharmonic"), ("biharmonic", "c")))
    assert (forth.verdict, back.verdict) == ("better", "worse")
    assert (1 + forth.difference.change) * (1 + back.difference.change) == pytest.approx(1)
    assert (1 + forth.difference.interval.low) * (1 + back.difference.interval.high) == pytest.approx(1)
    assert comparisons.told_apart(rows, "b", "c") is True
    assert comparisons.told_apart(rows, "a", "b") is False


def test_what_no_test_could_find_is_untested_and_no_tie(make_score, make_frames):
    """With 9 groups p is 1 / 256 at least: of 13 tests and more, none could ever be below 0.05."""
    scores = [make_score(name, l1=l1 * 1e-3) for l1, name in enumerate("abcdefg", 1)]
    scores.append(make_score("biharmonic", "classical", 9e-3))
    few, enough = (comparisons.rows(scores, make_frames(scores, groups)) for groups in (9, 20))
    assert {row.verdict for row in few} == {"untested"}
    assert {row.verdict for row in enough} == {"better"}
    assert "too few for 26 tests" in comparisons.html(scores, few)


def test_the_size_of_a_difference_is_that_of_the_pooled_l1(make_score, make_frames):
    """Frames say 50 % in a typical sample, all pixels together 25 %."""
    pooled = [make_score("a", l1=3e-3), make_score("biharmonic", "classical", 4e-3)]
    frames = make_frames([make_score("a", l1=2e-3), make_score("biharmonic", "classical", 4e-3)])
    found = comparisons.rows(pooled, frames)
    assert comparisons.find(found, "horizontal", "biharmonic", "a").pooled == pytest.approx(1 / 3)
    assert '<span class="better">better</span> −25.0 %' in comparisons.html(pooled, found)
    turned = comparisons.rows([make_score("a", l1=5e-3), pooled[1]], frames)
    assert {row.verdict for row in turned} == {"unclear"}
    assert "“Unclear”" in comparisons.html(pooled, turned)


def test_frames_that_only_one_method_has_are_left_out(make_score, make_frames):
    scores = [make_score("a", l1=4e-3), make_score("biharmonic", "classical", 6e-3)]
    frames = make_frames(scores)
    lacking = [
        dataclasses.replace(f, horizontal_l1=None) if f.method == "a" and f.frame < "frame 004" else f for f in frames
    ]
    by_kind = {row.kind: row.difference for row in comparisons.rows(scores, lacking)}
    assert (by_kind["horizontal"].frames, by_kind["vertical"].frames) == (20, 24)


def test_without_frames_there_is_no_table(make_score):
    scores = [make_score("a"), make_score("biharmonic", "classical", 6e-3)]
    assert comparisons.html(scores, comparisons.rows(scores, [])) == ""
    assert ranking.rank([], []).comparisons == []


def test_equal_names_of_frames_in_other_groups_are_other_frames(make_score):
    scores = [make_score("a"), make_score("biharmonic", "classical", 6e-3)]
    frames = [FrameScore("a", "1", "x", "", 1.0, 1.0, None, None)]
    frames += [FrameScore("biharmonic", "1", "y", "", 2.0, 1.0, None, None)]
    assert {row.difference.frames for row in comparisons.rows(scores, frames)} == {0}


def test_the_table_says_what_was_found_and_how_sure_it_is(found):
    html = comparisons.html(found[0], found[2])
    assert html.count('<span class="better">better</span>') > 4
    assert '<span class="tie">tie</span>' in html
    assert "against biharmonic<small>best classical method, horizontal</small>" in html
    assert "corrected for the 12 tests" in html
