import dataclasses

from records.tables import DistanceScore, MethodScore
from reports.figures import distances


def score(method: str, kind: str = "network", network: str = "tunet") -> MethodScore:
    return dataclasses.replace(MethodScore(method, kind, *[None] * 11), network=network if kind == "network" else "")


SCORES = [score("TUNet"), score("TUNet 2"), score("linear", "classical"), score("noise floor", "limit")]


def near_to_far(method: str, kind: str = "horizontal") -> list[DistanceScore]:
    return [DistanceScore(method, kind, distance, 1e-3 * distance, 1000 // distance) for distance in (3, 1, 2)]


def test_lines_follow_the_leaderboard_and_run_from_the_edge_inwards():
    found = distances.rows([*near_to_far("linear"), *near_to_far("TUNet")], SCORES, "horizontal")
    assert [line.method for line in found] == ["TUNet", "linear"]
    assert found[0].distances == [1, 2, 3] and found[0].pixels == [1000, 500, 333]


def test_a_line_without_pixels_or_of_another_kind_is_absent():
    nothing = [
        DistanceScore("TUNet", "horizontal", 1, float("nan"), 9),
        DistanceScore("TUNet", "horizontal", 2, 1, 0),
    ]
    assert distances.rows([*nothing, *near_to_far("linear", "vertical")], SCORES, "horizontal") == []
    assert distances.html(nothing, SCORES) == ""


def test_hover_text_holds_the_number_of_pixels():
    chart = distances.figure(distances.rows(near_to_far("TUNet"), SCORES, "horizontal"))
    assert "%{customdata} pixels" in chart.data[0].hovertemplate
    assert [text.replace("\u202f", "") for text in chart.data[0].customdata] == ["1000", "500", "333"]


def test_further_trials_are_drawn_but_not_named_and_the_floor_is_a_line_below():
    scores = [d for method in ("TUNet", "TUNet 2", "linear", "noise floor") for d in near_to_far(method)]
    html = distances.html(scores, SCORES)
    key = html[html.index('<ul class="marks">') : html.index("</ul>")]
    assert "TUNet" in key and "noise floor" in key and "TUNet 2" not in key
    chart = distances.figure(distances.rows(scores, SCORES, "horizontal"))
    assert {trace.name: trace.mode for trace in chart.data}["noise floor"] == "lines"
    assert "TUNet 2" in {trace.name for trace in chart.data}


def test_each_kind_of_gap_has_a_figure_with_its_own_caption():
    html = distances.html([*near_to_far("TUNet"), *near_to_far("TUNet", "vertical")], SCORES, "a-")
    assert 'id="a-distance-horizontal"' in html and 'id="a-distance-vertical"' in html
    assert "1.00 × 10⁻³ beside the edge and by 3.00 × 10⁻³ at 3 pixels from it, where 333 pixels" in html


def test_one_distance_is_a_line_of_text_and_no_figure():
    html = distances.html(near_to_far("TUNet", "vertical")[:1], SCORES)
    assert "plotly" not in html
    assert "Vertical gaps: all scored pixels lie equally far from the edge." in html


def test_distances_of_a_few_odd_pixels_are_left_out():
    odd = [DistanceScore("TUNet", "horizontal", distance, 0.5, 9) for distance in range(4, 53)]
    (line,) = distances.rows([*near_to_far("TUNet"), *odd], SCORES, "horizontal")
    assert line.distances == [1, 2, 3]
    assert "Distances with less than 1 % of the pixels are left out." in distances.caption([line], "horizontal")


def test_every_mean_stands_in_a_table_too():
    html = distances.html([*near_to_far("TUNet"), *near_to_far("linear")[:2]], SCORES)
    assert '<th scope="row">TUNet</th><td>1.00</td><td>2.00</td><td>3.00</td>' in html
    assert '<th scope="row">linear</th><td>1.00</td><td>–</td><td>3.00</td>' in html


def test_hostile_names_are_escaped():
    html = distances.html(near_to_far("<i>x"), [score("<i>x")])
    assert "<i>" not in html and "\\u003ci" not in html
