import dataclasses
import re

from records.tables import Trial
from reports import sweep


def trial(number: int, state: str = "finished", l1: float | None = 6e-3, **others: object) -> Trial:
    config = {"depth": 2 + number % 3, "batch_size": 4, "learning_rate": 1e-3 / (1 + number)}
    epochs = 0 if l1 is None else 4
    values = Trial(number, "tunet", state, epochs, l1, 0.99, 0.02, 0.01, 32_665, 40.0 * epochs, config)
    return dataclasses.replace(values, **others)  # type: ignore[arg-type]


def test_trials_are_grouped_by_state_then_sorted_by_l1():
    trials = [
        trial(0, "failed", None),
        trial(1, "stopped", 1e-3),
        trial(2, "finished", 8e-3),
        trial(3, "finished", None),
        trial(4, "finished", 7e-3),
        trial(5, "interrupted", 5e-3),
        trial(6, "finished", 7e-3),
        trial(7, "infeasible", None),
        trial(8, "finished", float("nan")),
    ]
    assert [row.trial.trial for row in sweep.rows(trials)] == [4, 6, 2, 3, 8, 1, 5, 7, 0]


def test_ranks_count_all_trials_with_a_result_however_they_ended():
    trials = [
        trial(0, "stopped", 1e-3),
        trial(1, l1=5e-3),
        trial(2, "interrupted", 2e-3),
        trial(3, "failed", 1e-4),
        trial(4, l1=None),
        trial(5, "stopped", 9e-3, network="msdnet"),
    ]
    rows = {row.trial.trial: row for row in sweep.rows(trials)}
    assert [rows[number].rank for number in range(6)] == [1, 3, 2, None, None, 1]
    assert [number for number, row in rows.items() if row.winner] == [0, 5]


def test_of_those_chosen_to_be_retrained_the_best_is_the_winner():
    trials = [trial(0, "stopped", 1e-3), trial(1, l1=6e-3), trial(2, l1=5e-3)]
    roles = {row.trial.trial: row.role for row in sweep.rows(trials, trials[1:])}
    assert roles == {0: "", 1: "retrained", 2: "winner"}


def test_there_is_no_winner_while_a_trial_runs_or_without_a_result():
    assert not any(row.role for row in sweep.rows([trial(0), trial(1, "running", 1e-3)]))
    assert not any(row.role for row in sweep.rows([trial(0, "failed", None), trial(1, l1=None)]))


def test_each_network_has_a_table_with_the_parameters_that_were_searched_for_it():
    other = trial(1, network="msdnet", config={"num_layers": 50})
    tunet, msdnet = sweep.html(sweep.rows([other, trial(0)])).split("MSDNet: hyperparameter sweep")
    assert "TUNet: hyperparameter sweep" in tunet
    assert "base channels" not in tunet and "learning rate" in tunet and "num layers" not in tunet
    assert "num layers" in msdnet and "learning rate" not in msdnet


def test_every_line_has_as_many_cells_as_the_table_has_columns():
    trials = [trial(0), trial(1, "stopped"), trial(2, "failed", None, config={}, parameters=None)]
    html = sweep.html(sweep.rows(trials))
    head, *lines = re.findall(r"<tr>(.*?)</tr>", html)
    assert len(lines) == 3
    assert {len(re.findall(r"<t[dh][ >]", line)) for line in lines} == {len(re.findall(r"<th ", head))}


def test_table_names_groups_points_of_the_paper_and_why_a_trial_failed():
    trials = [
        trial(0, point=2),
        trial(1, "stopped"),
        trial(2, "infeasible", None, error="too large"),
        trial(3, "failed", None, error="no <memory>"),
    ]
    html = sweep.html(sweep.rows(trials))
    assert html.index("Finished") < html.index("Stopped early") < html.index("Infeasible") < html.index("Failed")
    assert "paper’s model 2" in html
    assert "no &lt;memory&gt;" in html and "too large" in html


def test_hostile_names_are_escaped():
    html = sweep.html(sweep.rows([trial(0, network="<b>n", config={"<b>k": "<b>v"}, state="<b>s")]))
    assert "<b>" not in html


def test_without_trials_there_is_no_table():
    assert sweep.html(sweep.rows([])) == ""
