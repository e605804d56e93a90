"""The laws of replaying searches on stored curves, on small banks whose answers are known."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from benchmarks.search_efficiency.curves import Curve, append, read
from benchmarks.search_efficiency.mapping import SPACE as QUICK
from benchmarks.search_efficiency.mapping import Bank, at, draw, fitted_costs
from benchmarks.search_efficiency.methods import Ours, Stock, TopK, random_search
from benchmarks.search_efficiency.replay import Report, Search, Step, reached, replay, value_at
from benchmarks.search_efficiency.report import compute_ratio
from benchmarks.search_efficiency.searches import SEARCHES
from benchmarks.search_efficiency.train import wanted
from records.tables import Config, Trial
from search.settings import Study
from search.tuning.halving import SuccessiveHalving
from search.winners import ranked

pytestmark = pytest.mark.slow

EPOCHS = 9
SPACE = {"task": CategoricalDistribution(("residual", "blind")), "x": FloatDistribution(0.0, 1.0)}
DEFAULTS: Config = {"task": "residual", "x": 0.4}
SYNE = importlib.util.find_spec("syne_tune") is not None


def curve(config: Config, final: float, cost: float = 1.0, epochs: int = EPOCHS, fall: float = 0.1) -> Curve:
    values = tuple(final + fall * (EPOCHS - epoch) for epoch in range(1, epochs + 1))
    return Curve("quasi", config, 0, values, (cost,) * epochs)


@pytest.fixture
def bank() -> Bank:
    """Curves of a task that is good and one that is not; they cost differently, and some diverge."""
    rng = np.random.default_rng(0)
    curves = [
        curve(
            {"task": task, "x": (number + 0.5) / 40},
            float(worse + rng.random()),
            float(rng.integers(1, 5)),
            epochs=3 if number % 13 == 12 else EPOCHS,
            fall=float(0.3 * rng.random()),
        )
        for task, worse in (("residual", 0.0), ("blind", 1.0))
        for number in range(40)
    ]
    return Bank(SPACE, curves, [curve.seconds[0] for curve in curves])


@dataclass
class Watched:
    """A search, and everything that it is told."""

    search: Search
    proposed: list[tuple[int, Config]] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    ends: list[tuple[Report, str]] = field(default_factory=list)
    most: int = 0
    running: set[int] = field(default_factory=set)

    def propose(self):
        proposal = self.search.propose()
        if proposal is not None:
            self.proposed.append(proposal)
            self.running.add(proposal[0])
            self.most = max(self.most, len(self.running))
        return proposal

    def report(self, report):
        self.reports.append(report)
        return self.search.report(report)

    def end(self, report, state):
        self.ends.append((report, state))
        self.running.remove(report.trial)
        self.search.end(report, state)


def searches(seed: int) -> dict[str, Search]:
    return {name: make(SPACE, DEFAULTS, EPOCHS, seed, 10) for name, make in SEARCHES.items()
            if "grid" not in name and (SYNE or "Syne" not in name)}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [1, 3])
def test_every_epoch_that_is_seen_is_paid_for_and_nothing_else(bank, workers):
    for name, search in searches(0).items():
        watched = Watched(search)
        steps = replay(watched, bank, workers=workers, epochs=EPOCHS, budget=150.0)
        met: list[int] = []
        curves: dict[int, Curve] = {}
        costs: dict[int, float] = {}
        for number, config in watched.proposed:
            if number not in curves:
                met.append(bank.nearest(config, met))
                curves[number], costs[number] = bank.curves[met[-1]], bank.costs[met[-1]]
        failed = [report for report, state in watched.ends if state == "failed"]
        seen = watched.reports + failed
        assert steps[-1].epochs == len(seen) == len(steps) - 1, name
        assert steps[-1].spent == pytest.approx(sum(costs[report.trial] for report in seen)), name
        for number, reports in groupby(sorted(seen), key=lambda report: report.trial):
            told = list(reports)
            assert [report.epoch for report in told] == list(range(1, len(told) + 1)), name
            values = [report.value for report in told if report not in failed]
            assert tuple(values) == curves[number].values[: len(values)], name
            assert told[-1].seconds == len(told) * costs[number], name
        assert watched.most == workers, name


@pytest.mark.filterwarnings("ignore")
def test_equal_seeds_give_equal_replays(bank):
    first, second, other = (
        {
            name: replay(search, bank, workers=2, epochs=EPOCHS, budget=150.0)
            for name, search in searches(seed).items()
        }
        for seed in (1, 1, 2)
    )
    assert first == second
    assert all(first[name] != other[name] for name in first)


def test_random_search_finds_the_expected_minimum_of_as_many_draws():
    # Values 1 ... 64 in random order, n = 8 trainings: P(minimum > k) = (1 - k / 64) ** 8.
    count, draws, seeds = 64, 8, 400
    only = {"x": FloatDistribution(0.0, 1.0)}
    order = np.random.default_rng(0).permutation(count)
    curves = [curve({"x": (n + 0.5) / count}, float(1 + order[n])) for n in range(count)]
    bank = Bank(only, curves, [1.0] * count, once=False)
    found = [
        replay(random_search(only, seed), bank, workers=1, epochs=EPOCHS, budget=draws * EPOCHS)[-1].incumbent
        for seed in range(seeds)
    ]
    over = (1 - np.arange(count) / count) ** draws
    mean = over.sum()
    deviation = np.sqrt((over * (2 * np.arange(count) + 1)).sum() - mean**2)
    # 5 standard errors: other seeds would fail once in two million.
    assert abs(np.mean(found) - mean) < 5 * deviation / np.sqrt(seeds)


def test_ours_stops_where_successive_halving_stops(bank):
    watched = Watched(Ours(SPACE, DEFAULTS, EPOCHS, seed=0))
    replay(watched, bank, workers=3, epochs=EPOCHS, budget=400.0)
    halving = SuccessiveHalving(EPOCHS, EPOCHS // 9)
    stops = {r.trial for r in watched.reports if halving.record(r.trial, r.epoch, r.value)}
    assert stops == {report.trial for report, state in watched.ends if state == "stopped"}
    assert len(stops) > 20


def test_stock_takes_stopped_trials_for_complete_ones_without_their_last_report(bank):
    stock = Stock(SPACE, EPOCHS, seed=0)
    watched = Watched(stock)
    replay(watched, bank, workers=2, epochs=EPOCHS, budget=300.0)
    study = stock.searcher._ot_study.get_trials()
    stopped = [report for report, state in watched.ends if state == "stopped"]
    assert len(stopped) > 10
    for report in stopped:
        known = study[report.trial]
        assert known.state == TrialState.COMPLETE
        assert known.value == report.value
        assert sorted(known.intermediate_values) == list(range(1, report.epoch))
    failed = [report.trial for report, state in watched.ends if state == "failed"]
    assert all(study[number].state == TrialState.FAIL for number in failed)


def test_the_best_of_one_epoch_go_on_and_no_others(bank):
    watched = Watched(TopK(SPACE, seed=0, count=12, keep=3))
    steps = replay(watched, bank, workers=2, epochs=EPOCHS, budget=1e6)
    firsts = {report.trial: report.value for report in watched.reports if report.epoch == 1}
    further = {report.trial for report in watched.reports if report.epoch > 1}
    assert further == set(sorted(firsts, key=firsts.__getitem__)[:3])
    assert len(firsts) == 12
    assert steps[-1].epochs <= 12 + 3 * (EPOCHS - 1)


@pytest.mark.parametrize("budget", [20.0, 60.0, 90.0])
def test_the_incumbent_is_the_trial_that_a_run_would_retrain(bank, budget):
    watched = Watched(random_search(SPACE, seed=3))
    steps = replay(watched, bank, workers=12, epochs=EPOCHS, budget=budget)
    states = {report.trial: state for report, state in watched.ends}
    last = {report.trial: report for report in watched.reports}
    trials = [
        Trial(number, "tunet", states.get(number, "interrupted"), r.epoch, r.value, None, None, None, None, 0.0)
        for number, r in last.items()
    ]
    met: list[int] = []
    for _, config in watched.proposed:
        met.append(bank.nearest(config, met))
    winner = ranked(trials, Study("tunet", None))[0].trial
    assert steps[-1].incumbent == bank.curves[met[winner]].values[-1]


def test_the_nearest_curve_has_the_same_task_and_is_met_once(bank):
    blind = {"task": "blind", "x": 0.0}
    met: list[int] = []
    for _ in range(3):
        met.append(bank.nearest(blind, met))
    assert [bank.curves[number].config["x"] for number in met] == [0.0125, 0.0375, 0.0625]
    everything = range(40, 80)
    assert bank.curves[bank.nearest(blind, everything)].config == {"task": "blind", "x": 0.0125}
    again = Bank(SPACE, bank.curves, bank.costs, once=False)
    assert again.nearest(blind, [40]) == again.nearest(blind) == 40


def test_draws_are_those_of_optuna():
    whole = IntDistribution(2, 16, log=True)
    shares = np.linspace(0, 1, 20_001)[:-1]
    values, counts = np.unique([at(whole, share) for share in shares], return_counts=True)
    # Optuna rounds a log-uniform draw between 1.5 and 16.5.
    edges = np.log(np.array([1.5, *(values + 0.5)]))
    assert counts / len(shares) == pytest.approx(np.diff(edges) / (edges[-1] - edges[0]), abs=2e-4)
    stepped = FloatDistribution(1.5, 2.0, step=0.25)
    assert [at(stepped, share) for share in (0.0, 0.32, 0.35, 0.65, 0.68, 0.999)] == [1.5, 1.5, 1.75, 1.75, 2.0, 2.0]
    rng = np.random.default_rng(0)
    assert all(of._contains(of.to_internal_repr(draw(SPACE, rng)[name])) for name, of in SPACE.items())


def test_curves_are_read_as_written(tmp_path: Path):
    written = [
        Curve("first", {"task": "blind", "depth": 2, "learning_rate": 0.005}, 0, (0.03,) * EPOCHS, (1.5,) * EPOCHS),
        Curve("quasi", {"task": "residual", "depth": 3, "learning_rate": 0.02}, 1, (0.03, 0.02), (1.5, 1.25)),
    ]
    for entry in written:
        append(tmp_path / "curves.csv", entry)
    assert read(tmp_path / "curves.csv") == written
    assert read(tmp_path / "none.csv") == []


def test_what_is_trained_lies_in_the_space_and_is_trained_once():
    of = QUICK
    entries = wanted()
    assert len({(seed, tuple(config.values())) for _, config, seed in entries}) == len(entries)
    for source, config, _ in entries:
        assert list(config) == list(of)
        for name, value in config.items():
            assert of[name]._contains(of[name].to_internal_repr(value)), (source, name, value)


def test_value_and_compute_are_read_off_a_replay(bank):
    steps = replay(random_search(SPACE, 0), bank, workers=1, epochs=EPOCHS, budget=200.0)
    assert value_at(steps, 0.0) == np.inf
    assert value_at(steps, steps[-1].spent) == steps[-1].incumbent
    spent = reached(steps, steps[-1].incumbent)
    assert value_at(steps, spent) <= steps[-1].incumbent
    assert reached(steps, 0.0) == np.inf


def test_compute_is_compared_seed_by_seed():
    def found(spent: float, value: float) -> list[Step]:
        return [Step(0.0, 0, np.inf), Step(1.0, 1, 9.0), Step(spent, 2, value)]

    stock = [found(8.0, 2.0), found(8.0, 3.0), found(8.0, 2.5)]
    ours = [found(4.0, 2.0), found(2.0, 2.0), found(5.0, 4.0)]
    # Two get there, each at its time; the third never does.
    assert compute_ratio(ours, stock, 10.0)[0] == 0.4
    assert compute_ratio(ours, stock, 10.0, own=True)[0] == 0.5
    assert compute_ratio(stock, stock, 10.0, own=True) == (1.0, 1.0, 1.0)


def test_costs_are_fitted_through_what_disturbs_single_trainings():
    rng = np.random.default_rng(0)
    configs = [draw(SPACE, rng) for _ in range(300)]
    true = [(2.0 if config["task"] == "residual" else 1.0) * np.exp(float(config["x"]) ** 2) for config in configs]
    # Medians over the epochs scatter by about 13 %; 7 terms fitted to 300 leave 2 % of that.
    curves = [
        Curve("quasi", config, 0, (1.0,) * EPOCHS, tuple(cost * np.exp(0.3 * rng.normal(size=EPOCHS))))
        for config, cost in zip(configs, true, strict=True)
    ]
    assert fitted_costs(SPACE, curves) == pytest.approx(true, rel=0.06)
