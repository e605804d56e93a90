import dataclasses
import math
import random

from records.tables import MethodScore
from reports.figures import cost


def score(
    method: str, l1: float | None, parameters: int | None, ms: float | None = None, kind: str = "network"
) -> MethodScore:
    empty = MethodScore(method, kind, *[None] * 11)
    return dataclasses.replace(
        empty, horizontal_l1=l1, parameters=parameters, ms_per_frame=ms, network="tunet" if kind == "network" else ""
    )


def on_front(points: list[tuple[float, float]]) -> list[bool]:
    """By the definition, point by point."""
    return [
        not any(x <= a and y <= b and (x, y) != (a, b) for x, y in points)  # each other point at least as good
        for a, b in points
    ]


def test_the_front_is_that_of_the_definition():
    draws = random.Random(0)
    for _ in range(500):
        # Few different values: ties in one or both happen all the time.
        points = [(float(draws.randint(1, 6)), float(draws.randint(1, 6))) for _ in range(draws.randint(0, 12))]
        assert cost.front(points) == on_front(points)


def test_methods_without_the_cost_or_the_error_and_limits_are_absent():
    scores = [
        score("a", 4e-3, 100, 1.0),
        score("b", None, 100, 1.0),
        score("c", float("nan"), 10, 1.0),
        score("linear", 7e-3, None, 2.0, "classical"),
        score("noise floor", 3e-3, None, None, "limit"),
    ]
    assert [point.method for point in cost.rows(scores, "parameters", "horizontal")] == ["a"]
    assert [point.method for point in cost.rows(scores, "ms_per_frame", "horizontal")] == ["a", "linear"]
    html = cost.html(scores, "a-")
    # One method has parameters: nothing to compare. No kind but the horizontal one was measured.
    assert html.count("plotly-graph-div") == 1 and 'id="a-cost-ms-per-frame-horizontal"' in html


def test_the_front_is_drawn_through_its_points_and_the_floor_below_them():
    scores = [score("a", 4e-3, 1000), score("b", 5e-3, 10), score("c", 6e-3, 100)]
    points = cost.rows(scores, "parameters", "horizontal")
    chart = cost.figure(points, "parameters", 3e-3)
    steps = list(zip(chart.data[0].x, chart.data[0].y, strict=True))
    assert (10, 5) in steps and (1000, 4) in steps and (100, 6) not in steps
    (label,) = chart.layout.annotations
    assert label.y == math.log10(3)
    low, high = chart.layout.yaxis.range
    assert low < math.log10(3) and math.log10(6) < high


def test_the_caption_names_the_best_and_the_cheapest():
    points = cost.rows([score("a", 4e-3, 1000), score("b", 5e-3, 10)], "parameters", "horizontal")
    text = cost.caption(points, "parameters", "horizontal")
    assert "a errs least, 4.00 × 10⁻³" in text and "the cheapest, b, 5.00 × 10⁻³ with 10 parameters" in text


def test_nothing_to_compare_is_no_figure():
    assert cost.html([]) == cost.html([score("a", 4e-3, 1000, 1.0)]) == ""


def test_hostile_names_are_escaped():
    html = cost.html([score("<i>a", 4e-3, 1000, 1.0), score("<i>b", 4e-3, 10, 1.0)])
    assert "<i>" not in html and "\\u003ci" not in html
