import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inpainting.native import enlarge, nearest, whole_counts
from scattering.survey.validity import FULL_COUNTERS, LARGEST

SHAPES = [((64, 64), (140, 150)), ((128, 128), (420, 369)), ((50, 70), (50, 70)), ((70, 64), (195, 487))]


def everywhere(shape):
    row, column = np.indices(shape)
    return row.ravel(), column.ravel()


@pytest.mark.parametrize(("working", "native"), SHAPES, ids=str)
def test_enlarging_is_torchs_bicubic_without_its_overshoot(working, native):
    image = np.random.default_rng(0).random(working, np.float32)
    found = enlarge(image, native, everywhere(native)).reshape(native)
    whole = torch.from_numpy(image)[None, None].double()
    cubic = torch.nn.functional.interpolate(whole, native, mode="bicubic", antialias=True)[0, 0].numpy()
    inside = (found > image.min()) & (found < image.max())
    limited = np.abs(found - cubic) > 1e-5
    assert not limited[inside].all()
    assert found.min() >= image.min()
    assert found.max() <= image.max()
    # Where nothing was cut off the two are equal; a slope has no overshoot anywhere.
    slope = np.add.outer(np.arange(working[0]), np.arange(working[1])).astype(np.float32)
    steep = torch.nn.functional.interpolate(
        torch.from_numpy(slope)[None, None].double(), native, mode="bicubic", antialias=True
    )[0, 0].numpy()
    middle = (slice(native[0] // 4, -native[0] // 4), slice(native[1] // 4, -native[1] // 4))
    np.testing.assert_allclose(
        enlarge(slope, native, everywhere(native)).reshape(native)[middle], steep[middle], atol=1e-3
    )


@pytest.mark.parametrize(("working", "native"), SHAPES, ids=str)
def test_a_flat_image_stays_flat(working, native):
    np.testing.assert_allclose(enlarge(np.full(working, 0.3, np.float32), native, everywhere(native)), 0.3, rtol=1e-6)


def test_each_pixel_takes_what_holds_its_centre():
    image = np.arange(4).reshape(2, 2)
    found = nearest(image, (5, 4), everywhere((5, 4))).reshape(5, 4)
    np.testing.assert_array_equal(found[:, 0], [0, 0, 2, 2, 2])
    np.testing.assert_array_equal(found[0], [0, 0, 1, 1])


@given(st.floats(0, 50), st.sampled_from(["int32", "uint16", "int64", "uint8"]))
def test_rounding_keeps_the_mean_of_few_pixels(value, dtype):
    places = everywhere((17, 200))
    found = whole_counts(np.full(len(places[0]), value), places, np.dtype(dtype)).reshape(17, 200)
    assert set(np.unique(found)) <= {np.floor(value), np.ceil(value)}
    # Random rounding would stray by 0.5 / sqrt(17 * 20) = 0.027.
    for part in np.split(found, 10, axis=1):
        assert abs(part.mean() - value) < 0.02


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_no_code_and_no_full_counter_comes_out(dtype):
    values = np.array([-5.0, 0.0, 254.9, 65535.0, 2**20 - 1.0, 2**31 - 1.0, 1e30])
    places = np.arange(7), np.arange(7)
    found = whole_counts(values, places, np.dtype(dtype))
    assert found.dtype == dtype
    assert (found.astype(np.float64) >= 0).all()
    assert not np.isin(found.astype(np.int64), FULL_COUNTERS).any()
    assert (found.astype(np.float64) < min(np.iinfo(dtype).max, LARGEST)).all()


def test_fractions_stay_in_files_of_floats():
    np.testing.assert_array_equal(
        whole_counts(np.array([0.3, -48.1]), (np.arange(2), np.arange(2)), np.dtype("float32")),
        np.array([0.3, -48.1], np.float32),
    )
