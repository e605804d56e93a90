"""Learning curves of the winners, trained again with several seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from records.tables import RetrainInterim, Trial, in_epochs
from reports.figures.axes import axis
from reports.figures.drawing import LOWER, THOUSANDTHS, Look, color, draw, error, key, networks, numbers, title
from reports.markup import Number, escape, known, number, significant

DASHES = ("solid", "dash", "dot", "dashdot")
"""Of the best trial of a network, the next, and so on."""


class Curve(NamedTuple):
    """One training."""

    network: str
    trial: int
    seed: int
    place: int
    """Of its trial among the retrained ones of its network, from 0, best first."""
    epochs: list[float]
    val_gap_l1: list[float]


def rows(reports: Iterable[RetrainInterim], winners: Sequence[Trial]) -> list[Curve]:
    """Gather the curve of each training, by network, trial and seed; trials in the order of `winners`."""
    found = {winner.trial: winner for winner in winners}
    order = [winner.trial for winner in winners]
    trainings: dict[tuple[int, int], dict[float, float]] = {}
    for interim in reports:
        if known(interim.val_gap_l1) and interim.val_gap_l1 > 0:
            trainings.setdefault((interim.trial, interim.seed), {})[interim.epoch] = interim.val_gap_l1
    order += sorted({trial for trial, _ in trainings} - set(order))

    def network(trial: int) -> str:
        return found[trial].network if trial in found else ""

    ranked = networks(map(network, order))
    places = {trial: [t for t in order if network(t) == network(trial)].index(trial) for trial in order}
    curves = []
    for (trial, seed), values in trainings.items():
        steps = sorted(values)
        curves.append(Curve(network(trial), trial, seed, places[trial], steps, [values[step] for step in steps]))
    return sorted(curves, key=lambda c: (ranked.index(c.network), c.place, c.seed))


def figure(curves: Sequence[Curve]) -> go.Figure:
    """Draw validation gap L1 against epoch: networks by colour, their trials by dashes, seeds alike."""
    chart = go.Figure()
    for curve in reversed(curves):
        name = escape(title(curve.network))
        chart.add_scatter(
            x=curve.epochs,
            y=[float(f"{value * 1e3:.5g}") for value in curve.val_gap_l1],
            mode="lines" if len(curve.epochs) > 1 else "markers",
            name=name,
            line={
                "color": color(curve.network),
                "width": 2.2 if curve.place == 0 else 1.4,
                "dash": DASHES[min(curve.place, len(DASHES) - 1)],
            },
            text=f"<b>{name}</b>, trial {curve.trial}, seed {curve.seed}",
            hovertemplate=f"%{{text}}<br>epoch %{{x:.3g}}: L1 %{{y:.3f}} × {THOUSANDTHS}<extra></extra>",
        )
    values = [value * 1e3 for curve in curves for value in curve.val_gap_l1]
    last = max(curve.epochs[-1] for curve in curves)
    chart.update_layout(height=400)
    chart.update_xaxes(axis(0, last, log=False), title="epoch", showgrid=False)
    chart.update_yaxes(axis(min(values), max(values)), title=f"validation gap L1 ({THOUSANDTHS}), {LOWER}")
    return chart


def caption(curves: Sequence[Curve]) -> str:
    """Say what the curves show."""
    best = min(curves, key=lambda curve: min(curve.val_gap_l1))
    trials = len({curve.trial for curve in curves})
    what = "one trial" if trials == 1 else f"{trials} trials"
    seeds = len({curve.seed for curve in curves})
    lines = [f"Error on the validation frames while the winners are trained again: {what}"]
    lines[0] += f", each with {seeds} seeds (lines that look alike)" if seeds > 1 else ""
    if max(curve.place for curve in curves):
        lines[0] += "; solid: the best trial of a network, dashed and dotted: the next ones"
    lines.append(
        f"Lowest: {title(best.network)}, trial {best.trial}, {error(min(best.val_gap_l1))}; of each training the "
        "weights with the lowest error are kept"
    )
    return ". ".join(lines) + "."


def html(curves: Sequence[Curve], prefix: str = "") -> str:
    """Draw the curves; nothing without any."""
    if not curves:
        return ""
    drawn = draw(figure(curves), f"{prefix}retraining", caption(curves))
    marks = [(title(name), Look(color(name), "", "solid")) for name in networks(curve.network for curve in curves)]
    lines = [
        [
            escape(title(curve.network)),
            number(curve.trial),
            number(curve.seed),
            Number(in_epochs(curve.epochs[-1]), curve.epochs[-1]),
            significant(min(curve.val_gap_l1), scale=1e3),
        ]
        for curve in curves
    ]
    heads = ["network", "trial", "seed", "epochs", f"lowest validation gap L1 ({THOUSANDTHS})"]
    found = numbers("The trainings of the winners.", heads, [("", lines)], "retraining-l1")
    return "\n".join(["<h3>Retraining of the winners</h3>", key(marks), drawn, found])
