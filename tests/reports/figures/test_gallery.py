import dataclasses
import re

import numpy as np
import pytest

from records.tables import Gallery, MethodScore
from reports.figures import gallery

ROW = 30


@pytest.fixture
def pictures() -> Gallery:
    """One frame of 64 x 64 with a gap of four rows; one fill errs by 0.4 at its right, the other not."""
    truth = np.full((64, 64), 0.4, dtype=np.float32)
    truth[:, 40:] = 0.8
    seen, far = truth.copy(), truth.copy()
    seen[ROW : ROW + 4] = np.nan
    far[ROW : ROW + 4] = 0.4
    truth[ROW, 5] = np.nan
    crops = np.array([[16, 48, 24, 56]])
    return Gallery(
        ["a"], ["rings"], ["median"], ["far", "near"], crops, seen[None], truth[None], np.stack([far, truth])[None]
    )


def several(pictures: Gallery, count: int) -> Gallery:
    """The same frame many times."""
    names = {field: getattr(pictures, field) * count for field in ("categories", "reasons")}
    arrays = {f: np.repeat(getattr(pictures, f), count, 0) for f in ("crops", "input", "truth", "filled")}
    return dataclasses.replace(pictures, names=[f"frame {k}" for k in range(count)], **names, **arrays)


def score(method: str, network: str = "") -> MethodScore:
    return dataclasses.replace(MethodScore(method, "network", *[None] * 11), network=network)


def test_methods_follow_the_order_of_the_leaderboard(pictures):
    (frame,) = gallery.rows(pictures, [score("near"), score("far")])
    assert [fill.method for fill in frame.fills] == ["near", "far"]


def test_only_held_out_pixels_with_a_truth_are_scored(pictures):
    (frame,) = gallery.rows(pictures)
    scored = np.isfinite(frame.fills[0].difference)
    assert not scored[:ROW].any() and not scored[ROW + 4 :].any() and not scored[ROW, 5]
    assert scored.sum() == 4 * 64 - 1
    assert gallery.mean(frame.fills[0].difference) == pytest.approx(0.4 * 4 * 24 / (4 * 64 - 1))


def test_further_trials_of_a_network_do_not_lead(pictures):
    (frame,) = gallery.rows(pictures, [score("near", "tunet"), score("far", "tunet")])
    assert [(fill.method, fill.leads) for fill in frame.fills] == [("near", True), ("far", False)]
    assert "1 more" in gallery.html([frame])


def test_methods_that_the_leaderboard_does_not_know_come_last_and_lead(pictures):
    (frame,) = gallery.rows(pictures, [score("near", "tunet")])
    assert [(fill.method, fill.leads) for fill in frame.fills] == [("near", True), ("far", True)]


def test_a_close_up_holds_the_gap_and_a_few_pixels(pictures):
    (frame,) = gallery.rows(pictures)
    assert frame.crop == (slice(ROW - gallery.EDGE, ROW + 4 + gallery.EDGE), slice(24, 56))
    (blind,) = gallery.rows(dataclasses.replace(pictures, truth=np.full_like(pictures.truth, np.nan)))
    assert blind.crop == (slice(16, 48), slice(24, 56))


def test_of_two_gaps_in_a_close_up_only_that_with_the_larger_errors_is_shown():
    errors = np.full((64, 64), np.nan, dtype=np.float32)
    errors[20:24] = 0.1
    errors[40:42, 30:] = 0.5
    crop = slice(16, 64), slice(0, 64)
    assert gallery.narrowed(errors, crop) == (slice(36, 46), slice(26, 64))
    # A gap that a dead column cuts in two is one gap.
    errors[40:42, 45:50] = np.nan
    assert gallery.narrowed(errors, crop) == (slice(36, 46), slice(26, 64))


def test_differences_have_a_sign(pictures):
    (frame,) = gallery.rows(pictures)
    assert np.nanmin(frame.fills[0].difference) == pytest.approx(-0.4)
    assert gallery.mean(frame.fills[0].difference) > 0


def test_every_fill_lies_over_what_was_measured_for_the_toggle(pictures):
    html = gallery.html(gallery.rows(several(pictures, 2)))
    assert html.count('class="toggle"') == 1 and "<button" not in html
    # Both fills, in the whole frame over its own input and in the close-up over that.
    assert all(html.count(f"background-image: var(--close-{letter})") == 2 for letter in "AB")
    assert all(f"--close-{letter}: url(" in html for letter in "AB")


def test_colours_are_explained_once(pictures):
    assert gallery.html(gallery.rows(several(pictures, 3))).count('class="ramp"') == 2


def test_places_where_the_best_fill_errs_little_more_than_usual_are_no_failures(pictures):
    near = pictures.filled.copy()
    near[0, 1, ROW : ROW + 4] += 0.01
    near[0, 1, ROW : ROW + 4, 24:56] += 0.003
    frames = gallery.rows(dataclasses.replace(pictures, filled=near))
    assert 1.1 < gallery.excess(frames[0]) < 1.2
    assert "Nowhere: even in the worst place" in gallery.failures(frames) and "<img" not in gallery.failures(frames)


def test_the_method_that_is_closest_within_the_close_up_comes_first(pictures):
    # Worse over the whole frame, but not where the close-up lies.
    filled = pictures.filled.copy()
    filled[0, 1, ROW : ROW + 4, :24] += 0.9
    (frame,) = gallery.rows(dataclasses.replace(pictures, filled=filled), [score("far"), score("near")])
    assert [fill.method for fill in gallery.closest(frame)] == ["near", "far"]


def test_a_failure_says_how_far_off_the_closest_method_is(pictures):
    bright = pictures.filled.copy()
    # The nearest method: 0.05 too high in the close-up, 0.01 elsewhere.
    bright[0, 1, ROW : ROW + 4] += 0.01
    bright[0, 1, ROW : ROW + 4, 24:40] += 0.08
    (frame,) = gallery.rows(dataclasses.replace(pictures, filled=bright))
    said = gallery.sentence(frame)
    assert said.startswith("Closest here: near, off by 50.0 × 10⁻³ on average")
    assert "1.7 times its mean over this frame" in said
    assert gallery.failures([]) == gallery.html([]) == ""


def test_a_place_where_the_best_fill_errs_far_more_than_usual_is_shown(pictures):
    far = np.repeat(pictures.filled[:, 1:], 2, axis=1)
    far[0, :, ROW : ROW + 4, 24:40] += 0.5
    (frame,) = gallery.rows(dataclasses.replace(pictures, filled=far, crops=np.array([[16, 48, 24, 40]])))
    assert gallery.excess(frame) == pytest.approx(4, abs=0.1)
    assert gallery.sentence(frame) in gallery.failures([frame])


def test_letters_go_on_from_the_first(pictures):
    assert [frame.letter for frame in gallery.rows(several(pictures, 3), first=5)] == ["F", "G", "H"]


def test_every_picture_has_an_alternative_text_and_every_frame_its_own_input(pictures):
    html = gallery.html(gallery.rows(several(pictures, 2)))
    images = re.findall(r"<img [^>]*>", html)
    # Whole: input, truth and two fills; close by: input, truth, two fills and two differences; two scales.
    assert len(images) == 2 * 4 + 2 * 6 + 2
    texts = [re.search(r'alt="([^"]+)"', image) for image in images]
    assert all(texts)
    assert all(html.count(f"var(--frame-{letter})") == 4 and f"--frame-{letter}: url(" in html for letter in "AB")


def test_a_frame_without_truth_is_drawn_without_a_score(pictures):
    (blind,) = gallery.rows(dataclasses.replace(pictures, truth=np.full_like(pictures.truth, np.nan)))
    assert "no truth" in gallery.html([blind])


def test_fifteen_methods_on_frames_of_512_pixels_are_small(pictures):
    random = np.random.default_rng(0)
    truth = random.random((5, 512, 512), dtype=np.float32)
    seen, filled = truth.copy(), np.repeat(truth[:, None], 15, 1)
    for start in range(60, 500, 64):
        seen[:, start : start + 5] = np.nan
        filled[:, :, start : start + 5] = random.random((5, 15, 5, 512), dtype=np.float32)
    crops = np.array([[48, 96, 200, 248]] * 5)
    frames = ["f"] * 5
    noise = Gallery(frames, frames, frames, [f"m{k}" for k in range(15)], crops, seen, truth, filled)
    # Pure noise does not compress; with plotly's 4.8 MB the page stays below 15 MB.
    assert len(gallery.html(gallery.rows(noise))) < 9e6


def test_hostile_names_are_escaped(pictures):
    hostile = dataclasses.replace(
        pictures, names=["<i>n"], categories=["<i>c"], reasons=["<i>r"], methods=["<i>m", '"><i>']
    )
    frames = gallery.rows(hostile)
    assert "<i>" not in gallery.html(frames) + gallery.failures(frames)
