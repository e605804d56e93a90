"""Whatever a file is, it is refused with one line that names it, or read as what it declares."""

import bz2
import gzip
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from scattering.errors import InputError
from scattering.reading.stacks import open_stacks, read
from tests.scattering.reading.writing import WRITERS, packed

COUNTS = np.random.default_rng(0).poisson(np.random.default_rng(1).uniform(0, 3000, (24, 20))).astype(np.uint16)
ROOT = Path(__file__).parents[3]


def frames(path) -> list[np.ndarray]:
    return [recorded.counts for stack in open_stacks([str(path)]) for recorded in read(stack, range(len(stack)))]


def refused(path, match=None) -> None:
    with pytest.raises(InputError, match=match) as caught:
        frames(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def write(folder, suffix) -> Path:
    path = folder / f"a.{suffix}"
    WRITERS[suffix][0](path, COUNTS)
    return path


@pytest.mark.parametrize("suffix", [*WRITERS, "cbf.gz", "cbf.bz2"])
def test_a_truncated_file_is_refused_or_all_there(suffix, tmp_path, capfd):
    path = write(tmp_path, suffix.partition(".")[0])
    if "." in suffix:
        path = packed(path, {"gz": gzip.compress, "bz2": bz2.compress}[suffix.partition(".")[2]])
    content = path.read_bytes()
    refusals = 0
    for length in np.linspace(0, len(content) - 1, 60).astype(int):
        path.write_bytes(content[:length])
        try:
            # A few bytes after the counts may be padding.
            np.testing.assert_array_equal(frames(path), [COUNTS])
        except InputError as error:
            assert path.name in str(error)
            refusals += 1
    assert refusals >= 55
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_files_damaged_at_random(tmp_path):
    command = [sys.executable, "-m", "tests.scattering.reading.fuzzing", str(tmp_path), "400", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == len(WRITERS) + 2


@pytest.mark.parametrize("place", range(600, 860, 20))
def test_the_checksum_of_a_cbf_file_is_checked(place, tmp_path):
    path = write(tmp_path, "cbf")
    content = bytearray(path.read_bytes())
    content[content.index(b"\x0c\x1a\x04\xd5") + place - 590] ^= 4
    path.write_bytes(content)
    refused(path, "checksum")


@pytest.mark.parametrize("suffix", ["cbf", "edf", "img", "npy", "0026", "sfrm"])
def test_a_header_that_declares_more_than_is_there_is_refused(suffix, tmp_path):
    path = write(tmp_path, suffix)
    content = path.read_bytes()
    lies = 0
    for number, lie in ((b"24", b"25"), (b"20", b"99"), (b"24", b"99999999")):
        # Rows and columns as each format writes them; not the minutes of a time.
        for place in re.finditer(rb"(?:[:=(,] ?)(?<!\d:)(" + number + rb")(?=[^0-9])", content[:4000]):
            path.write_bytes(content[: place.start(1)] + lie + content[place.end(1) :])
            refused(path)
            lies += 1
    assert lies >= 3


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("scattering.reading.unpacking._LARGEST", 2**24)
    path = tmp_path / "a.edf.gz"
    path.write_bytes(gzip.compress(b"{\n" + bytes(2**25)))
    refused(path, "unpacks to more")


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    np.save(tmp_path / "a.npy", np.array([[Trap(), Trap()]]), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Trap()))
    refused(tmp_path / "a.npy")
    refused(tmp_path / "b.npy")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "array", [np.zeros((4, 5), complex), np.zeros((0, 5)), np.zeros((2, 0, 5)), np.zeros(7), np.array([["a"]]),
              np.zeros((2, 2, 2, 2)), np.zeros((3, 4), bool), np.zeros((3, 4), "M8[s]")],
)  # fmt: skip
def test_arrays_that_are_no_frames_are_refused(array, tmp_path):
    np.save(tmp_path / "a.npy", array)
    refused(tmp_path / "a.npy")


@pytest.mark.parametrize("suffix", ["cbf", "edf", "tif", "h5", "nxs", "img", "mar2300", "npy"])
@pytest.mark.parametrize("content", [b"", b"\0", b"\n", b"frame,counts\n1,2\n", bytes(5000), b"{", b"II*\0"])
def test_other_files_under_the_name_of_a_format_are_refused(suffix, content, tmp_path):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    refused(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.cbf")
    refused(tmp_path / "a.cbf", "could be read")
    with pytest.raises(InputError, match="nothing there"):
        open_stacks([str(tmp_path)])


def test_links_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a.cbf").symlink_to(tmp_path / "b.cbf")
    (tmp_path / "b.cbf").symlink_to(tmp_path / "a.cbf")
    refused(tmp_path / "a.cbf")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    path = write(tmp_path, "cbf")
    path.chmod(0)
    refused(path, "Permission")


def test_a_file_that_changed_since_it_was_listed_is_refused(tmp_path):
    (stack,) = open_stacks([str(write(tmp_path, "edf"))])
    WRITERS["edf"][0](tmp_path / "a.edf", COUNTS.T.copy())
    with pytest.raises(InputError, match="changed meanwhile"):
        list(read(stack, [0]))
    WRITERS["edf"][0](tmp_path / "a.edf", COUNTS.astype(np.int32))
    with pytest.raises(InputError, match="changed meanwhile"):
        list(read(stack, [0]))


@pytest.mark.parametrize(
    ("shape", "chunks", "match"),
    [((10**6, 10**6), (100, 100), "at most"), ((2**40, 10, 10), (1, 10, 10), "at most"),
     ((8, 100, 100), (1, 100, 100), "chunks are missing"), ((8, 100, 100), None, "ever written"),
     ((8, 2**14, 2**14), (8, 2**12, 2**14), "chunks")],
)  # fmt: skip
def test_hdf5_frames_that_are_declared_but_not_stored_are_refused(shape, chunks, match, tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        frames = file.create_dataset("data", shape, "u2", chunks=chunks)
        if chunks and shape[0] == 8 and shape[1] == 100:
            frames[:5] = 1
    with pytest.raises(InputError, match=match):
        open_stacks([f"{path}::/data"])


@pytest.mark.parametrize("suffix", ["cbf", "edf", "npy", "spe", "tif"])
def test_a_truncated_file_is_refused_when_it_is_listed(suffix, tmp_path):
    path = write(tmp_path, suffix)
    path.write_bytes(path.read_bytes()[: -COUNTS.nbytes // 2])
    with pytest.raises(InputError, match=r"a\."):
        open_stacks([str(path)])


@pytest.mark.parametrize("less", [1, 7, 40])
def test_a_cbf_file_without_a_checksum_must_hold_as_many_counts_as_it_declares(less, tmp_path):
    path = write(tmp_path, "cbf")
    content = path.read_bytes().replace(b"Content-MD5", b"Content-Was")
    size = int(re.search(rb"X-Binary-Size: (\d+)", content)[1])
    path.write_bytes(content.replace(f"X-Binary-Size: {size}".encode(), f"X-Binary-Size: {size - less}".encode()))
    refused(path, "counts are declared")


def test_a_strip_of_a_tiff_file_that_was_never_written_is_refused(tmp_path):
    # tifffile reads zeros.
    tifffile.imwrite(tmp_path / "a.tif", COUNTS, rowsperstrip=6, compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        tag = file.pages[0].tags["StripByteCounts"]
        tag.overwrite((*tag.value[:-1], 0))
    refused(tmp_path / "a.tif", "parts of the frame are missing")


def test_what_fabio_only_warns_of_is_refused(tmp_path, capfd):
    # Counts without a type: it takes them for 16 bits, which they may be or not.
    path = write(tmp_path, "img")
    path.write_bytes(path.read_bytes().replace(b"Data_type", b"Data_tipe"))
    refused(path, "Data_type key is mandatory")
    assert capfd.readouterr() == ("", "")
