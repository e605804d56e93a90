"""Several runs side by side: those on the same test frames in one ranking, others by their ratio to biharmonic."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from records.tables import FrameScore, MethodScore
from reports import comparisons, leaderboard, summary
from reports.folder import Run
from reports.markup import DASH, Number, escape, number, percent, table
from reports.ranking import Ranking, rank


class Data(NamedTuple):
    """Runs whose test frames are the same."""

    title: str
    places: list[int]
    """Of the runs among all of the page."""
    ranking: Ranking
    frames: list[FrameScore]


def names(runs: Sequence[Run]) -> list[str]:
    """Name each run; those that bear the same name are numbered."""
    found: list[str] = []
    for place, run in enumerate(runs):
        earlier = sum(other.info.name == run.info.name for other in runs[:place])
        found.append(f"{run.info.name} ({earlier + 1})" if earlier else run.info.name)
    return found


def rows(runs: Sequence[Run], names: Sequence[str]) -> list[Data]:
    """Put runs together whose data and seed, and so their test frames, are the same; unfinished ones stay out."""
    together: dict[tuple[object, object], list[int]] = {}
    for place, run in enumerate(runs):
        if run.scores:
            fingerprint = run.info.data.get("fingerprint", f"unknown {place}")
            together.setdefault((fingerprint, split_seed(run)), []).append(place)
    return [_data(runs, names, places) for places in together.values()]


def split_seed(run: Run) -> object:
    """Return what the split into training and test frames was drawn by."""
    return run.info.data.get("split_seed", run.info.seed)


def _data(runs: Sequence[Run], names: Sequence[str], places: list[int]) -> Data:
    first = runs[places[0]]
    known = first.info.data
    fingerprint = str(known.get("fingerprint", "unknown")).rpartition(":")[2][:8]
    title = f"{known.get('title', 'detector frames')}, data {fingerprint}, split by seed {split_seed(first)}"
    scores: dict[str, MethodScore] = {}
    frames: list[FrameScore] = []
    for place in places:
        own = {score.method: _name(score, names[place], len(places) > 1) for score in runs[place].scores}
        new = {method: name for method, name in own.items() if name not in scores}
        scores |= {
            new[score.method]: dataclasses.replace(score, method=new[score.method])
            for score in runs[place].scores
            if score.method in new
        }
        frames += [
            dataclasses.replace(frame, method=new[frame.method])
            for frame in runs[place].frame_scores
            if frame.method in new
        ]
    return Data(title, places, rank(list(scores.values()), frames), frames)


def _name(score: MethodScore, run: str, several: bool) -> str:
    """Return the name of a method. An untrained one is the same in each run on the same frames: it is ranked once."""
    return f"{run}: {score.method}" if several and score.kind in leaderboard.LEARNED else score.method


def sections(runs: Sequence[Run], names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Anchor, heading and HTML of what compares the runs."""
    found = rows(runs, names)
    parts = [("runs", "Summary", _headlines(found, runs, names) + _table(found, runs, names))]
    shared = [data for data in found if len(data.places) > 1]
    for number_, data in enumerate(shared, 1):
        anchor = f"same-frames-{number_}"
        heading = "Ranking on the same test frames" + (f": {escape(data.title)}" if len(shared) > 1 else "")
        tests = comparisons.html(data.ranking.methods, data.ranking.comparisons)
        tested = f"<h3>Paired tests</h3>\n{tests}" if tests else ""
        parts.append((anchor, heading, leaderboard.html(data.ranking.rows) + tested))
    return parts


def _headlines(found: Sequence[Data], runs: Sequence[Run], names: Sequence[str]) -> str:
    lines = []
    for data in found:
        says = summary.headline(
            data.ranking.rows, summary.duels(data.ranking.rows, data.frames, data.ranking.comparisons)
        )
        where = f'<span class="where">{escape(_where(data, names))}</span>' if len(found) > 1 else ""
        lines.append(f'<p class="headline">{where}{escape(says)}</p>')
    waiting = [name for name, run in zip(names, runs, strict=True) if not run.scores]
    if waiting:
        lines.append(f'<p class="basis">Not finished: {escape(", ".join(waiting))}.</p>')
    if any(run.simulated for run in runs):
        which = "All" if all(run.simulated for run in runs) else "Some"
        lines.append(
            f'<p class="basis">{which} frames are simulated; on measured frames the figures will differ.</p>'
        )
    return "\n".join(lines)


def _where(data: Data, names: Sequence[str]) -> str:
    return f"{data.title} ({', '.join(names[place] for place in data.places)})"


def _table(found: Sequence[Data], runs: Sequence[Run], names: Sequence[str]) -> str:
    groups = []
    for data in found:
        lines = [_line(place, runs[place], names[place]) for place in data.places]
        groups.append((escape(data.title) if len(found) > 1 else "", lines))
    waiting = [_line(k, run, name) for k, (run, name) in enumerate(zip(runs, names, strict=True)) if not run.scores]
    if waiting:
        groups.append(("Not finished", waiting))
    caption = (
        "The runs by their best network. Between runs on other frames only the ratios compare: how many times "
        "smaller the L1 is than that of the biharmonic fill of the same frames."
    )
    columns = [
        "run",
        "best network",
        "ratio<small>horizontal</small>",
        "ratio<small>vertical</small>",
        "recovered<small>horizontal</small>",
        "test frames",
        "trials",
    ]
    return table(caption, columns, groups, "runs")


def _line(place: int, run: Run, name: str) -> list[str]:
    best = next((row for row in leaderboard.rows(run.scores) if row.score.kind in leaderboard.LEARNED), None)
    ratios = [best.horizontal_ratio, best.vertical_ratio] if best else [None, None]
    return [
        f'<a href="#run-{place + 1}">{escape(name)}</a>',
        escape(best.score.method) if best else DASH,
        *(Number(f"{ratio:.2f}×", ratio) if ratio else Number(DASH, None) for ratio in ratios),
        percent(best.score.horizontal_recovered if best else None),
        number(run.test.frames if run.test else None),
        number(len(run.trials)),
    ]
