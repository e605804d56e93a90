"""The trials of the search: their table and their learning curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from reports.markup import DASH, duration, escape, known, number, table
from search.records import Config, Epoch, Trial

STATES = {
    "running": "Not over yet: measured at their last epoch so far",
    "finished": "Finished: trained for all its epochs",
    "stopped": "Stopped early by ASHA: measured at its last epoch",
    "interrupted": "Interrupted by the time limit or by hand: measured at its last epoch",
    "failed": "Failed: no result to compare",
}
LINES = {
    "winner": ("winner", "#e07b00", 3.0, 1.0),
    "finished": ("finished", "#2f81d4", 1.5, 0.9),
    "stopped": ("stopped early", "#8a919c", 1.2, 0.7),
    "interrupted": ("interrupted", "#1a9c8c", 1.2, 0.7),
    "failed": ("failed", "#cf4a4a", 1.2, 0.7),
    "": ("not over yet", "#8a919c", 1.2, 0.9),
}
"""Name in the legend, colour, width and opacity of a curve."""
COLORS = ("#e07b00", "#2f81d4", "#1a9c8c", "#8e5bd0")
"""Of curves that differ by their network."""


class Row(NamedTuple):
    """One trial in its place."""

    trial: Trial
    winner: bool


class Curve(NamedTuple):
    """The learning curve of one trial."""

    trial: int
    look: str
    """A key of `LINES`."""
    network: str
    epochs: list[int]
    val_gap_l1: list[float]
    config: Config


def rows(trials: Sequence[Trial], chosen: Sequence[Trial] = ()) -> list[Row]:
    """Sort trials by state, then validation gap L1, then number; a trial without a value comes last.

    The winners are those that were chosen to be retrained; before that, the best of the finished ones, if all trials
    are over.
    """
    states = list(STATES)

    def key(trial: Trial) -> tuple[int, str, float, int]:
        place = states.index(trial.state) if trial.state in STATES else len(states)
        return place, trial.state, _value(trial), trial.trial

    ordered = sorted(trials, key=key)
    winners = {trial.trial for trial in chosen}
    if not winners and not any(trial.state == "running" for trial in trials):
        winners = {t.trial for t in ordered[:1] if t.state == "finished" and _value(t) < math.inf}
    return [Row(trial, trial.trial in winners) for trial in ordered]


def _value(trial: Trial) -> float:
    value = trial.val_gap_l1
    return math.inf if value is None or math.isnan(value) else value


def html(rows: Sequence[Row]) -> str:
    """Draw the table of trials, one group for each state."""
    keys = list(dict.fromkeys(key for row in rows for key in row.trial.config))
    many = len({row.trial.network for row in rows}) > 1
    columns = ["trial", "gap L1 (10<sup>−3</sup>)", "gap CC", "epochs", "time", "parameters"]
    columns += ["network"] * many + [escape(key.replace("_", " ")) for key in keys]
    states = dict.fromkeys(row.trial.state for row in rows)
    groups = []
    for state in states:
        members = [row for row in rows if row.trial.state == state]
        title = f"{escape(STATES.get(state, state))} <small>{len(members)}</small>"
        groups.append((title, [_cells(row, keys, many) for row in members]))
    caption = (
        "Validation frames, lowest L1 first within each group. A trial that was stopped early had fewer epochs "
        "than a finished one: compare only within a group."
    )
    return table(caption, columns, groups, "trials") + _errors(rows)


def _cells(row: Row, keys: Sequence[str], many: bool) -> list[str]:
    trial = row.trial
    name = f"{trial.trial} <strong class='winner'>winner</strong>" if row.winner else str(trial.trial)
    cells = [
        name,
        number(trial.val_gap_l1, 3, 1e3),
        number(trial.val_gap_cc, 4),
        number(trial.epochs or None),
        duration(trial.seconds if trial.epochs else None),
        number(trial.parameters),
    ]
    cells += [escape(trial.network) or DASH] * many
    return cells + [setting(trial.config[key]) if key in trial.config else DASH for key in keys]


def setting(value: float | str) -> str:
    """Write a value of a config: three significant digits for a real number."""
    return f"{value:.3g}" if isinstance(value, float) else escape(value)


def _errors(rows: Sequence[Row]) -> str:
    failed = [row.trial for row in rows if row.trial.error]
    if not failed:
        return ""
    items = "".join(f"<dt>Trial {t.trial}</dt><dd><pre>{escape(t.error)}</pre></dd>" for t in failed)
    return f"<details><summary>Why trials failed ({len(failed)})</summary><dl>{items}</dl></details>"


def curves(epochs: Iterable[Epoch], rows: Sequence[Row]) -> list[Curve]:
    """Gather the epochs of each trial; the winner comes last, so that it is drawn on top."""
    known_trials = {row.trial.trial: row for row in rows}
    by_trial: dict[int, dict[int, float]] = {}
    for epoch in epochs:
        if known(epoch.val_gap_l1):
            by_trial.setdefault(epoch.trial, {})[epoch.epoch] = epoch.val_gap_l1
    found = []
    for number_, values in sorted(by_trial.items()):
        row = known_trials.get(number_)
        look = "" if row is None else "winner" if row.winner else row.trial.state
        steps = sorted(values)
        config, network = (row.trial.config, row.trial.network) if row else ({}, "")
        look = look if look in LINES else ""
        found.append(Curve(number_, look, network, steps, [values[s] for s in steps], config))
    return sorted(found, key=lambda curve: curve.look == "winner")


def figure(curves: Sequence[Curve], *, by_network: bool = False) -> go.Figure:
    """Draw validation gap L1 against epoch, one line a trial, the config in the hover text."""
    chart = go.Figure()
    seen: set[str] = set()
    networks = sorted({curve.network for curve in curves})
    for curve in curves:
        name, color, width, opacity = LINES[curve.look]
        if by_network:
            name, color = escape(curve.network), COLORS[networks.index(curve.network) % len(COLORS)]
        settings = "<br>".join(f"{escape(key)} {setting(value)}" for key, value in curve.config.items())
        chart.add_scatter(
            x=curve.epochs,
            y=[value * 1e3 for value in curve.val_gap_l1],
            mode="lines+markers",
            name=name,
            legendgroup=name,
            legendrank=1 if curve.look == "winner" else 2,
            showlegend=name not in seen,
            line={"color": color, "width": width},
            marker={"size": 3 + width},
            opacity=opacity,
            text=[f"<b>trial {curve.trial}</b> ({name})<br>{escape(curve.network)}<br>{settings}"]
            * len(curve.epochs),
            hovertemplate="%{text}<br>epoch %{x}: L1 %{y:.3f} × 10<sup>−3</sup><extra></extra>",
        )
        seen.add(name)
    chart.update_layout(template="none", height=440, hovermode="closest", showlegend=True)
    chart.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"})
    chart.update_xaxes(title="epoch", showgrid=False)
    chart.update_yaxes(title="validation gap L1 (10<sup>−3</sup>), lower is better", type="log")
    return chart
