"""The latent-space analysis (paper, Fig. 10): does filling the gaps bring frames nearer to their true neighbours?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from scipy.stats import wilcoxon

from records.tables import Latent
from reports.figures.axes import axis
from reports.figures.drawing import Look, draw, key, side_by_side
from reports.markup import DASH, escape, number, percent, table
from reports.statistics import LEVEL

REFERENCE, BEFORE, AFTER = "truth", "masked", "inpainted"
COLORS = {REFERENCE: "#1a9c8c", BEFORE: "#8a919c", AFTER: "#e07b00"}
DASHES = {REFERENCE: "solid", BEFORE: "dash", AFTER: "solid"}
OTHER = "#2f81d4"
FEWEST = 10
"""Neighbours below which nothing is drawn: a share of so few has few values, and single ranks are noise."""


class Row(NamedTuple):
    """One latent space."""

    space: str
    overlap: float | None
    """Mean share of a frame's nearest neighbours that are its nearest in the truth space; None for that space."""
    low: float | None
    """The share that a tenth of the frames do not reach."""
    correlation: float
    """Mean correlation of a frame with its nearest neighbours."""


class Change(NamedTuple):
    """The overlap of inpainted frames against that of masked ones."""

    masked: float
    inpainted: float
    other_seed: float | None
    p: float
    """Two-sided, of Wilcoxon's signed-rank test over frames."""

    @property
    def found(self) -> bool:
        """Tell whether the two differ."""
        return self.p < LEVEL


def rows(latent: Latent) -> list[Row]:
    """Sum up each space over the nearest neighbours."""
    near = latent.correlation[:, : latent.neighbours].mean(axis=1)
    return [
        Row(
            space,
            None if space == REFERENCE else float(overlap.mean()),
            None if space == REFERENCE else float(np.quantile(overlap, 0.1)),
            float(correlation),
        )
        for space, overlap, correlation in zip(latent.spaces, latent.overlap, near, strict=True)
    ]


def change(latent: Latent) -> Change:
    """Compare inpainted with masked frames, frame by frame."""
    overlap = dict(zip(latent.spaces, latent.overlap, strict=True))
    difference = overlap[AFTER] - overlap[BEFORE]
    other = [values.mean() for space, values in overlap.items() if space not in COLORS]
    return Change(
        masked=float(overlap[BEFORE].mean()),
        inpainted=float(overlap[AFTER].mean()),
        other_seed=float(other[0]) if other else None,
        # Without any difference there are no ranks to sum.
        p=float(wilcoxon(difference).pvalue) if difference.any() else 1.0,
    )


def sentence(latent: Latent) -> str:
    """Say in plain sentences (no HTML) what came out, also when it is not what the paper found."""
    found = change(latent)
    whose = f"Of the {latent.neighbours} frames nearest to a frame in the latent space of the truth"
    figures = (
        f"{percent(found.inpainted, 1)} are also nearest among frames filled by {latent.method}, and "
        f"{percent(found.masked, 1)} among frames with empty gaps (means over {latent.overlap.shape[1]} test frames, "
        f"Wilcoxon signed-rank {_p(found.p)})"
    )
    if not found.found:
        verdict = "No difference found between filled and empty gaps"
    elif found.inpainted > found.masked:
        verdict = "Filling the gaps brings frames nearer to their true neighbours, as in the paper"
    else:
        verdict = "Not as in the paper: filled frames lie farther from their true neighbours than masked ones"
    text = f"{verdict}. {whose}, {figures}."
    if found.other_seed is not None:
        text += (
            f" Training the autoencoder anew on the truth, with another seed, keeps {percent(found.other_seed, 1)}"
        )
        text += ": that changes neighbours more than empty gaps do." if found.other_seed < found.masked else "."
    return text


def html(latent: Latent, prefix: str = "") -> str:
    """Draw what came out: a sentence, a table and both figures."""
    columns = ["latent space of", "overlap, mean", "a tenth of frames below", "correlation with the nearest"]
    lines = [
        [
            escape(row.space),
            DASH if row.overlap is None else percent(row.overlap, 1),
            DASH if row.low is None else percent(row.low, 1),
            number(row.correlation, 4),
        ]
        for row in rows(latent)
    ]
    count = latent.overlap.shape[1]
    chance = latent.neighbours / (count - 1)
    caption = (
        f"An autoencoder describes each test frame by {latent.dimension} numbers. It is trained on the truth, on "
        "frames with empty gaps (masked) and on filled ones, with equal settings and initial weights; “another seed” "
        "differs from the truth by these weights alone, and tells what they change. Overlap: share of a frame’s "
        f"{latent.neighbours} nearest neighbours in the truth’s space that are its nearest here, too; higher is "
        f"better, chance gives {percent(chance, 1)}. Correlation: of the measured pixels of a frame and of its "
        "nearest neighbours. The test takes frames as independent and the trainings as given; frames share "
        "neighbours and trainings differ, so a small difference is found too easily: compare it with that of "
        "another seed."
    )
    found = table(caption, columns, [("", lines)], "latent")
    parts = [f"<p>{escape(sentence(latent))}</p>", found, "<h3>Neighbours in each space</h3>"]
    if latent.neighbours < FEWEST:
        few = f"Not drawn: the {latent.neighbours} nearest among n = {count} test frames are too few."
        return "\n".join([*parts, f"<p>{few}</p>"])
    ranks = (
        f"Mean correlation of a frame with its neighbour of each rank, one line a latent space, n = {count} frames."
    )
    shares = f"Overlap with the nearest neighbours of the truth, one violin a latent space, n = {count} frames."
    drawn = [
        ("Neighbours by rank", draw(figure_correlation(latent), f"{prefix}latent-ranks", ranks)),
        ("True neighbours kept", draw(figure_overlap(latent), f"{prefix}latent-overlap", shares)),
    ]
    marks = [(space, Look(COLORS.get(space, OTHER), "", DASHES.get(space, "dot"))) for space in latent.spaces]
    return "\n".join([*parts, key(marks), side_by_side(drawn)])


def figure_correlation(latent: Latent) -> go.Figure:
    """Draw the mean correlation with the neighbour of each rank, one line a space."""
    chart = go.Figure()
    for space, values in zip(latent.spaces, latent.correlation, strict=True):
        chart.add_scatter(
            x=list(range(1, len(values) + 1)),
            y=values.tolist(),
            mode="lines",
            name=escape(space),
            line={"color": COLORS.get(space, OTHER), "width": 2, "dash": DASHES.get(space, "dot")},
            hovertemplate=f"{escape(space)}<br>neighbour %{{x}}: %{{y:.4f}}<extra></extra>",
        )
    chart.update_layout(height=400)
    # Far ranks are all the other frames, in every space alike: the near ones get the room.
    across = axis(1, latent.correlation.shape[1])
    chart.update_xaxes(across, title="rank of the neighbour, 1 is the nearest", showgrid=False)
    chart.update_yaxes(title="mean correlation of measured pixels")
    return chart


def figure_overlap(latent: Latent) -> go.Figure:
    """Draw the distribution of the overlap over frames, one violin a space."""
    chart = go.Figure()
    for space, values in zip(latent.spaces, latent.overlap, strict=True):
        if space == REFERENCE:
            continue
        chart.add_violin(
            y=(values * 100).tolist(),
            name=escape(space),
            line_color=COLORS.get(space, OTHER),
            meanline_visible=True,
            box_visible=False,
            points=False,
            spanmode="hard",
            hoverinfo="y+name",
        )
    chart.update_layout(height=400)
    chart.update_xaxes(title="latent space", showgrid=False)
    chart.update_yaxes(title="neighbours kept (%), higher is better", rangemode="tozero")
    return chart


def _p(value: float) -> str:
    return "p < 0.001" if value < 1e-3 else f"p = {value:.3f}"
