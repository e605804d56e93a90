from pathlib import Path

import h5py
import numpy as np
import pytest

from scattering.errors import InputError
from scattering.formats import find_files, frame_shapes, read_frames

REAL = Path(__file__).parents[2] / ".." / "shared" / "frames"
COUNTS = np.random.default_rng(0).poisson(20, (3, 12, 10)).astype(np.int32)


def write(path: Path, arrays: dict, **attributes) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        file.attrs.update(attributes)
    return path


def truncated(path: Path, share: float) -> Path:
    write(path, {"frames": np.zeros((50, 40, 40))})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    return path


def text(path: Path) -> Path:
    path.write_text("frame,counts\n1,2\n")
    return path


def group_called_frames(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.create_group("frames")
    return path


def with_array(name: str, array) -> object:
    return lambda path: write(path, {"frames": COUNTS, name: array})


def of_frames(frames) -> object:
    return lambda path: write(path, {"frames": frames})


UNUSABLE = {
    "text": (text, "as HDF5"),
    "empty file": (lambda path: path.touch() or path, "as HDF5"),
    "cut to a half": (lambda path: truncated(path, 0.5), "as HDF5"),
    "cut to a tenth": (lambda path: truncated(path, 0.1), "as HDF5"),
    "missing": (lambda path: path, "as HDF5"),
    "nothing in it": (lambda path: write(path, {}), "must hold `frames`"),
    "frames under another name": (lambda path: write(path, {"images": COUNTS}), "must hold `frames`"),
    "a folder called frames": (group_called_frames, "must hold `frames`"),
    "no frame": (of_frames(np.zeros((0, 12, 10))), r"got \(0, 12, 10\)"),
    "no rows": (of_frames(np.zeros((3, 0, 10))), r"got \(3, 0, 10\)"),
    "one bare frame": (of_frames(COUNTS[0]), r"got \(12, 10\)"),
    "four axes": (of_frames(COUNTS[None]), r"got \(1, 3, 12, 10\)"),
    "a number": (of_frames(3.0), r"got \(\)"),
    "text for counts": (of_frames(np.full((2, 3, 4), b"12")), "must be numbers"),
    "complex counts": (of_frames(COUNTS * 1j), "must be numbers"),
    "invalid of one frame": (with_array("invalid", np.zeros((12, 10))), r"\(3, 12, 10\) and \(12, 10\)"),
    "invalid turned round": (with_array("invalid", np.zeros((3, 10, 12))), r"\(3, 12, 10\) and \(3, 10, 12\)"),
    "too few names": (with_array("names", ["a", "b"]), "got 2 names for 3 frames"),
    "too many names": (with_array("names", ["a", "b", "c", "d"]), "got 4 names for 3 frames"),
    "numbers for names": (with_array("names", [1, 2, 3]), "is damaged"),
    "only NaN": (of_frames(np.full((2, 4, 4), np.nan)), "needs valid counts"),
    "only infinity": (of_frames(np.full((2, 4, 4), np.inf)), "needs valid counts"),
    "only negative": (of_frames(np.full((2, 4, 4), -1)), "needs valid counts"),
    "all invalid": (with_array("invalid", np.ones((3, 12, 10))), "needs valid counts"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_files_are_named_in_one_line(case, tmp_path):
    make, rule = UNUSABLE[case]
    path = make(tmp_path / "unusable.h5")
    with pytest.raises(InputError, match=rule) as caught:
        list(read_frames(path))
    assert "unusable" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["names", "invalid"])
def test_folders_where_arrays_should_be_are_named_in_one_line(name, tmp_path):
    path = write(tmp_path / "unusable.h5", {"frames": COUNTS})
    with h5py.File(path, "r+") as file:
        file.create_group(name)
    with pytest.raises(InputError, match="unusable"):
        list(read_frames(path))


def test_names_that_are_no_text_in_any_encoding_are_named_in_one_line(tmp_path):
    path = write(tmp_path / "unusable.h5", {"frames": COUNTS})
    with h5py.File(path, "r+") as file:
        file["names"] = np.array([b"\xff\xfe", b"b", b"c"], dtype=h5py.string_dtype())
    with pytest.raises(InputError, match="unusable"):
        list(read_frames(path))


def test_a_frame_damaged_inside_the_file_is_named_in_one_line(tmp_path):
    path = tmp_path / "unusable.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("frames", data=COUNTS, chunks=(1, 12, 10), compression="gzip")
        place = file["frames"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[place.byte_offset : place.byte_offset + place.size] = b"\xff" * place.size
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"unusable.*is damaged") as caught:
        list(read_frames(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "int32", "uint32", "int64", "float16", "float32", "<f8", ">i4"]
)
def test_counts_of_any_number_type_are_read_as_recorded(dtype, tmp_path):
    path = write(tmp_path / "a.h5", {"frames": COUNTS.astype(dtype)})
    for read, recorded in zip(read_frames(path), COUNTS, strict=True):
        np.testing.assert_array_equal(read.counts, recorded)
        assert read.valid.all()


def test_negative_infinite_and_marked_counts_are_invalid(tmp_path):
    frames = COUNTS.astype(np.float32)
    frames[1, :5, 0] = -1, -2, np.nan, np.inf, -np.inf
    invalid = np.zeros(frames.shape, np.uint8)
    invalid[1, 7, 7] = 1
    invalid[1, 8, 8] = 255
    expected = np.ones(frames.shape[1:], bool)
    expected[:5, 0] = expected[7, 7] = expected[8, 8] = False
    read = list(read_frames(write(tmp_path / "a.h5", {"frames": frames, "invalid": invalid})))
    np.testing.assert_array_equal(read[1].valid, expected)
    assert read[0].valid.all()


def test_zero_counts_are_valid(tmp_path):
    (frame,) = read_frames(write(tmp_path / "a.h5", {"frames": np.zeros((1, 4, 4), np.uint16)}))
    assert frame.valid.all()


def test_a_file_is_a_group_unless_it_names_one(tmp_path):
    plain = list(read_frames(write(tmp_path / "series_7.h5", {"frames": COUNTS})))
    named = list(read_frames(write(tmp_path / "b.h5", {"frames": COUNTS}, group="film 3", category="gisaxs")))
    assert {(frame.group, frame.category) for frame in plain} == {("series_7", "")}
    assert {(frame.group, frame.category) for frame in named} == {("film 3", "gisaxs")}


def test_every_frame_has_a_name_of_its_own(tmp_path):
    path = write(tmp_path / "a.h5", {"frames": COUNTS, "names": ["x.tif", "x.tif", "y.cbf"]})
    assert [frame.name for frame in read_frames(path)] == ["a 0 x", "a 1 x", "a 2 y"]
    assert [frame.name for frame in read_frames(write(tmp_path / "b.h5", {"frames": COUNTS}))] == [
        "b 0",
        "b 1",
        "b 2",
    ]


def test_shapes_are_known_without_reading(tmp_path):
    assert frame_shapes(write(tmp_path / "a.h5", {"frames": COUNTS})) == [(12, 10)] * 3


def test_files_are_found_once_and_sorted(tmp_path):
    for name in ("b.h5", "a.h5", "c.txt"):
        (tmp_path / name).touch()
    patterns = [str(tmp_path), str(tmp_path / "*.h5"), str(tmp_path / "b.h5")]
    assert find_files(patterns) == [tmp_path / "a.h5", tmp_path / "b.h5"]


@pytest.mark.parametrize("pattern", ["none.h5", "*.nxs", "."])
def test_a_pattern_that_matches_nothing_is_refused(pattern, tmp_path):
    with pytest.raises(InputError, match="nothing there") as caught:
        find_files([str(tmp_path / pattern)])
    assert str(tmp_path / pattern) in str(caught.value)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real detector frames are not part of the repository")
def test_every_real_frame_is_read():
    read = [frame for path in find_files([str(REAL)]) for frame in read_frames(path)]
    assert len(read) == 104
    assert len({frame.name for frame in read}) == 104
    assert all(frame.valid.any() and frame.valid.shape == frame.counts.shape for frame in read)
