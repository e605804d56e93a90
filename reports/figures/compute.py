"""The gain of the search against the time that it took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from records.tables import Interim, RetrainInterim, Trial
from reports.figures.axes import axis
from reports.figures.drawing import GREY, LOWER, THOUSANDTHS, Look, color, draw, error, key, networks, title
from reports.markup import duration, escape, known

UNITS = ((2 * 3600.0, 3600.0, "hours"), (120.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
"""From how many seconds on, seconds in one, name."""


class Gain(NamedTuple):
    """Best validation gap L1 so far of a network against the device-seconds spent on it so far."""

    network: str
    search: list[tuple[float, float]]
    """(device-seconds, L1) at each report of any of its trials."""
    retraining: list[tuple[float, float]]
    """Likewise, after the search."""


def rows(
    progress: Iterable[Interim], retraining: Iterable[RetrainInterim], trials: Sequence[Trial], devices: float = 1
) -> list[Gain]:
    """Add up the training time of each network in the order in which its reports arrived.

    Args:
        progress: Of the search, in the order of arrival.
        retraining: Of the winners.
        trials: To tell which network a trial is of; reports of an unknown one are left out.
        devices: That a trial of the search has, or a part of one.
    """
    network_of = {trial.trial: trial.network for trial in trials if trial.network}
    found = {name: Gain(name, [], []) for name in networks(network_of.values())}
    clock: dict[tuple[int, int | None], float] = {}
    for interim in [*progress, *retraining]:
        again = isinstance(interim, RetrainInterim)
        network = network_of.get(interim.trial)
        if network is None or not math.isfinite(interim.seconds):
            continue
        gain = found[network]
        part = gain.retraining if again else gain.search
        spent, best = (part or gain.search or [(0.0, math.inf)])[-1]
        # A training that began anew from a checkpoint repeats seconds that were counted.
        key = (interim.trial, interim.seed if isinstance(interim, RetrainInterim) else None)
        took = max(interim.seconds - clock.get(key, 0.0), 0.0)
        clock[key] = max(interim.seconds, clock.get(key, 0.0))
        spent += took * (interim.devices if isinstance(interim, RetrainInterim) else devices)
        value = interim.val_gap_l1
        part.append((spent, min(best, value) if known(value) and value > 0 else best))
    return [gain for gain in found.values() if any(best < math.inf for _, best in gain.search + gain.retraining)]


def figure(gains: Sequence[Gain]) -> go.Figure:
    """Draw the best error so far as steps: the search in full, the retraining dashed."""
    chart = go.Figure()
    unit, name = _unit(gains)
    points = [(x, y) for gain in gains for x, y in gain.search + gain.retraining if y < math.inf and x > 0]
    for gain in gains:
        label = escape(title(gain.network))
        for part, dash in ((gain.search, "solid"), (gain.retraining, "dot")):
            start = gain.search[-1:] if part is gain.retraining else []
            drawn = steps(start + [(x, y) for x, y in part if y < math.inf])
            if not drawn:
                continue
            what = "search" if dash == "solid" else "retraining"
            chart.add_scatter(
                x=[float(f"{x / unit:.5g}") for x, _ in drawn],
                y=[float(f"{y * 1e3:.5g}") for _, y in drawn],
                mode="lines" if len(drawn) > 1 else "markers",
                name=label,
                line={"shape": "hv", "color": color(gain.network), "dash": dash, "width": 2.2},
                hovertemplate=f"<b>{label}</b>, {what}<br>after %{{x:.3g}} {name}: %{{y:.3f}} × {THOUSANDTHS}"
                "<extra></extra>",
            )
    low, high = min(y for _, y in points), max(y for _, y in points)
    chart.update_layout(height=400)
    across = axis(min(x for x, _ in points) / unit, max(x for x, _ in points) / unit)
    chart.update_xaxes(across, title=f"training time of all trials and devices ({name})", showgrid=False)
    chart.update_yaxes(axis(low * 1e3, high * 1e3), title=f"best validation gap L1 so far ({THOUSANDTHS}), {LOWER}")
    return chart


def steps(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Leave out points between which nothing changes."""
    last = len(points) - 1
    return [point for place, point in enumerate(points) if place in (0, last) or point[1] != points[place - 1][1]]


def _unit(gains: Sequence[Gain]) -> tuple[float, str]:
    longest = max(point[0] for gain in gains for point in gain.search + gain.retraining)
    return next((unit, name) for least, unit, name in UNITS if longest >= least)


def caption(gains: Sequence[Gain]) -> str:
    """Say what the steps show."""
    sentences = []
    for gain in gains:
        found = [(x, y) for x, y in gain.search if y < math.inf]
        if found:
            spent, best = found[-1]
            reached = next(x for x, y in found if y <= 1.05 * best)
            sentences.append(
                f"{title(gain.network)} came to {error(best)} in {duration(spent)} (within 5 % of it after "
                f"{duration(reached)})"
            )
    again = " Dotted: retraining." if any(gain.retraining for gain in gains) else ""
    text = "; ".join(sentences) or "The search left no result"
    return f"Lowest error on the validation frames so far against the time spent: {text}.{again}"


def html(gains: Sequence[Gain], prefix: str = "") -> str:
    """Draw the gains of all networks; nothing without any."""
    if not any(x > 0 and y < math.inf for gain in gains for x, y in gain.search + gain.retraining):
        return ""
    marks = [(title(gain.network), Look(color(gain.network), "", "solid")) for gain in gains]
    marks += [("retraining", Look(GREY, "", "dot"))] * any(gain.retraining for gain in gains)
    drawn = draw(figure(gains), f"{prefix}gain", caption(gains))
    return "\n".join(["<h3>What the search gained for its time</h3>", key(marks), drawn])
