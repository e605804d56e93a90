"""How files of filled frames are called."""

import gzip

import numpy as np
import pytest

from scattering.errors import InputError
from scattering.reading.stacks import open_stacks
from scattering.writing.paths import beside, output_paths
from tests.scattering.reading.writing import WRITERS, packed

COUNTS = np.random.default_rng(0).poisson(3000, (60, 52)).astype(np.uint16)


def test_files_of_one_name_are_told_apart(tmp_path):
    formats = {
        "x/a.edf": "edf", "y/a.edf": "edf", "x/a.npy": "npy", "y/b.0026": "0026", "y/b.0027": "0026",
        "y/c.tif": "tif", "x/GISAXS_12": "edf",
    }  # fmt: skip
    for name, suffix in formats.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        WRITERS[suffix][0](tmp_path / name, COUNTS)
    stacks = open_stacks([str(tmp_path / "x"), str(tmp_path / "y"), str(tmp_path / "x/GISAXS_12")])
    names = {
        str(stack.location.path.relative_to(tmp_path)): output.name
        for stack, output in zip(stacks, output_paths(stacks, tmp_path / "out"), strict=True)
    }
    assert names == {
        "x/a.edf": "x_a.edf", "y/a.edf": "y_a.edf", "x/a.npy": "a.npy", "y/b.0026": "b.0026.nxs",
        "y/b.0027": "b.0027.nxs", "y/c.tif": "c.tif", "x/GISAXS_12": "GISAXS_12.edf",
    }  # fmt: skip


@pytest.mark.parametrize("link", [False, True])
def test_no_file_that_is_read_is_named(link, tmp_path):
    WRITERS["edf"][0](tmp_path / "a.edf", COUNTS)
    stacks = open_stacks([str(tmp_path / "a.edf")])
    if link:
        (tmp_path / "out").symlink_to(tmp_path)
    with pytest.raises(InputError, match="place of other files"):
        output_paths(stacks, tmp_path / "out" if link else tmp_path)


def test_a_file_and_its_packed_copy_are_told_apart(tmp_path):
    """Unpacked, `a.cbf.gz` would be `a.cbf`, which is there."""
    WRITERS["cbf"][0](tmp_path / "a.cbf", COUNTS)
    packed(tmp_path / "a.cbf", gzip.compress)
    stacks = open_stacks([str(tmp_path)])
    assert [path.name for path in output_paths(stacks, tmp_path / "out")] == ["a.cbf", "a.cbf.gz.cbf"]
    with pytest.raises(InputError, match="place of other files"):
        output_paths(stacks, tmp_path)


def test_what_stands_beside_has_a_name_of_its_own(tmp_path):
    for suffix in ("edf", "tif"):
        WRITERS[suffix][0](tmp_path / f"a.{suffix}", COUNTS)
    paths = output_paths(open_stacks([str(tmp_path)]), tmp_path / "out")
    assert [path.name for path in map(beside, paths)] == ["a.edf.filled.h5", "a.tif.filled.h5"]
