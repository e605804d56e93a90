"""TIFF pages that are packed or in tiles: written anew with what they say."""

import fabio
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.scattering.writing.filling import frames, written

COUNTS = np.random.default_rng(0).poisson(200, (3, 48, 40)).astype(np.int32)
KEPT = (270, 271, 272, 282, 283, 296, 305, 306, 315)


@pytest.mark.parametrize(
    "options",
    [{"compression": "zlib"}, {"compression": "zlib", "predictor": True}, {"compression": "zlib", "byteorder": ">"},
     {"tile": (16, 16)}, {"compression": "zlib", "bigtiff": True}],
)  # fmt: skip
def test_what_pages_say_stays(options, tmp_path):
    source, output = tmp_path / "a.tif", tmp_path / "b.tif"
    form = {name: options.pop(name) for name in ("byteorder", "bigtiff") if name in options}
    with tifffile.TiffWriter(source, **form) as file:
        for number, frame in enumerate(COUNTS):
            file.write(
                frame, photometric="minisblack", metadata=None, resolution=(1 / 172e-6, 3.25), resolutionunit=3,
                software="camserver", datetime="2026:01:02 03:04:05", **options,
                description=f"# Pixel_size 172e-6 m x 172e-6 m\n# Frame {number}\n".encode() + b"\xe9",
                extratags=[(271, 2, None, "DECTRIS", True), (272, 2, None, "PILATUS 300K", True)],
            )  # fmt: skip
    _, expected, _ = written(source, output)
    np.testing.assert_array_equal(frames(output), [frame.counts for frame in expected])
    np.testing.assert_array_equal(tifffile.imread(output, key=range(3)), [frame.counts for frame in expected])
    with tifffile.TiffFile(source) as before, tifffile.TiffFile(output) as after:
        assert (after.byteorder, after.is_bigtiff) == (before.byteorder, before.is_bigtiff)
        for old, new in zip(before.pages, after.pages, strict=True):
            assert [new.tags.valueof(tag) for tag in KEPT] == [old.tags.valueof(tag) for tag in KEPT]
            assert (new.compression, new.predictor) == (old.compression, old.predictor)
    if form.get("byteorder") != ">":  # of packed pages, which fabio reads wrongly
        with fabio.open(str(output)) as found:
            np.testing.assert_array_equal(found.data, expected[0].counts)


def test_pages_packed_by_lzw_are_written_unpacked(tmp_path):
    pages = [Image.fromarray(frame.astype(np.float32)) for frame in COUNTS]
    pages[0].save(tmp_path / "a.tif", compression="tiff_lzw", save_all=True, append_images=pages[1:])
    _, expected, _ = written(tmp_path / "a.tif", tmp_path / "b.tif")
    with Image.open(tmp_path / "b.tif") as found:
        for number, frame in enumerate(expected):
            found.seek(number)
            np.testing.assert_array_equal(np.asarray(found), frame.counts)


def test_what_the_first_page_says_of_all_stays(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", COUNTS, photometric="minisblack", compression="zlib", metadata={"axes": "TYX"}
    )
    _, expected, _ = written(tmp_path / "a.tif", tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.series[0].axes == "TYX"
        np.testing.assert_array_equal(file.asarray(), [frame.counts for frame in expected])
