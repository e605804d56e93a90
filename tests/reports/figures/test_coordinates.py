import dataclasses
import random

import pytest

from records.tables import Config, Trial
from reports import sweep
from reports.figures import coordinates


def trial(number: int, l1: float | None = 6e-3, network: str = "tunet", config: Config | None = None) -> Trial:
    return Trial(number, network, "finished", 4, l1, 0.99, 0.02, 0.02, 1000 * (number + 1), 40.0, config or {})


def lines(configs: list[Config]) -> coordinates.Lines:
    trials = [trial(number, 1e-3 * (number + 1), config=config) for number, config in enumerate(configs)]
    (found,) = coordinates.rows(sweep.rows(trials))
    return found


def test_a_logarithmic_axis_puts_the_geometric_mean_in_the_middle():
    found = lines([{"learning_rate": rate} for rate in (1e-4, 1e-3, 1e-2)] * 4)
    rate = found.axes[0]
    assert [tick for _, tick in rate.ticks] == ["0.0001", "0.001", "0.01"]
    assert [place for place, _ in rate.ticks] == pytest.approx([0, 0.5, 1])


def test_an_axis_of_a_small_range_is_linear():
    depth = lines([{"depth": depth} for depth in (2, 3, 6)]).axes[0]
    assert [place for place, _ in depth.ticks] == pytest.approx([0, 0.25, 1])


@pytest.mark.parametrize("log", [False, True])
def test_a_higher_value_lies_further_right(log):
    draws = random.Random(1)
    values = [10 ** draws.uniform(-4, -1) if log else draws.uniform(1, 3) for _ in range(30)]
    axis = lines([{"x": value} for value in values]).axes[0]
    # The worst trial, the last one, comes first.
    places = axis.places[::-1]
    assert sorted(range(30), key=places.__getitem__) == sorted(range(30), key=values.__getitem__)
    assert min(places) == pytest.approx(0) and max(places) == pytest.approx(1)


def test_lines_through_one_value_fan_out_but_stay_nearest_to_it():
    axis = lines([{"task": task} for task in ("blind", "residual", "blind", "blind")]).axes[0]
    assert [tick for _, tick in axis.ticks] == ["blind", "residual"]
    assert len(set(axis.places)) == 4
    assert [round(place) for place in axis.places] == [0, 0, 1, 0]


def test_the_winner_is_drawn_last_and_thickest():
    chart = coordinates.figure(lines([{"depth": depth} for depth in (2, 3, 4)]))
    assert "trial 0</b>, winner" in chart.data[-1].text
    assert chart.data[-1].line.width > max(trace.line.width for trace in chart.data[:-1])


def test_each_line_passes_through_its_places():
    found = lines([{"depth": depth, "growth": depth / 2} for depth in (2, 3, 4)])
    for index, trace in enumerate(coordinates.figure(found).data):
        crossed = dict(zip(trace.y, trace.x, strict=True))
        assert [crossed[-k] for k in range(len(found.axes))] == pytest.approx(
            [axis.places[index] for axis in found.axes], abs=1e-3
        )


def test_settings_that_do_not_vary_or_that_some_lack_have_no_axis():
    found = lines([{"depth": 2, "task": "blind", "extra": 1}, {"depth": 3, "task": "blind"}])
    assert [axis.name.split(" (")[0] for axis in found.axes] == ["depth", "parameters", "gap L1"]
    alike = [dataclasses.replace(trial(k, config={"depth": 2 + k}), parameters=99) for k in range(2)]
    assert [axis.name.split(" (")[0] for axis in coordinates.rows(sweep.rows(alike))[0].axes] == ["depth", "gap L1"]


def test_fewer_than_two_results_have_no_figure():
    assert coordinates.rows(sweep.rows([trial(0), trial(1, None), trial(2, float("nan")), trial(3, 0.0)])) == []
    assert coordinates.html([]) == ""


def test_equal_results_are_drawn():
    trials = [trial(number, config={"depth": number}) for number in range(coordinates.FEWEST)]
    html = coordinates.html(coordinates.rows(sweep.rows(trials)), ["tunet"], "a-")
    assert 'id="a-coordinates-0"' in html and "NaN" not in html


def test_few_trials_are_not_drawn_and_a_line_says_why():
    trials = [trial(number, config={"depth": number}) for number in range(coordinates.FEWEST - 1)]
    html = coordinates.html(coordinates.rows(sweep.rows(trials)), ["tunet", "msdnet"])
    assert "plotly" not in html
    assert "<p>TUNet and MSDNet: fewer than 5 trials with a result, too few to draw.</p>" in html


def test_hostile_names_are_escaped():
    trials = [trial(k, config={"<i>k": f"<i>{k}"}, network="<i>n") for k in range(2)]
    html = coordinates.html(coordinates.rows(sweep.rows(trials)))
    assert "<i>" not in html and "\\u003ci" not in html
