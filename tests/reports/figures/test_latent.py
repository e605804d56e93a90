import base64
import csv
import dataclasses
import io
import re

import numpy as np
import pytest
from scipy.stats import wilcoxon

from records.tables import Latent
from reports.figures import latent

SPACES = ["truth", "masked", "inpainted", "truth, another seed"]


def analysis(masked: float, inpainted: float, frames: int = 60, seed: int = 0) -> Latent:
    """Overlaps around these means, with the same frames good or bad in both."""
    rng = np.random.default_rng(seed)
    frame = rng.normal(0, 0.05, frames)
    means = (1.0, masked, inpainted, 0.93)
    share = np.stack([np.clip(mean + frame + rng.normal(0, 0.02, frames), 0, 1) for mean in means])
    share[0] = 1
    ranks = np.linspace(0.9, 0.1, frames - 1)
    correlation = np.stack([ranks, ranks - 0.05, ranks - 0.01, ranks - 0.01])
    return Latent("TUNet <residual>", 6, 200, SPACES, correlation, share)


def test_rows_are_means_over_the_nearest():
    found = analysis(0.8, 0.9)
    truth, masked, inpainted, _ = latent.rows(found)
    assert truth.overlap is None
    assert masked.overlap == found.overlap[1].mean()
    assert (found.overlap[1] < masked.low).mean() == pytest.approx(0.1, abs=0.02)
    assert inpainted.correlation == found.correlation[2, :6].mean()


def test_change_is_a_paired_test():
    """The same frames are hard in both spaces: unpaired, 0.015 would drown in their spread of 0.05."""
    found = analysis(0.8, 0.815)
    assert latent.change(found).p == wilcoxon(found.overlap[2], found.overlap[1]).pvalue
    assert latent.change(found).found
    shuffled = found.overlap.copy()
    shuffled[2] = shuffled[2][::-1]
    assert not latent.change(dataclasses.replace(found, overlap=shuffled)).found


def test_sentence_says_what_came_out_either_way():
    assert "as in the paper" in latent.sentence(analysis(0.8, 0.9))
    assert latent.sentence(analysis(0.9, 0.8)).startswith("Not as in the paper")
    assert "93." in latent.sentence(analysis(0.8, 0.9)).rpartition("another seed")[2]


def test_sentence_says_when_the_training_alone_changes_more_than_empty_gaps():
    assert "more than empty gaps" in latent.sentence(analysis(0.96, 0.98))
    assert "more than empty gaps" not in latent.sentence(analysis(0.8, 0.9))


def test_no_difference_is_called_none():
    same = analysis(0.8, 0.9)
    same.overlap[2] = same.overlap[1]
    assert latent.change(same).p == 1
    assert latent.sentence(same).startswith("No difference found")


def test_a_planted_tie_is_rarely_called_a_difference():
    """Independent frames, 200 times: 5 % are false alarms; 24 or more of 200 come once in 10 000 runs."""
    alarms = sum(latent.change(analysis(0.8, 0.8, frames=40, seed=seed)).found for seed in range(200))
    assert alarms < 24


def test_html_escapes_the_method_and_leaves_the_reference_without_overlap():
    html = latent.html(analysis(0.8, 0.9))
    assert "TUNet &lt;residual&gt;" in html
    assert "<residual>" not in html
    assert '<th scope="row">truth</th><td>–</td><td>–</td>' in html


def test_shares_are_saved_as_numbers():
    html = latent.html(analysis(0.8, 0.9))
    (saved,) = re.findall(r'download="latent.csv" href="data:[^,]*;base64,([^"]*)"', html)
    head, truth, masked, *_ = csv.reader(io.StringIO(base64.b64decode(saved).decode("utf-8-sig")))
    assert head[1] == "overlap, mean (%)" and truth[1] == ""
    assert float(masked[1]) == pytest.approx(80, abs=3)


def test_few_neighbours_are_not_drawn_and_a_line_says_why():
    found = analysis(0.8, 0.9)
    html = latent.html(found)
    assert "Not drawn: the 6 nearest among n = 60 test frames are too few." in html and "plotly" not in html
    assert latent.html(dataclasses.replace(found, neighbours=10)).count("plotly-graph-div") == 2


def test_the_axis_of_ranks_names_whole_values():
    ticks = latent.figure_correlation(analysis(0.8, 0.9)).layout.xaxis.ticktext
    assert ticks == ("1", "2", "5", "10", "20", "50")


def test_correlation_is_drawn_against_rank_from_one():
    found = analysis(0.8, 0.9)
    chart = latent.figure_correlation(found)
    assert [trace.name for trace in chart.data] == SPACES
    assert chart.data[1].x[0] == 1
    np.testing.assert_array_equal(chart.data[1].y, found.correlation[1])


def test_violins_show_every_frame_of_every_space_but_the_reference():
    found = analysis(0.8, 0.9)
    chart = latent.figure_overlap(found)
    assert [trace.name for trace in chart.data] == SPACES[1:]
    np.testing.assert_allclose(chart.data[0].y, found.overlap[1] * 100)


def test_each_space_has_one_colour_in_both_figures():
    found = analysis(0.8, 0.9)
    lines = {trace.name: trace.line.color for trace in latent.figure_correlation(found).data}
    violins = {trace.name: trace.line.color for trace in latent.figure_overlap(found).data}
    assert violins.items() <= lines.items()
    assert len(set(lines.values())) == len(SPACES)
