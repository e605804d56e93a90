from records.tables import Importance
from reports.figures import importances


def test_parameters_of_each_network_come_with_the_most_important_first():
    found = importances.rows(
        [
            Importance("msdnet", "task", 1.0, 20, 6),
            Importance("tunet", "depth", 0.2, 30, 6),
            Importance("tunet", "task", 0.7, 30, 6),
            Importance("tunet", "batch_size", float("nan"), 30, 6),
            Importance("tunet", "growth_rate", 0.1, 30, 6),
        ]
    )
    assert [[item.parameter for item in items] for items in found] == [["task", "depth", "growth_rate"], ["task"]]
    chart = importances.figure(found[0])
    assert chart.data[0].y[-1] == "task" and chart.data[0].x[-1] == 70
    assert "most of the variation goes with task (70 %), least with growth rate (10 %)" in importances.caption(
        found[0]
    )


def test_each_task_that_was_searched_for_itself_has_bars_of_its_own():
    shares = (("depth", 0.8), ("batch_size", 0.2))
    found = importances.rows(
        [Importance("tunet", name, share, 30, 6, task) for task in ("blind", "residual") for name, share in shares]
    )
    html = importances.html(found, ["tunet"])
    assert "TUNet, blind" in html and "TUNet, residual" in html and html.count("plotly-graph-div") == 2


def test_a_network_with_too_few_trials_is_named_and_not_drawn():
    pair = [Importance("tunet", "depth", 0.8, 30, 6), Importance("tunet", "batch_size", 0.2, 30, 6)]
    html = importances.html(importances.rows(pair), ["tunet", "msdnet", ""])
    assert "MSDNet: too few trials" in html and html.count("plotly-graph-div") == 1
    assert "too few trials" in importances.html([], ["tunet"]) and "plotly" not in importances.html([], ["tunet"])
    assert importances.html([], []) == ""


def test_every_share_stands_in_a_table_too():
    shares = (("depth", 0.7), ("batch_size", 0.2), ("growth_rate", 0.1))
    html = importances.html(importances.rows([Importance("tunet", *share, 30, 6) for share in shares]), ["tunet"])
    assert '<th scope="row">batch_size</th><td>20 %</td>' in html


def test_one_parameter_or_none_that_matters_is_not_drawn_and_a_line_says_why():
    one = [Importance("tunet", "depth", 1.0, 30, 6)]
    none = [Importance("tunet", name, 0.0, 30, 6) for name in ("depth", "batch_size")]
    for items in (one, none):
        html = importances.html(importances.rows(items), ["tunet"])
        assert "TUNet: no two parameters to compare" in html and "plotly" not in html


def test_hostile_names_are_escaped():
    html = importances.html(importances.rows([Importance("<i>n", "<i>p", 1.0, 30, 6)]), ["<i>m"])
    assert "<i>" not in html and "\\u003ci" not in html
