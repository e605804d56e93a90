from reports import importances
from search.records import Importance


def test_parameters_of_each_network_come_with_the_most_important_first():
    found = importances.rows(
        [
            Importance("msdnet", "task", 1.0, 20),
            Importance("tunet", "depth", 0.2, 30),
            Importance("tunet", "task", 0.7, 30),
            Importance("tunet", "batch_size", float("nan"), 30),
            Importance("tunet", "growth_rate", 0.1, 30),
        ]
    )
    assert {name: [item.parameter for item in items] for name, items in found.items()} == {
        "tunet": ["task", "depth", "growth_rate"],
        "msdnet": ["task"],
    }
    chart = importances.figure(found["tunet"])
    assert chart.data[0].y[-1] == "task" and chart.data[0].x[-1] == 70
    assert "most of the variation goes with task (70 %), least with growth rate (10 %)" in importances.caption(
        found["tunet"]
    )


def test_a_network_with_too_few_trials_is_named_and_not_drawn():
    html = importances.html(importances.rows([Importance("tunet", "depth", 1.0, 30)]), ["tunet", "msdnet", ""])
    assert "MSDNet: too few trials" in html and html.count("plotly-graph-div") == 1
    assert "too few trials" in importances.html({}, ["tunet"]) and "plotly" not in importances.html({}, ["tunet"])
    assert importances.html({}, []) == ""


def test_hostile_names_are_escaped():
    html = importances.html(importances.rows([Importance("<i>n", "<i>p", 1.0, 30)]), ["<i>m"])
    assert "<i>" not in html and "\\u003ci" not in html
