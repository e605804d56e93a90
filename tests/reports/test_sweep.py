import dataclasses

from reports import sweep
from search.records import Epoch


def epoch(trial: int, number: int, l1: float = 6e-3) -> Epoch:
    return Epoch(trial, number, 0.02, 0.02, l1, 0.99, 1e-3, 1.0)


def test_trials_are_grouped_by_state_then_sorted_by_l1(make_trial):
    trials = [
        make_trial(0, "failed", None),
        make_trial(1, "stopped", 1e-3),
        make_trial(2, "finished", 8e-3),
        make_trial(3, "finished", None),
        make_trial(4, "finished", 7e-3),
        make_trial(5, "interrupted", 5e-3),
        make_trial(6, "finished", 7e-3),
    ]
    assert [row.trial.trial for row in sweep.rows(trials)] == [4, 6, 2, 3, 1, 5, 0]


def test_the_best_finished_trial_wins_until_winners_are_chosen(make_trial):
    trials = [make_trial(0, "stopped", 1e-3), make_trial(1, l1=5e-3), make_trial(2, l1=6e-3)]
    assert [row.trial.trial for row in sweep.rows(trials) if row.winner] == [1]
    assert [row.trial.trial for row in sweep.rows(trials, trials[1:]) if row.winner] == [1, 2]


def test_without_a_finished_trial_there_is_no_winner(make_trial):
    assert not any(row.winner for row in sweep.rows([make_trial(0, "stopped"), make_trial(1, "failed", None)]))


def test_table_names_the_groups_and_shows_why_a_trial_failed(make_trial):
    html = sweep.html(
        sweep.rows([make_trial(0), make_trial(1, "stopped"), make_trial(2, "failed", None, "no <memory>")])
    )
    assert html.index("Finished") < html.index("Stopped early") < html.index("Failed")
    assert "no &lt;memory&gt;" in html


def test_a_setting_that_a_trial_does_not_have_is_a_dash(make_trial):
    other = dataclasses.replace(make_trial(1, l1=9e-3), network="msdnet", config={"num_layers": 50})
    html = sweep.html(sweep.rows([make_trial(0), other]))
    assert "<td>msdnet</td><td>–</td><td>–</td><td>–</td><td>–</td><td>50</td>" in html


def test_curves_draw_the_winner_last_and_the_newest_of_repeated_epochs(make_trial):
    rows = sweep.rows([make_trial(0, l1=5e-3), make_trial(1, l1=6e-3)])
    curves = sweep.curves([epoch(0, 1), epoch(1, 2), epoch(1, 1, 9e-3), epoch(1, 1, 8e-3)], rows)
    assert [curve.trial for curve in curves] == [1, 0]
    assert (curves[0].epochs, curves[0].val_gap_l1) == ([1, 2], [8e-3, 6e-3])


def test_curves_of_a_search_under_way_need_no_table_of_trials():
    chart = sweep.figure(sweep.curves([epoch(3, 1), epoch(4, 1)], []))
    assert [trace.name for trace in chart.data] == ["not over yet"] * 2
    assert [trace.showlegend for trace in chart.data] == [True, False]


def test_hover_text_holds_the_config_escaped(make_trial):
    hostile = dataclasses.replace(make_trial(0), config={"task": "<a href='http://evil'>"})
    chart = sweep.figure(sweep.curves([epoch(0, 1)], sweep.rows([hostile])))
    assert "&lt;a href" in chart.data[0].text[0]
