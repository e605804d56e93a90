import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from reports import gallery
from search.records import Gallery

ROW = 30


@pytest.fixture
def pictures() -> Gallery:
    """One frame of 64 x 64 with a gap of four rows; the fill errs by 0, 0.15 and 0.3 in it, and by 1 outside."""
    truth = np.full((64, 64), 0.4, dtype=np.float32)
    truth[:, 40:] = 0.8
    seen, filled = truth.copy(), truth + 1
    seen[ROW : ROW + 4] = np.nan
    truth[ROW, 5] = np.nan
    filled[ROW : ROW + 4] = 0.4
    filled[ROW, 1:3] = 0.4 + np.array([0.15, 0.3])
    return Gallery(
        ["a"],
        ["rings"],
        ["best"],
        ["far", "near"],
        np.zeros((1, 4), int),
        seen[None],
        truth[None],
        np.stack([filled, truth])[None],
    )


def decode(uri: str) -> np.ndarray:
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def difference_picture(frame: gallery.Frame) -> np.ndarray:
    colors = gallery.sequential.Magma
    return decode(gallery.png(gallery.levels(frame.fills[0].difference, 0, gallery.CAP), colors))[..., :3]


def test_differences_at_the_cap_and_above_share_a_colour_and_zero_is_the_lowest(pictures):
    picture = difference_picture(gallery.rows(pictures)[0])
    assert tuple(picture[ROW, 1]) == tuple(picture[ROW, 2]) == gallery.ImageColor.getrgb(gallery.sequential.Magma[-1])
    assert tuple(picture[ROW, 0]) == gallery.ImageColor.getrgb(gallery.sequential.Magma[0])


def test_pixels_that_are_observed_or_have_no_truth_are_neutral(pictures):
    picture = difference_picture(gallery.rows(pictures)[0])
    assert tuple(picture[0, 0]) == tuple(picture[ROW, 5]) == gallery.NEUTRAL


def test_methods_follow_the_order_of_the_leaderboard(pictures):
    assert [fill.method for fill in gallery.rows(pictures, ["near"])[0].fills] == ["near", "far"]


def test_the_close_up_lies_where_the_hidden_truth_varies_with_its_gap_in_the_middle(pictures):
    rows, columns = gallery.rows(pictures)[0].crop
    assert abs((rows.start + rows.stop) / 2 - (ROW + 2)) <= 1
    assert columns.start < 40 < columns.stop
    assert rows.stop - rows.start == columns.stop - columns.start == gallery.CROP


def test_a_frame_smaller_than_a_close_up_is_shown_whole():
    truth = np.zeros((9, 70), dtype=np.float32)
    assert gallery.close_up(truth, np.zeros(truth.shape, dtype=bool)) == (slice(0, 9), slice(0, 48))


def test_a_picture_over_the_input_shows_what_the_full_picture_shows(pictures):
    frame = gallery.rows(pictures)[0]
    below = decode(gallery.png(gallery.intensity(frame.input, frame), gallery.sequential.Viridis))
    for image in (frame.input, frame.truth, frame.fills[0].image):
        above = decode(gallery.png(gallery.overlay(image, frame), gallery.sequential.Viridis))
        full = decode(gallery.png(gallery.intensity(image, frame), gallery.sequential.Viridis))
        assert np.array_equal(np.where(above[..., 3:] == 0, below, above), full)


def test_intensity_pictures_share_the_scale_of_measured_values(pictures):
    frame = gallery.rows(pictures)[0]
    assert (frame.low, frame.high) == pytest.approx((0.4, 0.8))
    assert gallery.levels(np.array([0.3, 0.4, 0.8, 0.9, np.nan]), 0.4, 0.8).tolist() == [1, 1, 254, 254, 0]


def test_every_picture_has_an_alternative_text(pictures):
    images = re.findall(r"<img [^>]*>", gallery.html(gallery.rows(pictures)[0], 0))
    assert len(images) == 2 * (2 + 2) + 2 * 2 + 2
    assert all(re.search(r'alt="[^"]+"', image) for image in images)


def test_a_frame_without_truth_is_drawn_without_a_score(pictures):
    blind = Gallery(**{**vars(pictures), "truth": np.full_like(pictures.truth, np.nan)})
    assert "no truth here" in gallery.html(gallery.rows(blind)[0], 0)
