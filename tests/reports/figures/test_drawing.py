import dataclasses

import pytest

from records.tables import MethodScore
from reports.figures import drawing

PAGES = {"light": "#ffffff", "dark": "#12161c"}


def score(method: str, kind: str = "network", network: str = "", task: str = "") -> MethodScore:
    figures = [None] * 11
    return MethodScore(method, kind, *figures, network=network, task=task)


def luminance(color: str) -> float:
    """WCAG 2.2, relative luminance."""
    bands = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [band / 12.92 if band <= 0.04045 else ((band + 0.055) / 1.055) ** 2.4 for band in bands]
    return sum(share * band for share, band in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("page", PAGES)
def test_colours_stand_out_on_both_pages(page):
    looks = [*drawing.NETWORKS.values(), drawing.OTHER, drawing.ENSEMBLE, *drawing.CLASSICAL]
    for color in {*(look.color for look in looks), drawing.WINNER, drawing.GREY}:
        low, high = sorted((luminance(color), luminance(PAGES[page])))
        assert (high + 0.05) / (low + 0.05) >= 3, color


def test_no_two_looks_differ_by_colour_alone():
    looks = [*drawing.NETWORKS.values(), drawing.OTHER, drawing.ENSEMBLE, *drawing.CLASSICAL]
    assert len({look.symbol for look in looks}) == len(looks)


def test_the_first_of_each_group_and_all_that_are_no_network_lead_and_look_different():
    scores = [
        score("ensemble", "ensemble"),
        score("TUNet", network="tunet", task="residual"),
        score("TUNet 2", network="tunet", task="residual"),
        score("TUNet, blind", network="tunet", task="blind"),
        dataclasses.replace(score("TUNet, paper", network="tunet", task="blind"), point=2),
        dataclasses.replace(score("TUNet, paper's other", network="tunet", task="blind"), point=3),
        score("linear", "classical"),
        score("biharmonic", "classical"),
        score("noise floor", "limit"),
    ]
    first = drawing.leading(scores)
    assert first == ["ensemble", "TUNet", "TUNet, blind", "TUNet, paper", "linear", "biharmonic"]
    looks = drawing.looks(scores)
    assert looks["TUNet"] == looks["TUNet 2"] and looks["TUNet, paper"] == looks["TUNet, paper's other"]
    assert len({look._replace(color="") for look in (looks[name] for name in first)}) == len(first)


def test_networks_come_in_a_fixed_order_the_unknown_last():
    assert drawing.networks(["", "zebra", "msdnet", "ant", "tunet", "msdnet"]) == [
        "tunet",
        "msdnet",
        "ant",
        "zebra",
        "",
    ]


def test_a_figure_says_in_words_what_is_seen_and_escapes_them():
    chart = drawing.go.Figure(drawing.go.Scatter(x=[1, 2], y=[1, 2], mode="lines"), {"height": 200})
    drawn = drawing.draw(chart, "name", 'below "<b>1</b>"')
    assert 'role="img" aria-label="below &quot;&lt;b&gt;1&lt;/b&gt;&quot;"' in drawn
    assert "<figcaption>below &quot;&lt;b&gt;" in drawn
    assert 'id="name"' in drawn
    assert "<i>" not in drawing.key([("<i>x", drawing.OTHER)]) + drawing.side_by_side([("<i>x", "")])
