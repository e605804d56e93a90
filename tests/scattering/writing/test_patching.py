"""Plain formats: the copy differs in filled pixels only, whatever lies around them."""

import fabio
import numpy as np
import pytest
import tifffile
from fabio.edfimage import EdfImage

from scattering.errors import InputError
from scattering.reading.images import list_image
from scattering.reading.stacks import open_stacks
from scattering.writing.patching import patch
from scattering.writing.stacks import write_filled
from tests.scattering.writing.filling import fill, frames, gaps, written

COUNTS = np.random.default_rng(0).poisson(200, (4, 48, 40)).astype(np.uint16)


def changed(source, output) -> int:
    before, after = (np.frombuffer(path.read_bytes(), np.uint8) for path in (source, output))
    assert len(before) == len(after)
    return int((before != after).sum())


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "uint64", "float32", "float64"])
def test_frames_of_an_edf_file(dtype, tmp_path):
    image = EdfImage(data=COUNTS[0].astype(dtype), header={"Sample": "A"})
    for frame in COUNTS[1:]:
        image.append_frame(data=frame.astype(dtype), header={"Time": "1"})
    source, output = tmp_path / "a.edf", tmp_path / "out" / "a.edf"
    image.write(str(source))
    _, expected, _ = written(source, output)
    assert 0 < changed(source, output) <= 4 * gaps((48, 40)).sum() * np.dtype(dtype).itemsize
    with fabio.open(str(output)) as found, fabio.open(str(source)) as before:
        assert found.nframes == 4
        for number, frame in enumerate(expected):
            np.testing.assert_array_equal(found.get_frame(number).data, frame.counts)
            assert found.get_frame(number).header == before.get_frame(number).header


def test_bytes_of_other_machines(tmp_path):
    header = "\n{\r\nHeaderID = EH:000001:000000:000000 ;\r\nImage = 1 ;\r\nByteOrder = HighByteFirst ;\r\n"
    header += "DataType = UnsignedShort ;\r\nDim_1 = 40 ;\r\nDim_2 = 48 ;\r\nDetector = FReLoN ;\r\n"
    text = header.ljust(1000).encode() + b"}\r\n"
    (tmp_path / "a.edf").write_bytes(text + COUNTS[0].astype(">u2").tobytes())
    _, (frame,), _ = written(tmp_path / "a.edf", tmp_path / "b.edf")
    assert (tmp_path / "b.edf").read_bytes() == text + frame.counts.astype(">u2").tobytes()


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"byteorder": ">"}, {"rowsperstrip": 7}, {"ome": True}])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32"])
def test_pages_of_a_tiff_file(dtype, options, tmp_path):
    source, output = tmp_path / "a.tif", tmp_path / "out" / "a.tif"
    tifffile.imwrite(source, COUNTS.astype(dtype), photometric="minisblack", **options)
    _, expected, _ = written(source, output)
    assert 0 < changed(source, output) <= 4 * gaps((48, 40)).sum() * np.dtype(dtype).itemsize
    np.testing.assert_array_equal(tifffile.imread(output), [frame.counts for frame in expected])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("counts", [COUNTS, COUNTS[0], COUNTS.astype(">f8")], ids=["many", "one", "other bytes"])
def test_arrays_of_numpy(counts, order, tmp_path):
    np.save(tmp_path / "a.npy", np.asarray(counts, order=order))
    _, expected, _ = written(tmp_path / "a.npy", tmp_path / "b.npy")
    found = np.load(tmp_path / "b.npy")
    assert (found.dtype, found.flags.f_contiguous) == (counts.dtype, order == "F")
    np.testing.assert_array_equal(found.reshape(-1, 48, 40), [frame.counts for frame in expected])


def test_bits_of_measured_pixels_stay(tmp_path):
    """NaN with a payload, negative zero, infinities."""
    counts = COUNTS[0].astype(np.float32)
    counts.view(np.uint32)[0, 1:5] = 0x7FC12345, 0x80000000, 0x7F800000, 0xFF812345
    for name in ("a.npy", "a.edf"):
        np.save(tmp_path / name, counts) if name == "a.npy" else EdfImage(data=counts).write(str(tmp_path / name))
        _, (frame,), _ = written(tmp_path / name, tmp_path / "out" / name)
        (found,) = frames(tmp_path / "out" / name)
        assert found.tobytes() == frame.counts.tobytes()


def test_a_header_that_leads_frames_over_each_other_is_refused(tmp_path):
    """Pages that share their counts cannot be filled differently."""
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, COUNTS[:2], photometric="minisblack", metadata=None)
    with tifffile.TiffFile(source, mode="r+") as file:
        first, second = (page.tags["StripOffsets"] for page in file.pages)
        second.overwrite(first.value)
    (stack,) = open_stacks([str(source)])
    with pytest.raises(InputError, match="cannot hold these counts"):
        write_filled(stack, tmp_path / "out" / "a.tif", fill(stack), {})
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("order", ["C", "F"])
def test_nothing_is_written_beyond_the_copy(order, tmp_path):
    """A source that shrinks once its header is read."""
    source = tmp_path / "a.npy"
    np.save(source, np.asarray(COUNTS, order=order))
    (stack,), pages = open_stacks([str(source)]), list_image(source)
    taken = list(fill(stack))
    source.write_bytes(source.read_bytes()[:-3000])
    with pytest.raises(InputError, match="change meanwhile"):
        patch(source, tmp_path / "b.npy", pages, taken)
    assert (tmp_path / "b.npy").stat().st_size == source.stat().st_size
