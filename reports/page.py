"""Everything that one or many runs have so far, as one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from plotly.offline import get_plotlyjs

from records.files import write_text
from records.folder import RunFolder
from records.tables import MethodScore
from reports import categories, comparisons, frames, leaderboard, method, overview, searched, summary, sweep
from reports.figures import (
    bars,
    compute,
    coordinates,
    cost,
    coverage,
    curves,
    distances,
    gallery,
    importances,
    latent,
    retraining,
)
from reports.figures.drawing import draw, side_by_side
from reports.folder import Run, read
from reports.markup import escape, section
from reports.ranking import Ranking, rank
from scattering.errors import InputError, one_line
from scattering.outputs import PROGRAM

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""The browser itself refuses any request that the page might make."""


class Section(NamedTuple):
    """One part of the page, with a line in its table of contents."""

    anchor: str
    heading: str
    """HTML."""
    body: str
    """HTML; an empty section is left out."""


def write(*folders: Path, path: Path | None = None) -> Path:
    """Write the page of run folders and return its path.

    Without a path, that is `report/index.html` in the folder of a single run, and `report.html` beside the first of
    several.

    Raises:
        InputError: If one is no run folder, a file in it cannot be read, or the page cannot be written.
    """
    text = html(*map(read, folders))
    if path is None:
        path = RunFolder(folders[0]).page if len(folders) == 1 else folders[0].parent / "report.html"
    try:
        write_text(path, text)
    except OSError as error:
        raise InputError(
            f"the page goes where a file can be written, {path} is no such place ({one_line(error)}); give -o FILE"
        ) from error
    return path


def is_page(path: Path) -> bool:
    """Tell whether a file is a page that we have written."""
    try:
        with path.open("rb") as file:
            return f'<meta name="generator" content="{PROGRAM}">'.encode() in file.read(2048)
    except OSError:
        return False


def html(*runs: Run) -> str:
    """Build the page: the same runs give the same bytes."""
    style = "".join(
        (Path(__file__).parent / name).read_text(encoding="utf-8") for name in ("page.css", "figures/figures.css")
    )
    if len(runs) == 1:
        (run,) = runs
        badges = _badges(run)
        sections = _sections(run, "")
        head = _header(
            "gapsearch leaderboard",
            f"{escape(run.info.name)}{_badge(badges)}",
            f"Which method best fills the gaps between detector modules: {_data(run)}",
        )
        body = _contents(sections, "Contents") + _drawn(sections)
        return _document(run.info.name, badges, style, head, body)
    names = overview.names(runs)
    prefixes = [f"run-{number}-" for number, _ in enumerate(runs, 1)]
    shared = overview.sections(runs, names)
    compared = [Section(*part) for part in shared]
    anchors = [Section(prefix[:-1], escape(name), "run") for prefix, name in zip(prefixes, names, strict=True)]
    articles = [_article(*entry) for entry in zip(runs, names, prefixes, strict=True)]
    simulated = {run.simulated for run in runs}
    badges = ["simulated frames" if simulated == {True} else "simulated and measured frames"] * (True in simulated)
    title = f"{len(runs)} runs compared"
    head = _header(
        "gapsearch leaderboard",
        f"{title}{_badge(badges)}",
        "Which method best fills the gaps between detector modules",
    )
    body = _contents([*compared, *anchors], "Contents") + _drawn(compared) + "\n".join(articles)
    return _document(title, badges, style, head, body)


def _article(run: Run, name: str, prefix: str) -> str:
    """Draw one run of several."""
    sections = _sections(run, prefix)
    heading = f'<h1 id="{prefix}title">{escape(name)}{_badge(_badges(run))}</h1>'
    return (
        f'<article id="{prefix[:-1]}" class="run" aria-labelledby="{prefix}title">\n{heading}\n<p>{_data(run)}</p>\n'
        f"{_contents(sections, f'Contents of {name}')}{_drawn(sections)}\n</article>"
    )


def _sections(run: Run, prefix: str) -> list[Section]:
    """All sections of a run, in the order of the page; ids begin with the prefix."""
    ranking = rank(run.scores, run.frame_scores)
    by_category = categories.rows([score.method for score in ranking.methods], run.frame_scores)
    parts = (
        ("summary", "Summary", _summary(run, ranking, by_category)),
        ("comparison", "Ranking", _comparison(run, ranking, prefix)),
        ("tests", "Paired tests", comparisons.html(ranking.methods, ranking.comparisons)),
        ("frames", "Frame by frame", _frames(run, ranking, by_category)),
        ("why", "Distance and cost", _figures(run, ranking, prefix)),
        ("coverage", "How sure a fill is", coverage.html(run.coverage, len(run.members), prefix)),
        ("gallery", "Gallery", _gallery(run, ranking)),
        ("latent", "Latent space", latent.html(run.latent, prefix) if run.latent else ""),
        ("trials", "Trials", _trials(run, prefix)),
        ("measured", "How it was measured", method.measured(run.test, run.members, ranking.rows)),
        ("provenance", "Provenance", method.provenance(run.info)),
    )
    return [Section(prefix + anchor, heading, body) for anchor, heading, body in parts if body]


def _summary(run: Run, ranking: Ranking, by_category: Sequence[categories.Category]) -> str:
    if not ranking.rows:
        return summary.unfinished(run.trials, run.winners, run.retraining, run.written, run.simulated)
    found = summary.duels(ranking.rows, run.frame_scores, ranking.comparisons)
    classical = [score.method for score in ranking.methods if score.kind == "classical"]
    elsewhere = categories.exceptions(by_category, found[0].network, classical) if found else ""
    notes = [elsewhere, *searched.sentences(run)]
    size = str(run.info.data.get("size", ""))
    return summary.html(ranking.rows, found, run.test, run.trials, run.simulated, size, notes)


def _comparison(run: Run, ranking: Ranking, prefix: str) -> str:
    return leaderboard.html(ranking.rows) + _bars(ranking, prefix) if ranking.rows else ""


def _bars(ranking: Ranking, prefix: str) -> str:
    """Draw the L1 of all methods on each kind of gap that is scored."""
    drawn = []
    for kind in comparisons.KINDS:
        if scores := bars.rows(ranking.rows, kind):
            chart = draw(bars.figure(scores, kind), f"{prefix}l1-{kind}", bars.caption(scores, kind))
            drawn.append((f"{kind.capitalize()} gaps", chart))
    return f"<h3>L1 in bars</h3>{side_by_side(drawn)}" if drawn else ""


def _frames(run: Run, ranking: Ranking, by_category: Sequence[categories.Category]) -> str:
    by_name = frames.html(frames.rows(ranking.methods, run.frame_scores), ranking.methods)
    parts = (("By category", categories.html(by_category)), ("By name", by_name))
    return "\n".join(f"<h3>{heading}</h3>\n{body}" for heading, body in parts if body)


def _figures(run: Run, ranking: Ranking, prefix: str) -> str:
    """Draw what explains the ranking: errors by distance, what methods cost."""
    scores = [row.score for row in ranking.rows]
    return distances.html(run.distances, scores, prefix) + cost.html(scores, prefix)


def _gallery(run: Run, ranking: Ranking) -> str:
    scores = [row.score for row in ranking.rows]
    shown, failed = _pictures(run, scores)
    return gallery.html(shown) + gallery.failures(failed)


def _pictures(run: Run, scores: Sequence[MethodScore]) -> tuple[list[gallery.Frame], list[gallery.Frame]]:
    shown = gallery.rows(run.gallery, scores) if run.gallery else []
    return shown, gallery.rows(run.failures, scores, len(shown)) if run.failures else []


def _trials(run: Run, prefix: str) -> str:
    trials = sweep.rows(run.trials, run.winners)
    networks = {trial.network for trial in run.trials} if run.winners else set()
    parts = (
        sweep.html(trials),
        curves.html(curves.rows(run.progress, trials), run.rungs(), prefix),
        coordinates.html(coordinates.rows(trials), networks, prefix),
        importances.html(importances.rows(run.importances), networks, prefix),
        retraining.html(retraining.rows(run.retraining, run.winners), prefix),
        compute.html(compute.rows(run.progress, run.retraining, run.trials), prefix),
    )
    return "\n".join(filter(None, parts))


def _badges(run: Run) -> list[str]:
    return ["simulated frames"] * run.simulated + ["not finished"] * (not run.scores)


def _badge(texts: Sequence[str]) -> str:
    return "".join(f' <span class="badge">{text}</span>' for text in texts)


def _data(run: Run) -> str:
    return escape(run.info.data.get("title", "detector frames"))


def _contents(sections: Sequence[Section], label: str) -> str:
    links = "".join(f'<li><a href="#{part.anchor}">{part.heading}</a></li>' for part in sections)
    return f'<nav class="contents" aria-label="{escape(label)}"><ul>{links}</ul></nav>\n'


def _drawn(sections: Sequence[Section]) -> str:
    return "\n".join(section(*part) for part in sections)


def _header(product: str, title: str, subtitle: str) -> str:
    return f'<p class="product">{product}</p>\n<h1>{title}</h1>\n<p>{subtitle}</p>'


def _document(title: str, badges: Sequence[str], style: str, header: str, body: str) -> str:
    script = Path(__file__).with_name("page.js").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="{PROGRAM}">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}{f" ({', '.join(badges)})" if badges else ""} · gapsearch</title>
<style>
{style}
</style>
<script>document.documentElement.className = "scripted";
{get_plotlyjs()}</script>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
{header}
</header>
<main id="main" tabindex="-1">
{body}
</main>
<script>
{script}</script>
</body>
</html>
"""
