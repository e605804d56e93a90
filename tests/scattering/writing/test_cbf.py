"""CBF: the header stays, counts are packed anew; fabio reads them, and checks their sum."""

import re

import fabio
import numpy as np
import pytest
from fabio.cbfimage import CbfImage
from fabio.compression import compByteOffset, decByteOffset

from scattering.errors import InputError
from scattering.reading.stacks import open_stacks
from scattering.writing.cbf import pack
from scattering.writing.filled import Filled
from scattering.writing.stacks import write_filled
from tests.scattering.writing.filling import frames, written

COUNTS = np.random.default_rng(0).poisson(200, (48, 40)).astype(np.int32)
HEADER = (
    "###CBF: VERSION 1.5, CBFlib v0.7.8 - PILATUS detectors\r\n\r\ndata_a\r\n\r\n_array_data.header_convention "
    '"PILATUS_1.2"\r\n_array_data.header_contents\r\n;\r\n# Detector: PILATUS 2M, S/N 24-0108\r\n'
    "# Exposure_time 1.0 s\r\n# N_excluded_pixels = 321 \xe9\r\n;\r\n\r\n_array_data.data\r\n;\r\n"
)


def pilatus(path, counts=COUNTS, checksum=True) -> None:
    """Write a file as PILATUS detectors do, with padding behind the counts."""
    CbfImage(data=counts).write(str(path))
    content = path.read_bytes()
    content = HEADER.encode("latin-1") + content[content.index(b"--CIF-BINARY") :]
    if not checksum:
        content = re.sub(rb"Content-MD5: \S+\r\n", b"", content)
    end = content.index(b"\r\n--CIF-BINARY-FORMAT-SECTION----")
    path.write_bytes(content[:end] + bytes(4095) + content[end:] + b"\r\n")


def rest(path) -> tuple[bytes, bytes]:
    """Return a file without its counts, their size and their checksum."""
    content = path.read_bytes()
    begin = content.index(b"\x0c\x1a\x04\xd5") + 4
    size = int(re.search(rb"X-Binary-Size: (\d+)", content)[1])
    return re.sub(rb"(X-Binary-Size|Content-MD5): \S+", b"", content[:begin]), content[begin + size :]


@pytest.mark.parametrize("checksum", [True, False])
def test_all_but_the_counts_stays(checksum, tmp_path):
    pilatus(tmp_path / "a.cbf", checksum=checksum)
    _, (frame,), _ = written(tmp_path / "a.cbf", tmp_path / "b.cbf")
    assert rest(tmp_path / "b.cbf") == rest(tmp_path / "a.cbf")
    assert (b"Content-MD5" in (tmp_path / "b.cbf").read_bytes()) == checksum
    np.testing.assert_array_equal(frames(tmp_path / "b.cbf"), [frame.counts])
    with fabio.open(str(tmp_path / "b.cbf")) as found:
        np.testing.assert_array_equal(found.data, frame.counts)
        assert found.header["_array_data.header_convention"].strip('"') == "PILATUS_1.2"


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_any_integers_come_back_through_fabio(dtype):
    limits = np.iinfo(dtype)
    random = np.random.default_rng(0)
    whole = random.integers(limits.min, limits.max, 5000, dtype=dtype, endpoint=True)
    low = random.integers(0, 100, 5000).astype(dtype)
    edges = np.array([limits.max, 0, limits.max, limits.max - 1, 127, 0, 127, limits.max // 2, 1, 100], dtype)
    counts = np.concatenate([low, edges, whole, edges[::-1], low])
    back = np.asarray(decByteOffset(pack(counts), size=len(counts), dtype=dtype)).astype(dtype)
    np.testing.assert_array_equal(back, counts)


@pytest.mark.parametrize("step", [127, 128, -127, -128, 32767, 32768, -32767, -32768, 2**31 - 1, -(2**31) + 1])
def test_differences_at_the_limits_of_their_bytes(step):
    counts = np.array([0, step, 0, step, step], np.int64)
    np.testing.assert_array_equal(decByteOffset(pack(counts), size=5, dtype="int64"), counts)
    # The first is 0, and there are a step to it, one back, one more, and none.
    width = 1 if abs(step) <= 127 else 3 if abs(step) <= 32767 else 7
    assert len(pack(counts)) == 3 * width + 2


def test_what_fabio_packs_is_packed_the_same():
    counts = np.random.default_rng(0).negative_binomial(0.3, 1e-4, 10000).astype(np.int32)
    assert pack(counts) == compByteOffset(counts)


def test_counts_that_decoders_cannot_sum_up_are_refused(tmp_path):
    """A difference of 2^31 takes more bits than decoders of 32-bit counts have."""
    pilatus(tmp_path / "a.cbf", np.zeros((48, 40), np.int32))
    (stack,) = open_stacks([str(tmp_path / "a.cbf")])
    counts = np.zeros((48, 40), np.int32)
    counts[5, 5] = -(2**31)
    frame = Filled(counts, counts != 0, np.full(counts.shape, np.nan, np.float32), {})
    with pytest.raises(InputError, match=r"write \.nxs"):
        write_filled(stack, tmp_path / "b.cbf", [frame], {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.cbf"]
