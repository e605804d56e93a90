import dataclasses
import itertools
import math
import random

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


@pytest.mark.parametrize("log", [False, True])
def test_ticks_are_round_few_and_within_the_range(log):
    draws = random.Random(0)
    for _ in range(2000):
        low = 10 ** draws.uniform(-6, 6)
        high = low * 10 ** draws.uniform(0.001, 9)
        values = drawing.ticks(low, high, log)
        assert 2 <= len(values) <= 5
        assert low <= values[0] and values[-1] <= high
        assert all(before < after for before, after in itertools.pairwise(values))
        rounded = [float(f"{value:.{2 if high / low > 1.5 else 6}g}") for value in values]
        assert values == pytest.approx(rounded) or max(values) / (high - low) > 10


def test_ticks_of_wide_logarithmic_axes_are_powers_of_ten():
    assert drawing.ticks(1e-4, 1, log=True) == [1e-4, 1e-3, 1e-2, 0.1, 1]
    assert all(math.log10(value) == pytest.approx(round(math.log10(value))) for value in drawing.ticks(1, 1e9, True))


def test_ticks_of_one_value_are_that_value():
    assert drawing.ticks(3, 3) == drawing.ticks(3, 3, log=True) == [3]


@pytest.mark.parametrize("log", [False, True])
def test_an_axis_holds_its_ends_also_when_they_are_equal(log):
    for low, high in ((2, 2), (2, 300)):
        start, end = drawing.axis(low, high, log)["range"]
        assert start < (math.log10(low) if log else low)
        assert end > (math.log10(high) if log else high)


def test_short_values_say_thousands_and_millions():
    values = {8_556_401: "8.56M", 11_577: "11.6k", 5e-4: "0.0005", 2.0: "2", 1e-5: "1e−5", 0: "0", 1000: "1000"}
    assert {value: drawing.short(value) for value in values} == values


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
    drawn = drawing.draw(drawing.go.Figure(), "name", 'below "<b>1</b>"')
    assert 'role="img" aria-label="below &quot;&lt;b&gt;1&lt;/b&gt;&quot;"' in drawn
    assert "<figcaption>below &quot;&lt;b&gt;" in drawn
    assert 'id="name"' in drawn
    assert "<i>" not in drawing.key([("<i>x", drawing.OTHER)]) + drawing.side_by_side([("<i>x", "")])
