"""Image files: their variants, what they say of the detector, several frames in one."""

import importlib
import re
import struct
import time
import tracemalloc

import numpy as np
import pytest
import tifffile
from fabio.cbfimage import CbfImage
from fabio.dtrekimage import DtrekImage
from fabio.edfimage import EdfImage
from fabio.ext import mar345_IO
from PIL import Image

from scattering.errors import InputError
from scattering.reading.stacks import open_stacks, read
from tests.scattering.reading.writing import cbf, edf, img, mar345, mpa, tif

COUNTS = np.random.default_rng(0).poisson(200, (4, 48, 40)).astype(np.uint16)


def frames(path) -> list[np.ndarray]:
    return [recorded.counts for stack in open_stacks([str(path)]) for recorded in read(stack, range(len(stack)))]


@pytest.mark.parametrize(
    "options",
    [{}, {"bigtiff": True}, {"byteorder": ">"}, {"tile": (16, 16)}, {"rowsperstrip": 7}, {"compression": "zlib"},
     {"compression": "zlib", "predictor": True}, {"metadata": None}, {"ome": True}],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_tiff_of_every_kind(options, dtype, tmp_path):
    if options.get("predictor") and dtype.startswith("float"):
        pytest.skip("needs codecs that are not installed")
    counts = COUNTS.astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", counts, photometric="minisblack", **options)
    found = frames(tmp_path / "a.tif")
    np.testing.assert_array_equal(found, counts)
    assert {frame.dtype for frame in found} == {counts.dtype}


@pytest.mark.parametrize(("dtype", "mode"), [("uint8", "L"), ("uint16", "I;16"), ("float32", "F"), ("int32", "I")])
def test_tiff_compressed_by_lzw(dtype, mode, tmp_path):
    counts = COUNTS.astype(dtype)
    pages = [Image.fromarray(frame) for frame in counts]
    assert pages[0].mode == mode
    pages[0].save(tmp_path / "a.tif", compression="tiff_lzw", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(frames(tmp_path / "a.tif"), counts)


@pytest.mark.parametrize(
    "pages", [[COUNTS[0], COUNTS[0, :20]], [COUNTS[0], COUNTS[0].astype(np.uint8)], [np.zeros((9, 9, 3), np.uint8)]]
)
def test_colours_and_pages_that_differ_are_refused(pages, tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in pages:
            file.write(page)
    with pytest.raises(InputError, match=r"rows and columns|one shape and type"):
        open_stacks([str(tmp_path / "a.tif")])


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32", "float32", "float64"])
def test_frames_of_an_edf_file(dtype, tmp_path):
    image = EdfImage(data=COUNTS[0].astype(dtype))
    for frame in COUNTS[1:]:
        image.append_frame(data=frame.astype(dtype))
    image.write(str(tmp_path / "a.edf"))
    (stack,) = open_stacks([str(tmp_path / "a.edf")])
    assert stack.names == ("a 0", "a 1", "a 2", "a 3")
    np.testing.assert_array_equal([recorded.counts for recorded in read(stack, [3, 1])], COUNTS[[3, 1]].astype(dtype))


def test_edf_of_other_machines(tmp_path):
    header = "\n{\r\nHeaderID = EH:000001:000000:000000 ;\r\nImage = 1 ;\r\nByteOrder = HighByteFirst ;\r\n"
    header += "DataType = UnsignedShort ;\r\nDim_1 = 40 ;\r\nDim_2 = 48 ;\r\nDetector = FReLoN ;\r\n"
    (tmp_path / "a.edf").write_bytes((header.ljust(1000) + "}\r\n").encode() + COUNTS[0].astype(">u2").tobytes())
    (stack,) = open_stacks([str(tmp_path / "a.edf")])
    assert (stack.detector, stack.dtype) == ("FReLoN", np.dtype("uint16"))
    np.testing.assert_array_equal(frames(tmp_path / "a.edf"), COUNTS[:1])


@pytest.mark.parametrize(
    ("key", "value"), [("Compression", "GZIP"), ("EDF_BinaryFileName", "/etc/passwd"), ("Dim_3", "2")]
)
def test_edf_frames_elsewhere_or_compressed_are_refused(key, value, tmp_path):
    edf(tmp_path / "a.edf", COUNTS[0])
    content = (tmp_path / "a.edf").read_bytes()
    (tmp_path / "a.edf").write_bytes(content.replace(b"{\n", f"{{\n{key} = {value} ;\n".encode(), 1))
    with pytest.raises(InputError, match="must"):
        open_stacks([str(tmp_path / "a.edf")])


def test_detectors_are_named_by_their_files(tmp_path):
    cbf(tmp_path / "a.cbf", COUNTS[0])
    content = (tmp_path / "a.cbf").read_bytes()
    named = b"\r\n_array_data.header_contents\r\n;\r\n# Detector: PILATUS3 2M, S/N 24-0108, Diamond\r\n;\r\n"
    at = content.index(b"_array_data.data")
    (tmp_path / "a.cbf").write_bytes(content[:at] + named + content[at:])
    # As PILATUS writes them: the detector in the tag Model, its settings in ImageDescription.
    tifffile.imwrite(
        tmp_path / "b.tif", COUNTS[0], metadata=None, description="# Pixel_size 172e-6 m x 172e-6 m",
        extratags=[(272, "s", 0, "PILATUS 1M, S/N 10-0124", True)],
    )  # fmt: skip
    tif(tmp_path / "c.tif", COUNTS[0])
    found = [stack.detector for stack in open_stacks([str(tmp_path)])]
    assert found == ["PILATUS3 2M, S/N 24-0108, Diamond", "PILATUS 1M, S/N 10-0124", ""]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"])
def test_cbf_of_every_type_with_jumps_of_every_size(dtype, tmp_path):
    limits = np.iinfo(dtype)
    counts = np.random.default_rng(0).integers(0, 100, (20, 30)).astype(dtype)
    counts[3], counts[4, ::2], counts[5, ::3] = limits.max, limits.min, 127
    cbf(tmp_path / "a.cbf", counts)
    np.testing.assert_array_equal(frames(tmp_path / "a.cbf"), [counts])


def repacked(path, blocks) -> None:
    """Replace the packed counts of a mar345 file by blocks of (numbers, bits)."""
    stream = filled = 0
    for numbers, bits in blocks:
        code = (0, 4, 5, 6, 7, 8, 16, 32).index(bits)
        stream |= (len(numbers).bit_length() - 1 | code << 3) << filled
        filled += 6
        for number in numbers:
            stream |= (int(number) & (1 << bits) - 1) << filled
            filled += bits
    content = path.read_bytes()
    end = re.search(rb"Y: \d{4}\n", content).end()
    path.write_bytes(content[:end] + stream.to_bytes(-(-filled // 8), "little"))


def test_mar345_blocks_of_every_size_hold(tmp_path):
    # fabio's decoder takes 32 bits for none.
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 65535, (40, 40)).astype(np.uint32)
    counts[7, 7:9] = 65536, 2**31 - 1
    mar345(tmp_path / "a.mar2300", counts)
    differences = np.asarray(mar345_IO.precomp(np.minimum(counts, 65535).astype(np.int16).ravel(), 40))
    blocks, place = [], 0
    while place < len(differences):
        numbers = differences[place : place + 2 ** rng.integers(0, 8)]
        numbers = numbers[: 1 << (len(numbers).bit_length() - 1)]
        most = max(int(number) if number >= 0 else ~int(number) for number in numbers).bit_length() + 1
        blocks.append((numbers, min(bits for bits in (4, 5, 6, 7, 8, 16, 32) if bits >= most)))
        place += len(numbers)
    assert {bits for _, bits in blocks} >= {16, 32}
    repacked(tmp_path / "a.mar2300", blocks)
    np.testing.assert_array_equal(frames(tmp_path / "a.mar2300"), [counts])


def test_mar345_counts_may_begin_with_white_space(tmp_path):
    # Four numbers of 4 bits, the first an even one: the first byte is that of a line feed, which fabio strips.
    mar345(tmp_path / "a.mar2300", np.zeros((4, 4), np.uint32))
    repacked(tmp_path / "a.mar2300", [([4, 0, 0, 0], 4), ([0] * 4, 4), ([0] * 8, 4)])
    assert (tmp_path / "a.mar2300").read_bytes().split(b"Y: 0004\n")[1][0] == 0x0A
    (found,) = frames(tmp_path / "a.mar2300")
    assert (found[0] == 4).all()


def test_one_frame_at_a_time_is_in_memory(tmp_path):
    count, shape = 40, (500, 400)
    image = EdfImage(data=np.zeros(shape, np.int32))
    for _ in range(count - 1):
        image.append_frame(data=np.zeros(shape, np.int32))
    image.write(str(tmp_path / "a.edf"))
    np.save(tmp_path / "b.npy", np.zeros((count, *shape), np.int32))
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((count, *shape), np.int32))
    del image
    stacks = open_stacks([str(tmp_path)])
    tracemalloc.start()
    for stack in stacks:
        for recorded in read(stack, range(count)):
            del recorded
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * np.prod(shape) * 4


def test_spe_of_several_frames(tmp_path):
    header = bytearray(4100)
    header[20:30], header[172:178] = b"01Jan2020\0", b"120000"
    for place, kind, value in ((42, "<H", 40), (656, "<H", 48), (108, "<H", 3), (1446, "<i", 4)):
        struct.pack_into(kind, header, place, value)
    (tmp_path / "a.spe").write_bytes(bytes(header) + COUNTS.tobytes())
    np.testing.assert_array_equal(frames(tmp_path / "a.spe"), COUNTS)


def lzw(path, counts) -> None:
    """A big-endian TIFF of one strip, whose table of words is cleared before its codes need a tenth bit."""
    content = counts.astype(">u2").tobytes()
    codes = [code for start in range(0, len(content), 200) for code in (256, *content[start : start + 200])]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    packed = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    rows, columns = counts.shape
    tags = (
        (256, 4, columns), (257, 4, rows), (258, 3, 16), (259, 3, 5), (262, 3, 1), (273, 4, 512), (277, 3, 1),
        (278, 4, rows), (279, 4, len(packed)), (339, 3, 1),
    )  # fmt: skip
    entries = b"".join(
        struct.pack(">HHI", tag, kind, 1) + struct.pack(">H2x" if kind == 3 else ">I", value)
        for tag, kind, value in tags
    )
    path.write_bytes((b"MM\0*" + struct.pack(">IH", 8, len(tags)) + entries).ljust(512, b"\0") + packed)


def test_big_endian_tiff_compressed_by_lzw(tmp_path):
    lzw(tmp_path / "a.tif", COUNTS[0])
    np.testing.assert_array_equal(frames(tmp_path / "a.tif"), COUNTS[:1])


@pytest.mark.parametrize("options", [{"truncate": True}, {"truncate": True, "imagej": True}])
def test_tiff_frames_without_tags_are_refused(options, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", COUNTS, photometric="minisblack", **options)
    with pytest.raises(InputError, match="declares 4 frames, has tags for 1"):
        open_stacks([str(tmp_path / "a.tif")])


def test_a_field_that_a_header_lacks_is_named(tmp_path):
    cbf(tmp_path / "a.cbf", COUNTS[0])
    content = (tmp_path / "a.cbf").read_bytes()
    (tmp_path / "a.cbf").write_bytes(content.replace(b"conversions=", b"convertions="))
    with pytest.raises(InputError, match="'conversions' is missing from its header"):
        open_stacks([str(tmp_path / "a.cbf")])


@pytest.mark.parametrize("lines", [0, 500])
def test_cbf_headers_of_any_length(lines, tmp_path):
    cbf(tmp_path / "a.cbf", COUNTS[0])
    before, start, after = (tmp_path / "a.cbf").read_bytes().partition(b"--CIF-BINARY-FORMAT-SECTION--")
    (tmp_path / "a.cbf").write_bytes(
        before + lines * b"# a comment of the beamline, at some length\r\n" + start + after
    )
    np.testing.assert_array_equal(frames(tmp_path / "a.cbf"), COUNTS[:1])


@pytest.mark.parametrize(("writer", "reader"), [(img, "dtrekimage.DtrekImage"), (mpa, "mpaimage.MpaImage")])
def test_single_frames_are_decoded_once(writer, reader, tmp_path, monkeypatch):
    writer(tmp_path / f"a.{writer.__name__}", COUNTS[0])
    (stack,) = open_stacks([str(tmp_path)])
    module, name = reader.split(".")
    image_class = getattr(importlib.import_module(f"fabio.{module}"), name)
    decode, times = image_class.read, []
    monkeypatch.setattr(image_class, "read", lambda *given: times.append(1) or decode(*given))
    assert len(list(read(stack, [0]))) == len(times) == 1


def test_the_time_to_read_a_header_grows_with_its_length_alone(tmp_path):
    """A name that goes on for ever: with a regular expression the time grew with the third power."""
    spaces = " " * 200_000
    (tmp_path / "a.cbf").write_bytes(
        b"###CBF: VERSION 1.5\n--CIF-BINARY-FORMAT-SECTION--\n"
        + f"conversions{spaces}={spaces}x{spaces}\n".encode()
        + b"\x0c\x1a\x04\xd5"
    )
    began = time.process_time()
    with pytest.raises(InputError):
        open_stacks([str(tmp_path / "a.cbf")])
    assert time.process_time() - began < 2.0


EDF_DUMMIES = {
    "the number alone": ({"Dummy": "-10"}, (-10, 0.1)),
    "with what is near": ({"dummy": "-2.0", "DDUMMY": "1.5"}, (-2, 1.5)),
    "a large one": ({"Dummy": "4294967295"}, (4294967295, 42949.67295)),
    "a unit behind": ({"Dummy": "-10 counts", "DDummy": "0"}, (-10, 0)),
    "none": ({"Dummy": "0", "DDummy": "0.1"}, None),
    "within its own width": ({"Dummy": "-1", "DDummy": "1"}, None),
    "text": ({"Dummy": "no"}, None),
}


@pytest.mark.parametrize("kind", EDF_DUMMIES)
def test_the_dummy_of_an_edf_header_is_no_data(kind, tmp_path):
    header, expected = EDF_DUMMIES[kind]
    counts = COUNTS[0].astype(np.int32) - 180
    EdfImage(data=counts, header=header).write(str(tmp_path / "a.edf"))
    (stack,) = open_stacks([str(tmp_path / "a.edf")])
    (recorded,) = read(stack, [0])
    assert recorded.stated.no_data == (() if expected is None else (pytest.approx(expected),))
    if expected is None:
        assert recorded.invalid is None
    else:
        np.testing.assert_array_equal(recorded.invalid, np.abs(counts - float(expected[0])) <= expected[1])


PILATUS = "# Detector: PILATUS 2M\r\n# Tau = 199.1e-09 s\r\n# Count_cutoff 1053695 counts\r\n"


@pytest.mark.parametrize("suffix", ["cbf", "tif"])
def test_a_counter_of_pilatus_is_full_at_its_cutoff(suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    if suffix == "cbf":
        CbfImage(data=COUNTS[0].astype(np.int32), header={"_array_data.header_contents": PILATUS}).write(str(path))
    else:
        tifffile.imwrite(path, COUNTS[0].astype(np.int32), description=PILATUS)
    (stack,) = open_stacks([str(path)])
    (recorded,) = read(stack, [0])
    assert stack.detector == "PILATUS 2M"
    assert recorded.stated.largest == 1053694


def test_the_saturation_of_a_ccd_is_read(tmp_path):
    DtrekImage(data=COUNTS[0], header={"CCD_IMAGE_SATURATION": "220"}).write(str(tmp_path / "a.img"))
    (recorded,) = read(*open_stacks([str(tmp_path / "a.img")]), [0])
    assert 219 < recorded.stated.largest < 220


def test_the_number_for_no_data_of_a_tiff_is_none(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", COUNTS[0], extratags=[(42113, "s", 0, "200", True)])
    (recorded,) = read(*open_stacks([str(tmp_path / "a.tif")]), [0])
    np.testing.assert_array_equal(recorded.invalid, COUNTS[0] == 200)
