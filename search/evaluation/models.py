"""The models of a run as methods: what each winner's row is called, and which models the ensemble averages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from torch import nn

from search.evaluation.methods import Method, averaged, network_filler
from search.records import Member, RetrainEpoch, Trial, model_path, read_retraining, read_table
from search.settings import NETWORKS
from trainables.models import count_parameters, load
from trainables.tasks import Task

ENSEMBLE = "ensemble"

MEMBER_SHARE = 0.1
"""How much more than the best model a member of the ensemble may err on validation frames.

The mean of two fills whose errors correlate by r has a smaller mean squared error than the better one alone while the
other's root mean square error is below sqrt(r^2 + 3) - r of it: 1.11 times for r = 0.8, 1.05 for 0.9. Errors of
networks on equal pixels correlate by so much: they share the noise of the truth and what no measured pixel tells.
"""


def titles(winners: Sequence[Trial]) -> dict[int, str]:
    """Name each winner's row, by trial: "TUNet" for the best of a network by validation, "TUNet 2" for the next.

    Where a network has winners of both tasks each task is numbered on its own: "TUNet, residual", "TUNet, blind 2".
    A point of the paper is called so: "TUNet, paper's model 2".
    """
    names: dict[int, str] = {}
    for network, title in NETWORKS.items():
        own = sorted((w for w in winners if w.network == network), key=lambda w: (w.val_gap_l1 or 0, w.trial))
        proposed = [winner for winner in own if winner.point is None]
        tasks = sorted({str(winner.config["task"]) for winner in proposed})
        for task in tasks:
            posed = f"{title}, {task}" if len(tasks) > 1 else title
            same = (winner for winner in proposed if winner.config["task"] == task)
            names |= {w.trial: f"{posed} {place}" if place > 1 else posed for place, w in enumerate(same, start=1)}
        names |= {w.trial: f"{title}, paper's model {w.point}" for w in own if w.point is not None}
    return names


def retrained(folder: Path) -> tuple[list[Method], list[Member]]:
    """Return the methods of a run's models: a row for each winner, in their order, and last the ensemble.

    And the members of the ensemble; none where it would have fewer than two, which make no row.
    """
    winners = read_table(folder / "winners.csv", Trial)
    # Of each training the last epoch.
    ends = {(epoch.trial, epoch.seed): epoch for epoch in read_retraining(folder / "retraining.jsonl")}
    names = titles(winners)
    methods, models = [], []
    for winner in winners:
        own = [
            _Model(winner, end, *load(path))
            for (trial, seed), end in sorted(ends.items())
            if trial == winner.trial and (path := model_path(folder, winner, seed)).exists()
        ]
        if own:
            methods.append(_row(names[winner.trial], own))
            models += own
    members = choose(models)
    if members:
        methods.append(_ensemble(members))
    return methods, [Member(m.winner.network, m.winner.trial, m.end.seed, m.end.val_gap_l1) for m in members]


class _Model:
    """A trained model and where it comes from."""

    def __init__(self, winner: Trial, end: RetrainEpoch, network: nn.Module, task: Task) -> None:
        self.winner, self.end = winner, end
        self.filler = network_filler(network, task)
        self.parameters = count_parameters(network)
        self.device_seconds = end.seconds * end.devices


def _row(name: str, seeds: list[_Model]) -> Method:
    winner = seeds[0].winner
    return Method(
        name=name,
        kind="network",
        fillers=tuple(model.filler for model in seeds),
        parameters=seeds[0].parameters,
        train_seconds=fmean(model.device_seconds for model in seeds),
        network=winner.network,
        task=str(winner.config["task"]),
        trial=winner.trial,
        point=winner.point,
        seeds=len(seeds),
    )


def choose(models: list[_Model]) -> list[_Model]:
    """Return the members of the ensemble, best first: by validation alone, the test set has no say."""
    ranked = sorted(models, key=lambda model: model.end.val_gap_l1)
    good = [model for model in ranked if model.end.val_gap_l1 <= (1 + MEMBER_SHARE) * ranked[0].end.val_gap_l1]
    return good if len(good) > 1 else []


def _ensemble(members: list[_Model]) -> Method:
    return Method(
        name=ENSEMBLE,
        kind="ensemble",
        fillers=(averaged([model.filler for model in members]),),
        parameters=sum(model.parameters for model in members),
        train_seconds=sum(model.device_seconds for model in members),
        seeds=len(members),
    )
