"""What is written is read again, in every format; nothing but what was filled is another."""

import bz2
import gzip
import json
import time

import numpy as np
import pytest

from scattering.errors import InputError
from scattering.reading.stacks import open_stacks
from scattering.writing.paths import output_paths
from scattering.writing.stacks import write_filled
from tests.scattering.reading.writing import WRITERS, packed
from tests.scattering.writing.filling import fill, frames, process, written

COUNTS = np.random.default_rng(0).poisson(3000, (60, 52)).astype(np.uint16)
PATCHED = {"edf", "tif", "img", "mccd", "spe", "npy"}
"""Formats of which nothing but filled pixels changes."""
WRITTEN = PATCHED | {"cbf", "h5", "nxs"}


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_filled_frames_are_read_as_they_were_written(suffix, tmp_path):
    WRITERS[suffix][0](tmp_path / f"a.{suffix}", COUNTS)
    (stack,) = open_stacks([str(tmp_path / f"a.{suffix}")])
    (output,) = output_paths([stack], tmp_path / "out")
    assert output.name == (f"a.{suffix}" if suffix in WRITTEN else "a.nxs")
    stack, expected, files = written(stack.location.path, output)
    (back,) = open_stacks([str(output)])
    assert (back.dtype, back.shape, back.detector) == (stack.dtype, stack.shape, stack.detector)
    np.testing.assert_array_equal(frames(output), [frame.counts for frame in expected])
    assert sorted(path.name for path in output.parent.iterdir()) == sorted(path.name for path in files)


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_what_was_filled_goes_along(suffix, tmp_path):
    WRITERS[suffix][0](tmp_path / f"a.{suffix}", COUNTS)
    (output,) = output_paths(open_stacks([str(tmp_path / f"a.{suffix}")]), tmp_path / "out")
    _, expected, files = written(tmp_path / f"a.{suffix}", output)
    found = process(files[-1])
    np.testing.assert_array_equal(found["filled"] != 0, [frame.filled for frame in expected])
    np.testing.assert_array_equal(found["uncertainty"], [frame.uncertainty for frame in expected])
    assert json.loads(found["note"]) == {"model": "a.pt", "settings": {"window": 128}}
    assert [json.loads(note) for note in found["notes"]] == [frame.note for frame in expected]
    assert found["program"] == b"gapsearch"


@pytest.mark.parametrize("suffix", sorted(PATCHED))
def test_no_byte_changes_but_those_of_filled_pixels(suffix, tmp_path):
    source = tmp_path / f"a.{suffix}"
    WRITERS[suffix][0](source, COUNTS)
    _, (frame,), (output, _) = written(source, tmp_path / "out" / source.name)
    before, after = (np.frombuffer(path.read_bytes(), np.uint8) for path in (source, output))
    assert len(before) == len(after)
    assert (before != after).sum() <= frame.filled.sum() * COUNTS.itemsize
    pixels = np.flatnonzero(before != after) - (len(before) - COUNTS.nbytes)
    # The counts of all these formats end their file, but for tags of a few TIFF files.
    if suffix != "tif":
        assert set(pixels // COUNTS.itemsize) <= set(np.flatnonzero(frame.filled))


@pytest.mark.parametrize("packer", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("suffix", ["cbf", "edf", "tif", "mar2300"])
def test_packed_files_are_written_unpacked(suffix, packer, tmp_path):
    WRITERS[suffix][0](tmp_path / f"a.{suffix}", COUNTS)
    source = packed(tmp_path / f"a.{suffix}", packer)
    (output,) = output_paths(open_stacks([str(source)]), tmp_path / "out")
    assert output.name == ("a.nxs" if suffix == "mar2300" else f"a.{suffix}")
    _, (frame,), _ = written(source, output)
    np.testing.assert_array_equal(frames(output), [frame.counts])


def test_the_same_frames_are_the_same_bytes(tmp_path):
    for suffix in WRITTEN:
        WRITERS[suffix][0](tmp_path / f"a.{suffix}", COUNTS)
    contents = []
    for _ in range(2):
        files = [written(tmp_path / f"a.{suffix}", tmp_path / "out" / f"a.{suffix}")[2] for suffix in sorted(WRITTEN)]
        contents.append([path.read_bytes() for pair in files for path in pair])
        time.sleep(1.1)  # files that keep a time keep seconds
    assert contents[0] == contents[1]


@pytest.mark.parametrize("suffix", sorted(WRITTEN))
def test_what_is_interrupted_leaves_nothing(suffix, tmp_path):
    WRITERS[suffix][0](tmp_path / f"a.{suffix}", COUNTS)
    (stack,) = open_stacks([str(tmp_path / f"a.{suffix}")])

    def interrupted():
        if suffix == "h5":
            yield from fill(stack)
        raise KeyboardInterrupt

    (tmp_path / "out").mkdir()
    with pytest.raises(KeyboardInterrupt):
        write_filled(stack, tmp_path / "out" / f"a.{suffix}", interrupted(), {})
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("suffix", sorted(WRITTEN))
def test_sources_are_never_replaced(suffix, tmp_path):
    source = tmp_path / f"a.{suffix}"
    WRITERS[suffix][0](source, COUNTS)
    (tmp_path / f"link.{suffix}").symlink_to(source)
    (tmp_path / f"other.{suffix}").hardlink_to(source)
    (stack,) = open_stacks([str(source)])
    before = source.read_bytes()
    for name in ("a", "link", "other"):
        with pytest.raises(InputError, match="place of their source"):
            write_filled(stack, tmp_path / f"{name}.{suffix}", fill(stack), {})
    assert source.read_bytes() == before


def test_what_goes_along_is_not_taken_for_frames(tmp_path):
    WRITERS["edf"][0](tmp_path / "a.edf", COUNTS)
    written(tmp_path / "a.edf", tmp_path / "out" / "a.edf")
    assert (tmp_path / "out" / "a.edf.filled.h5").is_file()
    for pattern in ("out", "out/*", "out/a*"):
        assert [stack.location.path.name for stack in open_stacks([str(tmp_path / pattern)])] == ["a.edf"]


def test_folders_that_cannot_be_written_are_told(tmp_path):
    WRITERS["edf"][0](tmp_path / "a.edf", COUNTS)
    (stack,) = open_stacks([str(tmp_path / "a.edf")])
    for suffix in ("edf", "nxs"):
        with pytest.raises(InputError, match="cannot write"):
            write_filled(stack, tmp_path / "a.edf" / f"b.{suffix}", fill(stack), {})


def test_files_that_were_there_are_replaced(tmp_path):
    WRITERS["edf"][0](tmp_path / "a.edf", COUNTS)
    (tmp_path / "b.edf").write_bytes(b"x" * 10**6)
    _, (frame,), _ = written(tmp_path / "a.edf", tmp_path / "b.edf")
    np.testing.assert_array_equal(frames(tmp_path / "b.edf"), [frame.counts])
