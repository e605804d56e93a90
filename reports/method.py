"""The two sections that let a reader trust and repeat a run: how it was measured, where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reports.markup import escape, number, pairs, table
from search.records import Evaluation, RunInfo

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
        "On a detector that was moved between two exposures these are its horizontal gaps.",
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
        "Test frames",
        "frames of samples or series that no trial and no choice of winner has used; they are read once, "
        "after the winner was retrained.",
    ),
    (
        "Stopped early",
        "ASHA compares trials after the same number of epochs and ends those that lag behind, so that the "
        "time goes to the promising ones.",
    ),
)


def measured(test: Evaluation | None) -> str:
    """Define the terms of the page and describe the test set."""
    terms = "".join(f"<dt>{term}</dt><dd>{meaning}</dd>" for term, meaning in TERMS)
    return f'<dl class="terms">{terms}</dl>' + (_test_table(test) if test else "")


def _test_table(test: Evaluation) -> str:
    lines = [
        ["scored pixels", number(test.horizontal_pixels), number(test.vertical_pixels)],
        ["mean true intensity there", number(test.horizontal_mean, 4), number(test.vertical_mean, 4)],
        [
            "noise floor L1 (10<sup>−3</sup>)",
            number(test.horizontal_floor_l1, 4, 1e3),
            number(test.vertical_floor_l1, 4, 1e3),
        ],
    ]
    caption = f"The test set: {number(test.frames)} frames of {number(test.groups)} samples or series."
    shown = [line for line in lines if line[1:] != ["–", "–"]]
    heads = ["<span class='hidden'>quantity</span>", "horizontal gaps", "vertical gaps"]
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
        return " × ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
