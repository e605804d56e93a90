"""Everything that a run has so far, as one HTML file that needs no network."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zipfile import BadZipFile

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from reports import gallery, leaderboard, method, summary, sweep
from reports.markup import escape, known, section
from scattering.errors import InputError, one_line
from search.records import (
    Epoch,
    Evaluation,
    FrameScore,
    Gallery,
    MethodScore,
    RunInfo,
    Trial,
    read_gallery,
    read_json,
    read_lines,
    read_table,
    trials_so_far,
    write_text,
)

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""The browser itself refuses any request that the page might make."""

PAPER = """
const figures = document.getElementsByClassName("plotly-graph-div");
const resize = change => { for (const figure of figures) Plotly.relayout(figure, change); };
addEventListener("beforeprint", () => resize({width: 640}));
addEventListener("afterprint", () => resize({width: null, autosize: true}));
"""
"""Draws the figures as wide as a sheet of paper while the page is printed: plotly sizes them for the screen."""


@dataclass(frozen=True)
class Run:
    """What a run folder holds; a part that does not exist yet is empty or None."""

    info: RunInfo
    progress: list[Epoch]
    trials: list[Trial]
    winners: list[Trial]
    retraining: list[Epoch]
    test: Evaluation | None
    frame_scores: list[FrameScore]
    scores: list[MethodScore]
    gallery: Gallery | None
    written: datetime
    """When a file of it was last written, UTC."""


def read(run: Path) -> Run:
    """Read a run folder.

    Raises:
        InputError: If it is no run folder, or a file in it cannot be read.
    """
    if not (run / "run.json").is_file():
        raise InputError(
            f"a run folder holds run.json, {run} does not; give a folder that a search made, runs/<name>"
        )
    test, pictures = run / "evaluation.json", run / "gallery.npz"
    try:
        return Run(
            info=read_json(run / "run.json", RunInfo),
            progress=read_lines(run / "progress.jsonl"),
            trials=trials_so_far(run),
            winners=read_table(run / "winners.csv", Trial),
            retraining=read_lines(run / "retraining.jsonl"),
            test=read_json(test, Evaluation) if test.exists() else None,
            frame_scores=read_table(run / "scores.csv", FrameScore),
            scores=read_table(run / "leaderboard.csv", MethodScore),
            gallery=read_gallery(pictures) if pictures.exists() else None,
            written=datetime.fromtimestamp(max(p.stat().st_mtime for p in run.iterdir() if p.is_file()), UTC),
        )
    except (OSError, ValueError, TypeError, KeyError, BadZipFile) as error:
        raise InputError(
            f"a run folder holds only what the search wrote, {run} does not ({one_line(error)}); run it anew"
        ) from error


def write(run: Path) -> Path:
    """Write `report/index.html` of a run folder and return its path.

    Raises:
        InputError: If it is no run folder, or a file in it cannot be read.
    """
    path = run / "report" / "index.html"
    write_text(path, html(read(run)))
    return path


def html(run: Run) -> str:
    """Build the page: the same run gives the same bytes."""
    ranked = leaderboard.rows(run.scores)
    trials = sweep.rows(run.trials, run.winners)
    frames = gallery.rows(run.gallery, [row.score.method for row in ranked]) if run.gallery else []
    simulated = bool(run.info.data.get("simulated"))
    found = summary.duels(ranked, run.frame_scores)
    sections = [
        summary.html(ranked, found, run.test, run.trials, simulated)
        if ranked
        else summary.unfinished(run.trials, run.winners, run.retraining, run.written, simulated),
        *_comparison(ranked),
        *_gallery(frames),
        *_search(run, trials),
        section("measured", "How it was measured", method.measured(run.test)),
        section("provenance", "Provenance", method.provenance(run.info)),
    ]
    css = Path(__file__).with_name("page.css").read_text(encoding="utf-8") + gallery.style(frames)
    badges = ["simulated frames"] * simulated + ["not finished"] * (not ranked)
    return _document(run.info, badges, css, "\n".join(sections))


def _document(info: RunInfo, badges: list[str], css: str, body: str) -> str:
    name, data = escape(info.name), escape(info.data.get("title", "detector frames"))
    badge = "".join(f' <span class="badge">{text}</span>' for text in badges)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{name}{f" ({', '.join(badges)})" if badges else ""} · gapsearch</title>
<style>
{css}
</style>
<script>{get_plotlyjs()}</script>
</head>
<body>
<header>
<p class="product">gapsearch leaderboard</p>
<h1>{name}{badge}</h1>
<p>Which method best fills the gaps between detector modules: {data}</p>
</header>
<main>
{body}
</main>
<script>{PAPER}</script>
</body>
</html>
"""


def _comparison(ranked: list[leaderboard.Row]) -> list[str]:
    if not ranked:
        return []
    kinds = [k for k in ("horizontal", "vertical") if any(known(getattr(r.score, f"{k}_l1")) for r in ranked)]
    charts = "".join(
        f"<div><h3>{kind.capitalize()} gaps</h3>{_plot(leaderboard.figure(ranked, kind), f'l1-{kind}')}</div>"
        for kind in kinds
    )
    key = '<p class="key">Orange: networks. Grey: classical methods. Dotted: the noise floor, where it is known.</p>'
    return [section("comparison", "Comparison", leaderboard.html(ranked), key, f'<div class="charts">{charts}</div>')]


def _gallery(frames: list[gallery.Frame]) -> list[str]:
    if not frames:
        return []
    intro = (
        "<p>Test frames, filled by each method. All pictures of a frame share one intensity scale; all difference "
        f"pictures of the page share one scale that ends at {gallery.CAP}. Close-ups lie where the hidden truth "
        "varies most.</p>"
    )
    drawn = [gallery.html(frame, index) for index, frame in enumerate(frames)]
    return [section("gallery", "Gallery", intro, *drawn)]


def _search(run: Run, trials: list[sweep.Row]) -> list[str]:
    parts = [sweep.html(trials)] if trials else []
    curves = sweep.curves(run.progress, trials)
    if curves:
        parts += ["<h3>Learning curves</h3>", _plot(sweep.figure(curves), "learning-curves")]
    retrained = sweep.curves(run.retraining, trials)
    if retrained:
        parts += [
            "<h3>Retraining, at full length</h3>",
            _plot(sweep.figure(retrained, by_network=True), "retraining"),
        ]
    return [section("trials", "Trials", *parts)] if parts else []


def _plot(chart: go.Figure, name: str) -> str:
    chart.update_layout(
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#767d87"},
        margin={"l": 60, "r": 16, "t": 36, "b": 52},
    )
    axis = {"fixedrange": True, "gridcolor": "rgba(128,134,144,0.25)", "zeroline": False, "title_font_size": 13}
    chart.update_xaxes(axis).update_yaxes(axis)
    config = {"responsive": True, "displayModeBar": False}
    return str(chart.to_html(config, include_plotlyjs=False, full_html=False, div_id=name))
