"""Frames written as another format: independent readers find what was filled."""

import fabio
import h5py
import numpy as np
import pytest
import tifffile

from scattering.errors import InputError
from scattering.reading.stacks import open_stacks
from scattering.writing.stacks import write_filled
from tests.scattering.writing.filling import fill, frames, written

COUNTS = np.random.default_rng(0).poisson(200, (3, 48, 40))


@pytest.mark.parametrize("suffix", ["edf", "tif", "tiff", "npy", "nxs", "h5"])
@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint64", "float32", "float64", ">i4"])
def test_frames_of_an_array(suffix, dtype, tmp_path):
    source, output = tmp_path / "a.NPY" if suffix == "npy" else tmp_path / "a.npy", tmp_path / "b" / f"a.{suffix}"
    with source.open("wb") as file:
        np.save(file, COUNTS.astype(dtype))
    stack, expected, _ = written(source, output)
    assert [frame.dtype for frame in frames(output)] == [stack.dtype] * 3
    np.testing.assert_array_equal(frames(output), [frame.counts for frame in expected])
    if suffix == "edf":
        with fabio.open(str(output)) as found:
            for number, frame in enumerate(expected):
                np.testing.assert_array_equal(found.get_frame(number).data, frame.counts)
    if suffix in ("tif", "tiff"):
        np.testing.assert_array_equal(tifffile.imread(output, key=range(3)), [frame.counts for frame in expected])
    if suffix == "npy":
        np.testing.assert_array_equal(np.load(output), [frame.counts for frame in expected])


@pytest.mark.parametrize("suffix", ["cbf", "edf", "tif", "npy"])
def test_frames_of_hdf5(suffix, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["frames"] = COUNTS[:1].astype(np.int32)
    _, (frame,), _ = written(tmp_path / "a.h5", tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(frames(tmp_path / f"a.{suffix}"), [frame.counts])
    if suffix != "npy":
        with fabio.open(str(tmp_path / f"a.{suffix}")) as found:
            np.testing.assert_array_equal(found.data, frame.counts)


@pytest.mark.parametrize(
    ("counts", "suffix"),
    [
        (COUNTS, "cbf"),
        (COUNTS[0] / 2, "cbf"),
        (COUNTS.astype(np.float16), "edf"),
        (COUNTS, "mar2300"),
        (COUNTS, "jpg"),
    ],
)
def test_formats_that_cannot_hold_frames_say_so(counts, suffix, tmp_path):
    np.save(tmp_path / "a.npy", counts)
    (stack,) = open_stacks([str(tmp_path / "a.npy")])
    with pytest.raises(InputError, match=r"write .*\.nxs"):
        write_filled(stack, tmp_path / "out" / f"a.{suffix}", fill(stack), {})
    assert not list((tmp_path / "out").iterdir())


def test_large_counts_become_cbf(tmp_path):
    counts = np.array([[2**31 - 1, -2, 2**31 - 1], [0, 5, -1]], np.int32).repeat(3, 0)
    np.save(tmp_path / "a.npy", counts)
    _, (frame,), _ = written(tmp_path / "a.npy", tmp_path / "a.cbf")
    np.testing.assert_array_equal(frames(tmp_path / "a.cbf"), [frame.counts])
