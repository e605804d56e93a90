"""The two sections that let a reader trust and repeat a run: how it was measured, where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from records.tables import Evaluation, Member, RunInfo
from reports.leaderboard import Row
from reports.markup import escape, known, number, pairs, significant, table
from reports.statistics import MIN_GROUPS

TERMS = (
    (
        "Intensity",
        "counts on a logarithmic scale from 0 to 1: log(1 + counts) / log(1 + full scale), one full scale for "
        "the whole data set. All L1 and CC are on this scale unless they say counts.",
    ),
    (
        "Held out",
        "a pixel that a network may not see but whose true value is known. Only held-out pixels are scored; "
        "measured pixels stay in every fill as they were.",
    ),
    (
        "Horizontal gaps",
        "held-out gap pixels of whole test frames: the frame is filled window by window and stitched. "
        "On a detector that was moved between two exposures these are its horizontal gaps; where there was one "
        "exposure, the same gaps laid once more, moved along the columns to where it did measure.",
    ),
    (
        "Vertical gaps",
        "gaps drawn into windows of the test frames where the detector did measure, as wide as its vertical "
        "gaps. Two exposures with the detector moved up or down leave the real ones without truth.",
    ),
    ("L1", "mean of |fill − truth| over the held-out pixels of all test frames together. Lower is better."),
    (
        "CC",
        "Pearson correlation between fill and truth over the same pixels. Higher is better; 1 is perfect.",
    ),
    (
        "Noise floor",
        "the L1 of a perfect fill. The truth is itself a noisy count, so even the noise-free intensity differs "
        "from it; only simulated frames know it.",
    ),
    (
        "Recovered",
        "(biharmonic − method) / (biharmonic − noise floor), of L1: 0 % is no better than the biharmonic fill, "
        "100 % is as good as the noise allows.",
    ),
    (
        "Samples, series",
        "groups of frames that resemble each other, so that a group counts as one piece of evidence: its frames are "
        "drawn together for intervals, and a test sees one number of it.",
    ),
    (
        "95 % interval",
        "where the mean error on other samples of the same kind would lie: the ends come from drawing the groups "
        "of the test set anew, with replacement, some thousand times (the bootstrap). With fewer than "
        f"{MIN_GROUPS} groups there is none.",
    ),
    (
        "Paired test",
        "two methods on the same frames. If neither were better, the sign of their difference in a group would be "
        "chance; p is how often random signs give a mean difference (of the logarithm of L1) as large as the one "
        "that was measured. Many tests find something by chance, so p is corrected for their number (Holm). Above "
        "0.05 it is a tie.",
    ),
    (
        "I(q) error",
        "how far off the azimuthal average over the pixels of the gaps is, as a share of it: the mean over the bins "
        "in q and over test frames. Only where the beam centre is known.",
    ),
    (
        "Ratio",
        "L1 of the biharmonic fill divided by that of the method: 1.5 means an error 1.5 times smaller. It is what "
        "compares between data sets.",
    ),
    (
        "Seeds",
        "a network is trained several times from other random weights; its row is the mean of these trainings, "
        "± their standard deviation.",
    ),
    ("Ensemble", "the mean of the fills of several trained networks, chosen by the validation frames."),
    (
        "Device-hours",
        "time of training times the number of GPUs (a machine without one counts as one device); of an ensemble, of "
        "all its members together.",
    ),
    (
        "Test frames",
        "frames of samples or series that no trial and no choice of winner has used; they are read once, "
        "after the winner was retrained.",
    ),
    (
        "Stopped early",
        "ASHA compares trials after the same number of training windows and ends those that lag behind, so that the "
        "time goes to the promising ones.",
    ),
)


def measured(test: Evaluation | None, members: Sequence[Member], rows: Sequence[Row]) -> str:
    """Define the terms of the page, describe the test set and say what was not measured."""
    absent = [] if any(known(row.score.iq_error) for row in rows) else ["I(q) error"]
    absent += [] if any(row.score.kind == "ensemble" for row in rows) else ["Ensemble"]
    absent += [] if any((row.score.seeds or 1) > 1 for row in rows if row.score.kind == "network") else ["Seeds"]
    terms = "".join(f"<dt>{term}</dt><dd>{meaning}</dd>" for term, meaning in TERMS if term not in absent)
    parts = [f'<dl class="terms">{terms}</dl>']
    if test:
        parts += [_notes(test), _test_table(test)]
    if members:
        parts.append(_ensemble(members))
    return "\n".join(part for part in parts if part)


def _notes(test: Evaluation) -> str:
    return "<ul>" + "".join(f"<li>{escape(note)}</li>" for note in test.notes) + "</ul>" if test.notes else ""


def _ensemble(members: Sequence[Member]) -> str:
    lines = [
        [escape(member.network), number(member.trial), number(member.seed), significant(member.val_gap_l1, scale=1e3)]
        for member in members
    ]
    heads = ["network", "trial", "seed", "validation gap L1 (10<sup>−3</sup>)"]
    return table("The models of the ensemble. Chosen by their validation frames.", heads, [("", lines)], "ensemble")


def _test_table(test: Evaluation) -> str:
    lines = [
        ["scored pixels", number(test.horizontal_pixels), number(test.vertical_pixels)],
        ["mean true intensity there", significant(test.horizontal_mean), significant(test.vertical_mean)],
        [
            "noise floor L1 (10<sup>−3</sup>)",
            significant(test.horizontal_floor_l1, scale=1e3),
            significant(test.vertical_floor_l1, scale=1e3),
        ],
    ]
    caption = f"The test set. {number(test.frames)} frames of {number(test.groups)} samples or series."
    shown = [line for line in lines if line[1:] != ["–", "–"]]
    heads = ["quantity", "horizontal gaps", "vertical gaps"]
    return table(caption, heads, [("", shown)], "test-set")


def provenance(info: RunInfo) -> str:
    """List what is needed to repeat the run."""
    run = {
        "network": info.network,
        "preset": info.preset,
        "seed": info.seed,
        "started": info.created,
        **info.settings,
    }
    tables = (("Run", run), ("Data", info.data), ("Versions", info.versions), ("Machine", info.machine))
    blocks = "".join(_pairs(title, items) for title, items in tables if items)
    return (
        f'<p>The command that made this run:</p><pre class="command"><code>{escape(info.command)}</code></pre>'
        f'<div class="columns">{blocks}</div>'
    )


def _pairs(title: str, items: Mapping[str, Any]) -> str:
    return pairs(title, [(escape(name.replace("_", " ")), escape(_plain(value))) for name, value in items.items()])


def _plain(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, int) for item in value):
        return (" × " if len(value) == 2 else ", ").join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
