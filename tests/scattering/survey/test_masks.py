import subprocess
import sys

import fabio
import h5py
import numpy as np
import pytest

from scattering.errors import InputError
from scattering.survey.masks import check_mask, read_mask


@pytest.fixture
def mask():
    flags = np.zeros((31, 47), bool)
    flags[3:9, 10:20] = flags[25] = True
    return flags


def written(folder, kind, values):
    path = folder / f"mask.{kind}"
    if kind == "npy":
        np.save(path, values)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["entry/mask"] = values
            file["entry/note"] = np.arange(3)
    elif kind in ("msk", "msk.gz"):
        fabio.fit2dmaskimage.Fit2dMaskImage(data=values.astype(np.uint8)).write(str(path))
    elif kind == "edf":
        fabio.edfimage.EdfImage(data=values.astype(np.uint8)).write(str(path))
    else:
        fabio.tifimage.TifImage(data=values.astype(np.uint8)).write(str(path))
    return str(path)


@pytest.mark.parametrize("kind", ["npy", "h5", "edf", "tif", "msk", "msk.gz"])
def test_every_format_gives_the_same_mask(tmp_path, kind, mask):
    np.testing.assert_array_equal(read_mask(written(tmp_path, kind, mask)), mask)


@pytest.mark.parametrize("values", [3, -1, 0.5])
def test_whatever_is_not_zero_is_masked(tmp_path, mask, values):
    np.testing.assert_array_equal(read_mask(written(tmp_path, "npy", mask * values)), mask)


def test_the_one_meant_is_named_where_a_file_holds_several(tmp_path, mask):
    name = written(tmp_path, "h5", mask)
    with h5py.File(name, "r+") as file:
        file["other"] = ~mask
    np.testing.assert_array_equal(read_mask(f"{name}::/entry/mask"), mask)
    with pytest.raises(InputError, match=r"holds 2: mask\.h5::/entry/mask, mask\.h5::/other"):
        read_mask(name)
    with pytest.raises(InputError, match="none there"):
        read_mask(f"{name}::/entry/nothing")


def test_bits_of_a_pixel_mask_that_only_tell_of_a_pixel_do_not_mask_it(tmp_path, mask):
    path = tmp_path / "master.h5"
    with h5py.File(path, "w") as file:
        file["entry/instrument/detector/pixel_mask"] = np.where(mask, 1 << 8, 1 << 31).astype(np.uint32)
    np.testing.assert_array_equal(read_mask(str(path)), mask)


def test_more_than_half_may_be_masked_unless_gaps_are_left(tmp_path, mask):
    hidden, gap = np.zeros((31, 47), bool), np.zeros((31, 47), bool)
    hidden[5:], gap[2:4], gap[20:22] = True, True, True
    check_mask(read_mask(written(tmp_path, "npy", hidden)), gap, "mask.npy")
    hidden = ~gap
    hidden[:2, :20] = False
    with pytest.raises(InputError, match=r"8\d% masked in mask\.npy.*invert it"):
        check_mask(read_mask(written(tmp_path, "npy", hidden)), gap, "mask.npy")


def test_kept_pixels_given_as_mask_are_told(tmp_path, mask):
    with pytest.raises(InputError, match=r"9\d% masked.*invert it"):
        read_mask(written(tmp_path, "npy", ~mask))


@pytest.mark.parametrize(
    "values", [np.zeros(7), np.zeros((2, 3, 4)), np.array([["a", "b"]]), np.zeros((2, 2), complex)]
)
def test_what_is_no_image_is_refused(tmp_path, values):
    with pytest.raises(InputError, match="one image of numbers"):
        read_mask(written(tmp_path, "npy", values))


@pytest.mark.parametrize("kind", ["npy", "h5", "edf", "tif", "txt", "msk"])
def test_damaged_files_are_one_line(tmp_path, kind):
    path = tmp_path / f"mask.{kind}"
    start = b"M\0\0\0A\0\0\0S\0\0\0K\0\0\0\1\1\1\0" if kind == "msk" else b"II*\x00"
    path.write_bytes(start + b" nothing that any program could read" * 3)
    with pytest.raises(InputError, match=r"edf, tif, npy, h5 or msk .*(cannot read|truncated|frames must)") as caught:
        read_mask(str(path))
    assert "\n" not in str(caught.value)


def test_pickles_are_not_loaded(tmp_path):
    path = tmp_path / "mask.npy"
    np.save(path, np.array([[object()]]), allow_pickle=True)
    with pytest.raises(InputError, match="cannot read"):
        read_mask(str(path))


def test_a_file_that_is_not_there_is_told():
    with pytest.raises(InputError, match="nothing there"):
        read_mask("no/mask.edf")


def test_compressed_hdf5_masks_of_any_name_are_read(tmp_path, mask):
    # Another process: nothing has loaded the codecs.
    code = f"""if True:
        from scattering.survey.masks import check_mask, read_mask
        assert read_mask({str(tmp_path / "mask.nexus")!r}).sum() == read_mask({str(tmp_path / "mask")!r}).sum() > 0
    """
    import hdf5plugin

    for name in ("mask.nexus", "mask"):
        with h5py.File(tmp_path / name, "w") as file:
            file.create_dataset("mask", data=mask, chunks=mask.shape, compression=hdf5plugin.Bitshuffle())
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
