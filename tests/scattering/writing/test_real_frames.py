"""Every source of real frames, its own gaps filled: measured pixels keep their bits, in each format."""

import fabio
import h5py
import numpy as np
import pytest

from scattering.reading.stacks import Stack, open_stacks, read
from scattering.writing.filled import Filled
from scattering.writing.paths import output_paths
from scattering.writing.stacks import write_filled
from tests.scattering.reading.writing import WRITERS
from tests.scattering.writing.filling import fill, gaps

pytestmark = pytest.mark.slow


def in_gaps(stack: Stack):
    """Fill what the file says is invalid, by counts that grow from pixel to pixel."""
    for source in read(stack, range(len(stack))):
        counts, filled = source.counts.copy(), source.invalid
        counts[filled] = np.arange(filled.sum()) % 113
        yield Filled(counts, filled, np.where(filled, np.float32(2), np.float32(np.nan)), {})


def test_gaps_of_every_source_are_filled_in_its_file(real, tmp_path):
    for source in real:
        (stack,) = open_stacks([str(source)])
        (output,) = output_paths([stack], tmp_path)
        write_filled(stack, output, in_gaps(stack), {"model": "none"})
        assert output.name == source.name
        (back,) = open_stacks([str(output)])
        assert (back.names, back.groups, back.detector) == (stack.names, stack.groups, stack.detector)
        pairs = zip(in_gaps(stack), read(back, range(len(back))), strict=True)
        for frame, found in pairs:
            assert found.counts.tobytes() == frame.counts.tobytes(), source.name
            assert not found.invalid.any(), source.name
        with h5py.File(output) as file, h5py.File(source) as before:
            np.testing.assert_array_equal(file["gapsearch/filled"][0], before["invalid"][0] != 0)
            assert set(file) == {*before, "gapsearch"}
        output.unlink()


@pytest.mark.parametrize("suffix", sorted(WRITERS.keys() - {"mpa", "h5"}))
def test_real_frames_are_filled_in_every_format(suffix, rewritten, tmp_path):
    count = 0
    for source, _, invalid, path in rewritten(suffix, 1):
        (stack,) = open_stacks([str(path)])
        filled = invalid | gaps(stack.shape)
        expected = next(fill(stack, filled))
        (output,) = output_paths([stack], tmp_path / "out")
        written = write_filled(stack, output, [expected], {})
        (found,) = [frame.counts for back in open_stacks([str(output)]) for frame in read(back, [0])]
        assert found.tobytes() == expected.counts.tobytes(), source.name
        if suffix in ("cbf", "edf", "tif"):
            with fabio.open(str(output)) as image:
                np.testing.assert_array_equal(image.data, expected.counts, source.name)
        if suffix in ("edf", "tif", "img", "mccd", "spe", "npy"):
            before, after = (np.frombuffer(file.read_bytes(), np.uint8) for file in (path, output))
            assert (before != after).sum() <= filled.sum() * stack.dtype.itemsize
        for file in written:
            file.unlink()
        count += 1
    assert count >= 5
