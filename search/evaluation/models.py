"""The models of a run as methods: what each winner's row is called, and which models the ensemble averages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean

from records.folder import RunFolder
from records.networks import TITLES
from records.tables import Member, RetrainInterim, Trial
from search.evaluation.methods import Filler, Method, stored_filler
from trainables import tasks
from trainables.models import count_parameters, load

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
    for network, title in TITLES.items():
        own = sorted((w for w in winners if w.network == network), key=lambda w: (w.val_gap_l1 or 0, w.trial))
        proposed = [winner for winner in own if winner.point is None]
        tasks = sorted({str(winner.config["task"]) for winner in proposed})
        for task in tasks:
            posed = f"{title}, {task}" if len(tasks) > 1 else title
            same = (winner for winner in proposed if winner.config["task"] == task)
            names |= {w.trial: f"{posed} {place}" if place > 1 else posed for place, w in enumerate(same, start=1)}
        names |= {w.trial: f"{title}, paper's model {w.point}" for w in own if w.point is not None}
    return names


def retrained(run: RunFolder, models: list[Model]) -> tuple[list[Method], list[Member]]:
    """Return the methods of a run's `trained` models: a row for each winner, in their order, and last the ensemble.

    And the members of the ensemble; none where it would have fewer than two, which make no row.
    """
    winners = run.winners.read()
    rows = [(winner, [model for model in models if model.winner == winner]) for winner in winners]
    names = titles(winners)
    methods = [_row(names[winner.trial], own) for winner, own in rows if own]
    members = choose(models)
    if members:
        methods.append(_ensemble(members))
    return methods, [model.member for model in members]


def chosen(models: list[Model]) -> list[Model]:
    """Return those of a run's models that fill users' frames, best first: the ensemble's, else the best one.

    By validation. Empty where no model has been trained to its end.
    """
    return choose(models) or sorted(models, key=_error)[:1]


def trained(run: RunFolder) -> list[Model]:
    """Return all models of a run, in the order of its winners and of their seeds."""
    trainings: dict[tuple[int, int], list[RetrainInterim]] = {}
    for interim in run.retraining.read():
        trainings.setdefault((interim.trial, interim.seed), []).append(interim)
    return [
        Model(winner, tuple(training), path)
        for winner in run.winners.read()
        for (trial, seed), training in sorted(trainings.items())
        if trial == winner.trial and (path := run.model(winner, seed)).exists()
    ]


@dataclass(frozen=True)
class Model:
    """A trained model and where it comes from; its file is read when it is asked for."""

    winner: Trial
    training: tuple[RetrainInterim, ...]
    path: Path

    @property
    def val_gap_l1(self) -> float:
        """Its validation error: the lowest of its training, whose weights are kept."""
        return min(interim.val_gap_l1 for interim in self.training)

    @property
    def member(self) -> Member:
        """The record of the model as a member of the ensemble."""
        return Member(self.winner.network, self.winner.trial, self.training[-1].seed, self.val_gap_l1)

    @cached_property
    def filler(self) -> Filler:
        """Fills gaps with the network."""
        return stored_filler([self.path], rings=self.looks_at_rings)

    @property
    def looks_at_rings(self) -> bool:
        """Tell whether it follows the rings of frames of known geometry."""
        return tasks.of(self.winner.config).rings

    @property
    def parameters(self) -> int:
        """Number of the network's learnable parameters."""
        return count_parameters(load(self.path)[0])

    @property
    def device_seconds(self) -> float:
        """Training time times the devices it ran on."""
        end = self.training[-1]
        return end.seconds * end.devices


def _error(model: Model) -> float:
    return model.val_gap_l1


def _row(name: str, seeds: list[Model]) -> Method:
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


def choose(models: list[Model]) -> list[Model]:
    """Return the members of the ensemble, best first: by validation alone, the test set has no say."""
    ranked = sorted(models, key=_error)
    good = [model for model in ranked if _error(model) <= (1 + MEMBER_SHARE) * _error(ranked[0])]
    return good if len(good) > 1 else []


def _ensemble(members: list[Model]) -> Method:
    filler = stored_filler([model.path for model in members], rings=any(model.looks_at_rings for model in members))
    return Method(
        name=ENSEMBLE,
        kind="ensemble",
        fillers=(filler,),
        parameters=sum(model.parameters for model in members),
        train_seconds=sum(model.device_seconds for model in members),
        seeds=len(members),
    )
