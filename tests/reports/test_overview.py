import dataclasses

import pytest

from reports import folder, overview


@pytest.fixture(scope="module")
def runs(make_run, tmp_path_factory):
    """Two runs on the same test frames, one on others, one that is not finished."""
    path = tmp_path_factory.mktemp("runs")
    found = [
        make_run(path / "a", name="first"),
        make_run(path / "b", name="second", better=0.95),
        make_run(path / "c", name="other", seed=8),
        make_run(path / "d", name="first"),
    ]
    for name in ("leaderboard.csv", "scores.csv", "evaluation.json"):
        (found[3] / name).unlink()
    return [folder.read(run) for run in found]


def test_runs_that_bear_one_name_are_told_apart(runs):
    assert overview.names(runs) == ["first", "second", "other", "first (2)"]


def test_only_runs_on_the_same_test_frames_share_a_ranking(runs):
    shared, alone = overview.rows(runs, overview.names(runs))
    assert (shared.places, alone.places) == ([0, 1], [2])
    methods = [row.score.method for row in shared.ranking.rows]
    assert methods[0] == "second: ensemble"
    assert {"first: TUNet", "second: TUNet"} <= set(methods)
    assert methods.count("biharmonic") == methods.count("noise floor") == 1
    assert len(methods) == len(set(methods))
    assert "TUNet" in [row.score.method for row in alone.ranking.rows]


def test_methods_of_two_runs_are_tested_on_the_frames_that_they_share(runs):
    shared, _ = overview.rows(runs, overview.names(runs))
    pair = ("second: ensemble", "first: ensemble")
    found = [c for c in shared.ranking.comparisons if (c.method, c.rival) == pair and c.kind == "horizontal"]
    assert found[0].difference.frames == 24
    assert found[0].difference.change == pytest.approx(-0.05, abs=0.03)


def test_other_data_are_compared_by_ratio_and_unfinished_runs_are_named(runs):
    (anchor, _, body), *rest = overview.sections(runs, overview.names(runs))
    assert anchor == "runs"
    assert "Not finished: first (2)." in body
    assert body.count('<p class="headline">') == 2
    assert "split by seed 8" in body
    assert [name for name, *_ in rest] == ["same-frames-1"]


def test_runs_without_a_fingerprint_are_never_taken_for_the_same(runs):
    blind = [
        dataclasses.replace(run, info=dataclasses.replace(run.info, data={"title": "beamline frames"}))
        for run in runs[:2]
    ]
    assert [data.places for data in overview.rows(blind, overview.names(blind))] == [[0], [1]]
