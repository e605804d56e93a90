import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from reports.figures import pictures


def decode(uri: str) -> np.ndarray:
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def rgb(color: str) -> tuple[int, ...]:
    return pictures.ImageColor.getrgb(color)


def test_differences_at_the_cap_and_above_share_a_colour_their_signs_do_not_and_nan_is_neutral():
    differences = np.array([[-0.3, -0.15, 0.15, 0.3, np.nan]], dtype=np.float32)
    colors = [
        tuple(pixel) for pixel in decode(pictures.png(pictures.errors(differences), pictures.DIFFERENCE))[0, :, :3]
    ]
    assert colors == [*[rgb(pictures.DIFFERENCE[0])] * 2, *[rgb(pictures.DIFFERENCE[-1])] * 2, pictures.NEUTRAL]


def test_a_larger_difference_never_has_a_lower_colour_and_typical_ones_can_be_told_from_zero():
    entries = pictures.errors(np.linspace(0, 0.2, 500, dtype=np.float32)).astype(int)
    assert (np.diff(entries) >= 0).all()
    assert pictures.errors(np.array([0.005], dtype=np.float32))[0] > 127 + 20


def test_levels_end_at_the_scale():
    assert pictures.levels(np.array([0.3, 0.4, 0.8, 0.9, np.nan]), 0.4, 0.8).tolist() == [1, 1, 254, 254, 0]


def test_the_scale_is_that_of_measured_values_and_one_hot_pixel_does_not_change_it():
    values = np.linspace(0.4, 0.8, 5000, dtype=np.float32)
    values[7] = 60
    assert pictures.scale(values, np.full(3, np.nan, np.float32)) == pytest.approx((0.4, 0.8), abs=5e-3)
    nothing = np.full(3, np.nan, np.float32)
    assert pictures.scale(nothing, nothing) == (0, 1)


def test_a_picture_over_another_shows_what_the_full_picture_shows():
    random = np.random.default_rng(0)
    below, full = random.integers(0, 255, (2, 20, 30)).astype(np.uint8)
    full[5:] = below[5:]
    above, under, whole = (
        decode(pictures.png(entries, pictures.INTENSITY)) for entries in (pictures.overlay(full, below), below, full)
    )
    assert np.array_equal(np.where(above[..., 3:] == 0, under, above), whole)


def test_an_outline_runs_along_every_edge_between_inside_and_outside_and_no_other():
    random = np.random.default_rng(0)
    inside = random.random((9, 12)) < 0.4
    drawn_rows, drawn_cols = np.zeros((9, 12), bool), np.zeros((9, 12), bool)
    for col, row, end in re.findall(r"M(\d+) (\d+)H(\d+)", pictures.outline(inside).split("<path")[1]):
        drawn_rows[int(row), int(col) : int(end)] = True
    for col, row, end in re.findall(r"M(\d+) (\d+)V(\d+)", pictures.outline(inside).split("<path")[1]):
        drawn_cols[int(row) : int(end), int(col)] = True
    assert np.array_equal(drawn_rows[1:], inside[1:] != inside[:-1]) and not drawn_rows[0].any()
    assert np.array_equal(drawn_cols[:, 1:], inside[:, 1:] != inside[:, :-1]) and not drawn_cols[:, 0].any()


def test_names_are_escaped():
    drawn = pictures.picture("data:", '"><i>x') + pictures.ramp("<i>", "<i>", "<i>", pictures.INTENSITY, "<i>")
    assert "<i>" not in drawn
