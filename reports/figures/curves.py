"""Learning curves of the search, with the epochs at which ASHA compares trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from records.tables import Interim, Trial, in_epochs
from reports.figures.axes import axis, ticks
from reports.figures.drawing import (
    GREY,
    LOWER,
    THOUSANDTHS,
    WINNER,
    Look,
    draw,
    error,
    key,
    named,
    networks,
    settings,
    side_by_side,
    title,
)
from reports.markup import known
from reports.sweep import Row

LINES = {
    "": ("not over yet", GREY, 1.2),
    "failed": ("failed", "#cf4a4a", 1.2),
    "stopped": ("stopped early", GREY, 1.0),
    "interrupted": ("interrupted", "#1a9c8c", 1.4),
    "finished": ("finished", "#2f81d4", 1.4),
    "winner": ("winner", WINNER, 3.0),
}
"""Name in the legend, colour and width of a curve; later ones are drawn on top."""
DASHES = {"": "dot", "failed": "dash", "stopped": "solid", "interrupted": "dashdot"}

RUNG = "ASHA compares trials"


class Curve(NamedTuple):
    """The learning curve of one trial."""

    trial: Trial
    look: str
    """A key of `LINES`."""
    epochs: list[float]
    val_gap_l1: list[float]


def rows(progress: Iterable[Interim], trials: Sequence[Row]) -> list[Curve]:
    """Gather the curve of each trial, the winner last; of a report that came twice the newer counts."""
    known_trials = {row.trial.trial: row for row in trials}
    by_trial: dict[int, dict[float, float]] = {}
    for interim in progress:
        if known(interim.val_gap_l1) and interim.val_gap_l1 > 0:
            by_trial.setdefault(interim.trial, {})[interim.epoch] = interim.val_gap_l1
    found = []
    for number, values in sorted(by_trial.items()):
        row = known_trials.get(number)
        look = "" if row is None else "winner" if row.winner else row.trial.state
        trial = row.trial if row else Trial(number, "", "running", 0, None, None, None, None, None, 0.0)
        steps = sorted(values)
        found.append(Curve(trial, look if look in LINES else "", steps, [values[step] for step in steps]))
    places = list(LINES)
    return sorted(found, key=lambda curve: places.index(curve.look))


def figure(curves: Sequence[Curve], rungs: Sequence[float], span: tuple[float, float]) -> go.Figure:
    """Draw validation gap L1 against epoch, one line a trial, on the y range that the networks of a run share.

    Both axes are logarithmic: so ASHA's rungs lie evenly.
    """
    chart = go.Figure()
    for curve in curves:
        name, color, width = LINES[curve.look]
        chart.add_scatter(
            x=curve.epochs,
            y=[float(f"{value * 1e3:.5g}") for value in curve.val_gap_l1],
            mode="lines" if len(curve.epochs) > 1 else "markers",
            name=name,
            line={"color": color, "width": width, "dash": DASHES.get(curve.look, "solid")},
            marker={"size": 5, "color": color},
            text=f"<b>{named(curve.trial)}</b> ({name})<br>{settings(curve.trial.config)}",
            hovertemplate=f"%{{text}}<br>epoch %{{x:.3g}}: L1 %{{y:.3f}} × {THOUSANDTHS}<extra></extra>",
        )
    first = min(curve.epochs[0] for curve in curves)
    last = max(curve.epochs[-1] for curve in curves)
    low, high = span[0] * 1e3, span[1] * 1e3
    reached = [rung for rung in rungs if rung < last]
    for rung in reached:
        chart.add_scatter(
            x=[rung, rung],
            y=[low / 2, high * 2],
            mode="lines",
            name=RUNG,
            line={"color": GREY, "width": 1, "dash": "dot"},
            hoverinfo="skip",
        )
    chart.update_layout(height=400)
    end = max(last, 2 * first)
    chart.update_xaxes(axis(first, end), title="epoch", showgrid=False)
    if reached:
        values = [first, *(rung for rung in reached if first < rung < last / 1.3), last]
    else:
        values = sorted({round(value) if value >= 1 else value for value in ticks(first, end, log=True)})
    chart.update_xaxes(tickvals=values, ticktext=[in_epochs(value) for value in values])
    chart.update_yaxes(axis(low, high), title=f"validation gap L1 ({THOUSANDTHS}), {LOWER}")
    return chart


def caption(curves: Sequence[Curve], rungs: Sequence[float]) -> str:
    """Say what the curves of a network show."""
    count = f"{len(curves)} trials" if len(curves) != 1 else "one trial"
    best = min(curves, key=lambda curve: (curve.val_gap_l1[-1], curve.trial.trial))
    stopped = sum(curve.look == "stopped" for curve in curves)
    early = f", of which ASHA stopped {stopped} early" if stopped else ""
    compared = f" It compares them after {_listed(rungs)} epochs (dotted)." if rungs and len(curves) > 1 else ""
    if compared and not stopped:
        compared = f" ASHA compares them after {_listed(rungs)} epochs (dotted)."
    return (
        f"Error on the validation frames in the course of {count}{early}; {named(best.trial)} ends lowest, "
        f"at {error(best.val_gap_l1[-1])} after {in_epochs(best.epochs[-1])} epochs.{compared}"
    )


def _listed(values: Sequence[float]) -> str:
    *most, last = map(in_epochs, values)
    return f"{', '.join(most)} and {last}" if most else last


def html(curves: Sequence[Curve], rungs: Mapping[str, Sequence[float]], prefix: str = "") -> str:
    """Draw the curves of each network, with its rungs; nothing without any."""
    values = [value for curve in curves for value in curve.val_gap_l1]
    if not values:
        return ""
    drawn: list[tuple[str, str]] = []
    for network in networks(curve.trial.network for curve in curves):
        own = [curve for curve in curves if curve.trial.network == network]
        compared = rungs.get(network, ())
        chart = figure(own, compared, (min(values), max(values)))
        name = f"{prefix}learning-curves-{len(drawn)}"
        drawn.append((title(network), draw(chart, name, caption(own, compared))))
    looks = {curve.look for curve in curves}
    marks = [(LINES[look][0], Look(LINES[look][1], "", DASHES.get(look, "solid"))) for look in LINES if look in looks]
    marks = marks[::-1] + [(RUNG, Look(GREY, "", "dot"))] * any(rungs.values())
    return "\n".join(["<h3>Learning curves of the search</h3>", key(marks), side_by_side(drawn)])
