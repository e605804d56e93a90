"""What is written is read: every real frame, through every format that can hold it."""

import bz2
import gzip

import h5py
import numpy as np
import pytest

from scattering.reading.stacks import open_stacks, read
from tests.scattering.reading.writing import WRITERS, h5, nxs, packed

# Every frame through the formats that most beamlines write; one of each source through the others.
EVERY = {"cbf", "edf", "tif", "h5", "npy"}


def frames(path) -> list[np.ndarray]:
    return [recorded.counts for stack in open_stacks([str(path)]) for recorded in read(stack, range(len(stack)))]


@pytest.mark.parametrize("suffix", sorted(WRITERS.keys() - {"mpa"}))
def test_real_counts_come_back_bit_for_bit(suffix, rewritten):
    count = 0
    for source, counts, _, path in rewritten(suffix, None if suffix in EVERY else 1):
        (stack,) = open_stacks([str(path)])
        ((back,),) = ([recorded.counts for recorded in read(stack, range(len(stack)))],)
        assert (stack.shape, stack.dtype) == (back.shape, back.dtype), source.name
        assert np.array_equal(back, counts), source.name
        if suffix not in ("mar2300", "sfrm", "0026"):  # they have a type of their own
            assert back.dtype == counts.dtype, source.name
        count += 1
    expected = {"mccd": 11, "cbf": 96, "sfrm": 16, "mar2300": 16, "0026": 16}
    assert count == expected.get(suffix, 104 if suffix in EVERY else 40)


def test_counts_as_text_come_back(tmp_path):
    counts = np.random.default_rng(0).poisson(3000, (30, 20))
    WRITERS["mpa"][0](tmp_path / "a.mpa", counts)
    np.testing.assert_array_equal(frames(tmp_path / "a.mpa"), [counts])


@pytest.mark.parametrize("packer", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("suffix", ["cbf", "edf", "tif", "mar2300", "0026"])
def test_packed_files_hold_the_same(suffix, packer, tmp_path):
    counts = np.random.default_rng(0).poisson(3000, (30, 20)).astype(np.uint16)
    WRITERS[suffix][0](tmp_path / f"a.{suffix}", counts)
    path = packed(tmp_path / f"a.{suffix}", packer)
    np.testing.assert_array_equal(frames(path), [counts])
    assert [stack.names for stack in open_stacks([str(path)])] == [("a",)]


@pytest.mark.parametrize(("writer", "one_mask"), [(h5, False), (nxs, True)])
def test_the_masks_of_real_frames_come_back(writer, one_mask, real, tmp_path):
    for source in real:
        with h5py.File(source) as file:
            counts, invalid = file["frames"][:2], file["invalid"][:2]
        mask = invalid[0] if one_mask else invalid
        path = tmp_path / f"{source.stem}.h5"
        writer(path, counts, mask)
        (stack,) = open_stacks([str(path)])
        for number, recorded in enumerate(read(stack, range(len(stack)))):
            np.testing.assert_array_equal(recorded.counts, counts[number])
            np.testing.assert_array_equal(recorded.invalid, invalid[0 if one_mask else number] != 0)
        path.unlink()
