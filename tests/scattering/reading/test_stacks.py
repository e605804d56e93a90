"""What files, folders, globs and paths in HDF5 files stand for, and our own layout of frames."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from scattering.calibration import UNKNOWN
from scattering.errors import InputError
from scattering.reading.pages import Stated
from scattering.reading.stacks import Location, open_stacks, read
from tests.scattering.reading.writing import WRITERS

COUNTS = np.random.default_rng(0).poisson(20, (3, 12, 10)).astype(np.int32)


def frames(*patterns) -> list:
    stacks = open_stacks([str(pattern) for pattern in patterns])
    return [recorded for stack in stacks for recorded in read(stack, range(len(stack)))]


def names(*patterns) -> list[str]:
    return [name for stack in open_stacks([str(pattern) for pattern in patterns]) for name in stack.names]


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
    "missing": (lambda path: path, "nothing there"),
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
    "invalid turned round": (with_array("invalid", np.zeros((3, 10, 12))), r"\(3, 12, 10\) and \(3, 10, 12\)"),
    "too few names": (with_array("names", ["a", "b"]), "names, got 2 for 3 frames"),
    "too many names": (with_array("names", ["a", "b", "c", "d"]), "names, got 4 for 3 frames"),
    "numbers for names": (with_array("names", [1, 2, 3]), "is damaged"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_unusable_files_are_named_in_one_line(case, tmp_path):
    make, rule = UNUSABLE[case]
    path = make(tmp_path / "unusable.h5")
    with pytest.raises(InputError, match=rule) as caught:
        frames(path)
    assert "unusable" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["names", "invalid"])
def test_folders_where_arrays_should_be_are_named_in_one_line(name, tmp_path):
    path = write(tmp_path / "unusable.h5", {"frames": COUNTS})
    with h5py.File(path, "r+") as file:
        file.create_group(name)
    with pytest.raises(InputError, match="unusable"):
        frames(path)


def test_names_that_are_no_text_in_any_encoding_are_named_in_one_line(tmp_path):
    path = write(tmp_path / "unusable.h5", {"frames": COUNTS})
    with h5py.File(path, "r+") as file:
        file["names"] = np.array([b"\xff\xfe", b"b", b"c"], dtype=h5py.string_dtype())
    with pytest.raises(InputError, match="unusable"):
        frames(path)


def test_a_frame_damaged_inside_the_file_is_named_in_one_line(tmp_path):
    path = tmp_path / "unusable.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("frames", data=COUNTS, chunks=(1, 12, 10), compression="gzip")
        place = file["frames"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[place.byte_offset : place.byte_offset + place.size] = b"\xff" * place.size
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"unusable.*is damaged") as caught:
        frames(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "dtype", ["uint8", "int16", "uint16", "int32", "uint32", "int64", "float16", "float32", "<f8", ">i4"]
)
def test_counts_of_any_number_type_are_read_as_recorded(dtype, tmp_path):
    path = write(tmp_path / "a.h5", {"frames": COUNTS.astype(dtype)})
    (stack,) = open_stacks([str(path)])
    for recorded, counts in zip(read(stack, [0, 1, 2]), COUNTS, strict=True):
        np.testing.assert_array_equal(recorded.counts, counts)
        assert recorded.counts.dtype == stack.dtype == np.dtype(dtype).newbyteorder("=")
        assert recorded[1:] == (None, None, UNKNOWN, Stated())


@pytest.mark.parametrize("one_for_all", [True, False])
def test_what_is_not_zero_in_invalid_is_invalid(one_for_all, tmp_path):
    invalid = np.zeros(COUNTS.shape, np.uint8)
    invalid[1, 7, 7], invalid[1, 8, 8] = 1, 255
    path = write(tmp_path / "a.h5", {"frames": COUNTS, "invalid": invalid[1] if one_for_all else invalid})
    for number, recorded in enumerate(frames(path)):
        np.testing.assert_array_equal(recorded.invalid, invalid[1 if one_for_all else number] > 0)


def test_simulated_frames_come_with_their_truth_and_geometry(tmp_path):
    clean, calibration = COUNTS * 0.9, np.random.default_rng(1).uniform(size=(3, 9))
    path = write(tmp_path / "a.h5", {"frames": COUNTS, "clean": clean, "calibration": calibration})
    for number, recorded in enumerate(frames(path)):
        np.testing.assert_array_equal(recorded.clean, clean[number])
        assert recorded.calibration == tuple(calibration[number])


@pytest.mark.parametrize("name", ["clean", "calibration"])
def test_truth_of_another_shape_is_refused(name, tmp_path):
    with pytest.raises(InputError, match=f"{name} must have the shape"):
        frames(write(tmp_path / "a.h5", {"frames": COUNTS, name: np.zeros((3, 5, 5))}))


def test_groups_and_categories_are_of_the_file_or_of_each_frame(tmp_path):
    (common,) = open_stacks([
        str(write(tmp_path / "a.h5", {"frames": COUNTS}, group="film 3", category="gisaxs", detector="Pilatus"))
    ])  # fmt: skip
    arrays = {"frames": COUNTS, "groups": ["a", "a", "b"], "categories": ["x", "y", "z"]}
    (each,) = open_stacks([str(write(tmp_path / "b.h5", arrays, group="no"))])
    assert (common.groups, common.categories, common.detector) == (("film 3",) * 3, ("gisaxs",) * 3, "Pilatus")
    assert (each.groups, each.categories) == (("a", "a", "b"), ("x", "y", "z"))


def test_every_frame_has_a_name_of_its_own(tmp_path):
    (tmp_path / "other").mkdir()
    path = write(tmp_path / "a.h5", {"frames": COUNTS, "names": ["x.tif", "x.tif", "y.cbf"]})
    b, c = (write(tmp_path / folder / "b.h5", {"frames": COUNTS[:1]}) for folder in (".", "other"))
    for suffix in ("cbf", "tif"):
        WRITERS[suffix][0](tmp_path / f"c.{suffix}", COUNTS[0])
    WRITERS["edf"][0](tmp_path / "d.edf", COUNTS[0])
    assert names(path, b) == ["a 0 x", "a 1 x", "a 2 y", "b 0"]
    here = tmp_path.name
    assert names(b, c, tmp_path / "?.???") == [f"{here}/b 0", f"{here}/c.cbf", f"{here}/c.tif", "d", "other/b 0"]


def test_two_frames_of_one_name_are_refused(tmp_path):
    write(tmp_path / "a.h5", {"frames": COUNTS})
    WRITERS["edf"][0](tmp_path / "a 1.edf", COUNTS[0])
    with pytest.raises(InputError, match="name of its own, got 'a 1'"):
        open_stacks([str(tmp_path)])


def test_frames_are_read_in_the_order_asked_for(tmp_path):
    (stack,) = open_stacks([str(write(tmp_path / "a.h5", {"frames": COUNTS}))])
    np.testing.assert_array_equal([recorded.counts for recorded in read(stack, [2, 0, 2])], COUNTS[[2, 0, 2]])
    with pytest.raises(InputError, match="there are 3"):
        list(read(stack, [3]))


def test_listing_reads_no_counts(tmp_path):
    # A chunk that cannot be unpacked is not noticed before it is read.
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("frames", data=COUNTS, chunks=(1, 12, 10), compression="gzip")
        place = file["frames"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[place.byte_offset : place.byte_offset + place.size] = b"\xff" * place.size
    path.write_bytes(content)
    (stack,) = open_stacks([str(path)])
    assert (len(stack), stack.shape) == (3, (12, 10))
    assert len(list(read(stack, [0, 2]))) == 2


def test_files_are_found_once_in_natural_order(tmp_path, monkeypatch):
    for name in ("scan_10.edf", "scan_2.edf", "scan_1.edf.gz"):
        WRITERS["edf"][0](tmp_path / name, COUNTS[0])
    for name in ("notes.txt", ".scan_3.edf"):
        (tmp_path / name).touch()
    (tmp_path / "deeper.edf").mkdir()
    (tmp_path / "link.edf").symlink_to(tmp_path / "scan_2.edf")
    monkeypatch.setenv("HOME", str(tmp_path))
    patterns = ["~/scan_10.edf", str(tmp_path / "scan_*"), str(tmp_path / ".." / tmp_path.name)]
    assert names(*patterns) == names(*patterns[::-1]) == ["link", "scan_1", "scan_10"]
    assert names(str(tmp_path / "scan_*")) == ["scan_1", "scan_2", "scan_10"]


def test_a_file_may_be_called_like_a_glob(tmp_path):
    for name in ("a[1].edf", "a1.edf"):
        WRITERS["edf"][0](tmp_path / name, COUNTS[0])
    assert names(tmp_path / "a[1].edf") == ["a[1]"]
    assert names(tmp_path / "a[0-9].edf") == ["a1"]


def test_arrays_and_files_are_mixed(tmp_path):
    path = write(tmp_path / "a.h5", {"one": COUNTS, "deep/two": COUNTS[None], "three": COUNTS[0]})
    WRITERS["edf"][0](tmp_path / "b.edf", COUNTS[0])
    stacks = open_stacks([f"{path}::/one", f"{path}::deep/two", f"{path}::/three", str(tmp_path / "*.edf")])
    inside = [stack.location.inside for stack in stacks]
    assert inside == ["/deep/two", "/one", "/three", ""]
    assert [len(stack) for stack in stacks] == [3, 3, 1, 1]
    assert stacks[0].location == Location(path, "/deep/two")
    for stack in stacks[:2]:
        np.testing.assert_array_equal([recorded.counts for recorded in read(stack, range(3))], COUNTS)
    assert len({name for stack in stacks for name in stack.names}) == 8


@pytest.mark.parametrize("pattern", ["none.h5", "*.nxs", ".", "a" * 300, "none.h5::/data", "~nobody/a.cbf", "a\0b"])
def test_a_pattern_that_matches_nothing_is_refused(pattern, tmp_path):
    pattern = pattern if pattern.startswith("~") else str(tmp_path / pattern)
    with pytest.raises(InputError, match=r"^frames are named by") as caught:
        open_stacks([pattern])
    assert repr(pattern.removesuffix("/.")) in str(caught.value)


def test_every_real_frame_is_listed(real):
    stacks = open_stacks([str(real[0].parent)])
    assert len(stacks) == len(real)
    assert len({name for stack in stacks for name in stack.names}) == 104
    assert all("ilatus" in stack.detector for stack in stacks if "pilatus" in stack.location.path.name)
