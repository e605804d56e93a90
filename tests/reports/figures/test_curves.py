import re

from records.tables import Interim, Trial
from reports import sweep
from reports.figures import curves


def epoch(trial: int, number: int, l1: float = 6e-3) -> Interim:
    return Interim(trial, number, number, 0.02, 0.02, l1, 0.99, 1e-3, 1.0)


def trial(
    number: int, state: str = "finished", l1: float = 6e-3, network: str = "tunet", task: str = "blind"
) -> Trial:
    return Trial(number, network, state, 4, l1, 0.99, 0.02, 0.02, 32_665, 40.0, {"task": task})


def drawn(found: list[curves.Curve], rungs: list[int]) -> curves.go.Figure:
    return curves.figure(found, rungs, (1e-3, 1e-2))


def test_the_winner_comes_last_and_the_newest_of_repeated_epochs_counts():
    rows = sweep.rows([trial(0, l1=5e-3), trial(1)])
    found = curves.rows([epoch(0, 1), epoch(1, 2), epoch(1, 1, 9e-3), epoch(1, 1, 8e-3)], rows)
    assert [curve.trial.trial for curve in found] == [1, 0]
    assert (found[0].epochs, found[0].val_gap_l1) == ([1, 2], [8e-3, 6e-3])


def test_epochs_without_a_value_leave_no_point():
    assert curves.rows([epoch(0, 1, float("nan")), epoch(0, 2, 0.0)], []) == []
    assert curves.html([], {"tunet": [2, 6]}) == ""


def test_a_rung_that_was_reached_is_a_vertical_line_and_a_tick():
    rows = sweep.rows([trial(0)])
    chart = drawn(curves.rows([epoch(0, number) for number in range(1, 17)], rows), [2, 6, 18])
    lines = [trace.x for trace in chart.data if trace.name == curves.RUNG]
    assert lines == [(2, 2), (6, 6)]
    assert chart.layout.xaxis.tickvals == (1, 2, 6, 16)


def test_without_rungs_ticks_are_whole_epochs():
    chart = drawn(curves.rows([epoch(0, number) for number in range(1, 4)], sweep.rows([trial(0)])), [])
    assert all(value == int(value) for value in chart.layout.xaxis.tickvals)
    assert len(chart.data) == 1


def test_one_epoch_of_one_trial_is_a_point_that_can_be_seen():
    chart = drawn(curves.rows([epoch(0, 1)], sweep.rows([trial(0)])), [2, 6])
    assert chart.data[0].mode == "markers"


def test_each_network_has_a_figure_on_the_same_scale():
    rows = sweep.rows([trial(0), trial(1, network="msdnet")])
    html = curves.html(curves.rows([epoch(0, 1), epoch(0, 2, 3e-3), epoch(1, 1, 5e-2)], rows), {"tunet": [2]}, "a-")
    assert re.findall(r'id="(a-learning-curves-\d)"', html) == ["a-learning-curves-0", "a-learning-curves-1"]
    scales = re.findall(r'"yaxis":\{[^}]*?"range":\[([^\]]*)\]', html)
    assert len(scales) == 2 and len(set(scales)) == 1


def test_trials_of_which_only_epochs_are_known_are_drawn():
    html = curves.html(curves.rows([epoch(3, 1), epoch(4, 1)], []), {})
    assert "network not known yet" in html and "not over yet" in html


def test_the_caption_counts_the_trials_and_names_the_lowest_end():
    rows = sweep.rows([trial(0, l1=5e-3), trial(1, "stopped"), trial(2, "stopped")])
    found = curves.rows([epoch(0, 1, 7e-3), epoch(0, 2, 5e-3), epoch(1, 1, 6e-3), epoch(2, 1, 8e-3)], rows)
    text = curves.caption(found, [2, 6])
    assert "of 3 trials, of which ASHA stopped 2 early" in text
    assert "trial 0 ends lowest, at 5.00 × 10⁻³ after 2 epochs" in text
    assert "2 and 6 epochs" in text


def test_hover_text_holds_the_config_escaped_and_once_a_curve():
    rows = sweep.rows([trial(0, task="<a href='http://evil'>")])
    chart = drawn(curves.rows([epoch(0, 1), epoch(0, 2)], rows), [])
    assert isinstance(chart.data[0].text, str)
    assert "&lt;a href" in chart.data[0].text and "<a" not in chart.data[0].text
