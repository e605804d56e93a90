from records.tables import RetrainInterim, Trial
from reports.figures import retraining


def epoch(trial: int, seed: int, number: int, l1: float = 6e-3) -> RetrainInterim:
    return RetrainInterim(trial, number, number, 0.02, 0.02, l1, 0.99, 1e-3, 1.0, seed, 1)


def winner(number: int, network: str = "tunet") -> Trial:
    return Trial(number, network, "finished", 4, 6e-3, 0.99, 0.02, 0.02, 32_665, 40.0)


WINNERS = [winner(7), winner(2), winner(5, "msdnet")]


def test_trainings_are_told_apart_by_trial_and_seed_and_follow_the_winners():
    epochs = [epoch(5, 0, 1), epoch(2, 1, 1), epoch(2, 0, 1), epoch(7, 0, 2, 5e-3), epoch(7, 0, 1)]
    curves = retraining.rows(epochs, WINNERS)
    assert [(c.network, c.trial, c.seed, c.place) for c in curves] == [
        ("tunet", 7, 0, 0),
        ("tunet", 2, 0, 1),
        ("tunet", 2, 1, 1),
        ("msdnet", 5, 0, 0),
    ]
    assert (curves[0].epochs, curves[0].val_gap_l1) == ([1, 2], [6e-3, 5e-3])


def test_the_lowest_error_of_every_training_stands_in_a_table_too():
    html = retraining.html(retraining.rows([epoch(7, 0, 1), epoch(7, 0, 2, 5e-3), epoch(7, 0, 3, 5.5e-3)], WINNERS))
    assert "<td>7</td><td>0</td><td>3</td><td>5.00</td>" in html


def test_trials_of_a_network_differ_by_dashes_and_its_seeds_do_not():
    curves = retraining.rows([epoch(t, s, n) for t in (7, 2) for s in (0, 1) for n in (1, 2)], WINNERS)
    looks = {(t.text.split(", ")[1], t.line.color, t.line.dash) for t in retraining.figure(curves).data}
    assert len(looks) == 2 and len({color for _, color, _ in looks}) == 1 and len({dash for *_, dash in looks}) == 2


def test_the_caption_names_the_lowest_end():
    curves = retraining.rows([epoch(7, 0, 1), epoch(7, 1, 1, 4e-3), epoch(5, 0, 1, 3e-3)], WINNERS)
    text = retraining.caption(curves)
    assert "2 trials, each with 2 seeds" in text and "MSDNet, trial 5, 3.00 × 10⁻³" in text


def test_a_training_whose_winner_is_not_known_is_drawn_and_nothing_is_nothing():
    assert "retraining" in retraining.html(retraining.rows([epoch(3, 0, 1)], []))
    assert retraining.html(retraining.rows([epoch(3, 0, 1, float("nan"))], [])) == ""


def test_hostile_names_are_escaped():
    html = retraining.html(retraining.rows([epoch(3, 0, 1)], [winner(3, "<i>x")]))
    assert "<i>" not in html and "\\u003ci" not in html
