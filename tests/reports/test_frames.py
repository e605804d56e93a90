import pytest

from records.tables import FrameScore
from reports import categories, frames
from reports.statistics import MIN_GROUPS


@pytest.fixture
def scores(make_score):
    return [make_score("a", l1=4e-3), make_score("biharmonic", "classical", 6e-3), make_score("linear", "classical")]


def test_best_median_and_worst_frames_are_those_of_the_best_network(scores, make_frames):
    found = make_frames(scores)
    rows = [row for row in frames.rows(scores, found) if row.kind == "horizontal"]
    l1 = sorted(frame.horizontal_l1 for frame in found if frame.method == "a")
    assert [row.l1 for row in rows] == [*l1[:3], l1[12], *l1[-3:]]
    assert [row.place for row in rows] == ["best"] * 3 + ["median"] + ["worst"] * 3
    rival = {frame.frame: frame.horizontal_l1 for frame in found if frame.method == "linear"}
    assert all(row.classical_l1 == rival[row.frame.frame] for row in rows)


@pytest.mark.parametrize(
    ("count", "places"), [(1, ["median"]), (2, ["best", "worst"]), (3, ["best", "median", "worst"])]
)
def test_few_frames_are_named_once(scores, make_frames, count, places):
    rows = frames.rows(scores, make_frames(scores, count, 1))
    assert [row.place for row in rows if row.kind == "horizontal"] == places
    assert len({row.frame.frame for row in rows}) == count


def test_without_a_network_or_frames_no_frame_is_named(scores, make_frames):
    assert frames.html(frames.rows(scores[1:], make_frames(scores)), scores) == ""
    assert frames.html(frames.rows(scores, []), scores) == ""


def test_categories_average_the_frames_they_hold(scores, make_frames):
    found = make_frames(scores)
    rows = categories.rows(["a", "biharmonic", "linear"], found)
    for row in rows:
        own = [f for f in found if f.method == "a" and f.category == row.name]
        assert row.frames == len(own)
        assert row.means["a"].value == pytest.approx(sum(getattr(f, f"{row.kind}_l1") for f in own) / len(own))
        assert (row.means["a"].interval is None) == (row.groups < MIN_GROUPS)
    assert sum(row.frames for row in rows if row.kind == "vertical") == 24


def test_the_lowest_of_a_category_is_marked(scores, make_frames):
    html = categories.html(categories.rows(["a", "biharmonic"], make_frames(scores))).partition("Save as")[0]
    names = {frame.category for frame in make_frames(scores)}
    assert html.count("<td><strong>") == 2 * len(names)
    assert html.count("<small>n = ") == len(names)


def test_one_category_alone_is_no_table(scores, make_frames):
    alone = [frame for frame in make_frames(scores) if frame.category == "fibre"]
    assert categories.html(categories.rows(["a"], alone)) == ""


def test_where_a_classical_method_errs_less_is_said():
    def scores(method, **errors):
        return [
            FrameScore(method, f"{name} {k}", f"{name} {k}", name, error, 0.9, None, None)
            for name, error in errors.items()
            for k in range(categories.FEWEST)
        ]

    found = categories.rows(
        ["net", "pyFAI"],
        scores("net", rings=5e-3, film=2e-3, halo=3e-3) + scores("pyFAI", rings=3e-3, film=4e-3, halo=2.9e-3),
    )
    says = "A classical method errs less in places: pyFAI on horizontal gaps of rings frames (3.00 against 5.00)."
    assert categories.exceptions(found, "net", ["pyFAI"]) == says
    assert categories.exceptions(found, "pyFAI", ["pyFAI"]) == ""
