"""Which arrays of a NeXus file are the frames, and what goes with them."""

import h5py
import hdf5plugin
import numpy as np
import pytest

from scattering.errors import InputError
from scattering.reading.heaps import check_heaps
from scattering.reading.stacks import open_stacks, read

COUNTS = np.random.default_rng(0).poisson(20, (5, 40, 36)).astype(np.uint32)
MASK = np.zeros((40, 36), np.uint32)
MASK[3], MASK[:, 7] = 1, 1 << 8


def frames(*patterns):
    stacks = open_stacks([str(pattern) for pattern in patterns])
    return [recorded for stack in stacks for recorded in read(stack, range(len(stack)))]


def same(path, counts=COUNTS) -> bool:
    return np.array_equal([recorded.counts for recorded in frames(path)], counts)


def master(folder, parts=(2, 3), **signal):
    """Write files as Dectris' EIGER does: a master with the mask, and the frames in others."""
    path = folder / "scan_1_master.h5"
    with h5py.File(path, "w") as file:
        data = file.create_group("entry/data")
        data.attrs.update(NX_class="NXdata", **signal)
        specific = file.create_group("entry/instrument/detector/detectorSpecific")
        specific["pixel_mask"] = MASK
        specific["flatfield"] = np.ones(MASK.shape, np.float32)
        file["entry/instrument/detector/description"] = b"Dectris EIGER2 Si 4M"
        first = 0
        for number, count in enumerate(parts, 1):
            name = f"data_{number:06d}"
            with h5py.File(folder / f"scan_1_{name}.h5", "w") as other:
                other.create_dataset(
                    "entry/data/data", data=COUNTS[first : first + count], chunks=(1, 40, 36),
                    compression=hdf5plugin.Bitshuffle(cname="lz4"),
                )  # fmt: skip
            data[name] = h5py.ExternalLink(f"scan_1_{name}.h5", "/entry/data/data")
            first += count
    return path


@pytest.mark.parametrize("signal", [{}, {"signal": "data_000001"}])
def test_a_master_is_all_its_parts_in_order(signal, tmp_path):
    path = master(tmp_path, **signal)
    assert same(path)
    stacks = open_stacks([str(path)])
    assert [name for stack in stacks for name in stack.names] == [f"scan_1_master {number}" for number in range(5)]
    assert {stack.detector for stack in stacks} == {"Dectris EIGER2 Si 4M"}
    assert all(np.array_equal(recorded.invalid, MASK > 0) for recorded in frames(path))


def test_parts_beside_their_master_are_read_once(tmp_path):
    master(tmp_path)
    assert same(tmp_path)
    assert same(tmp_path / "*.h5")
    assert all(recorded.invalid is not None for recorded in frames(tmp_path))


def test_a_part_that_is_missing_is_named(tmp_path):
    path = master(tmp_path)
    (tmp_path / "scan_1_data_000002.h5").unlink()
    stacks = open_stacks([str(path)])
    assert [name for stack in stacks for name in stack.missing] == ["scan_1_data_000002.h5"]
    assert sum(map(len, stacks)) == 2
    (tmp_path / "scan_1_data_000001.h5").unlink()
    with pytest.raises(InputError, match=r"scan_1_data_000001\.h5.*not there"):
        open_stacks([str(path)])


def test_a_source_that_holds_less_than_is_taken_from_it_is_named(tmp_path):
    """HDF5 would give zeros, without an error."""
    for name, taken in (("counts", 5), ("renamed", 2)):
        layout = h5py.VirtualLayout((taken, *COUNTS.shape[1:]), COUNTS.dtype)
        layout[:] = h5py.VirtualSource("part.h5", name, (taken, *COUNTS.shape[1:]))
        with h5py.File(tmp_path / f"{name}.nxs", "w") as file:
            file.create_virtual_dataset("entry/data/data", layout)
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["counts"] = COUNTS[:2]
    with pytest.raises(InputError, match=r"part\.h5::counts.*less than"):
        open_stacks([str(tmp_path / "counts.nxs")])
    with pytest.raises(InputError, match=r"part\.h5::renamed.*not there"):
        open_stacks([str(tmp_path / "renamed.nxs")])


def test_sources_are_found_by_numbered_names_and_in_the_folder_of_hdf5(tmp_path, monkeypatch):
    (tmp_path / "parts").mkdir()
    for number in range(2):
        with h5py.File(tmp_path / "parts" / f"part_{number}.h5", "w") as file:
            file["counts"] = COUNTS[2 * number : 2 * number + 2]
    layout = h5py.VirtualLayout((4, *COUNTS.shape[1:]), COUNTS.dtype)
    for number in range(2):
        layout[2 * number : 2 * number + 2] = h5py.VirtualSource(
            f"part_{number}.h5", "counts", (2, *COUNTS.shape[1:])
        )
    with h5py.File(tmp_path / "all.nxs", "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    with pytest.raises(InputError, match=r"part_0\.h5.*missing"):
        open_stacks([str(tmp_path / "all.nxs")])
    monkeypatch.setenv("HDF5_VDS_PREFIX", str(tmp_path / "parts"))
    assert [len(stack) for stack in open_stacks([str(tmp_path / "all.nxs")])] == [4]


def test_a_virtual_data_set_is_read_once_and_misses_its_files(tmp_path):
    master(tmp_path)
    (tmp_path / "scan_1_master.h5").unlink()
    layout = h5py.VirtualLayout(COUNTS.shape, COUNTS.dtype)
    layout[:2] = h5py.VirtualSource("scan_1_data_000001.h5", "/entry/data/data", (2, 40, 36))
    layout[2:] = h5py.VirtualSource("scan_1_data_000002.h5", "/entry/data/data", (3, 40, 36))
    with h5py.File(tmp_path / "all.nxs", "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    assert same(tmp_path)
    (tmp_path / "scan_1_data_000002.h5").unlink()
    with pytest.raises(InputError, match=r"scan_1_data_000002\.h5.*missing"):
        open_stacks([str(tmp_path / "all.nxs")])


def write(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array
    return path


def test_the_default_plot_wins(tmp_path):
    path = write(tmp_path / "a.nxs", a__data__x=COUNTS, b__data__x=COUNTS + 1, b__data__y=COUNTS)
    with h5py.File(path, "r+") as file:
        for place, attributes in {
            "/": {"default": "b"}, "b": {"default": "data"}, "b/data": {"NX_class": "NXdata", "signal": "x"},
            "a/data": {"NX_class": "NXdata", "signal": "x"},
        }.items():  # fmt: skip
            file[place].attrs.update(attributes)
    assert same(path, COUNTS + 1)
    assert same(f"{path}::/b/data/y")


def test_defaults_in_a_circle_end(tmp_path):
    path = write(tmp_path / "a.nxs", a__b__x=COUNTS)
    with h5py.File(path, "r+") as file:
        file["a/b/up"] = h5py.SoftLink("/a")
        file.attrs["default"], file["a"].attrs["default"], file["a/b"].attrs["default"] = "a", "b", "up"
    assert same(path)


def test_the_old_way_to_name_a_signal(tmp_path):
    path = write(tmp_path / "a.nxs", entry__data__x=COUNTS, entry__data__errors=COUNTS + 1)
    with h5py.File(path, "r+") as file:
        file["entry/data"].attrs["NX_class"] = "NXdata"
        file["entry/data/x"].attrs["signal"] = 1
    assert same(path)


def test_one_array_under_two_names_is_one(tmp_path):
    path = write(tmp_path / "a.h5", entry__instrument__detector__data=COUNTS)
    with h5py.File(path, "r+") as file:
        file["elsewhere"] = file["entry/instrument/detector/data"]
    assert same(path)
    assert len(frames(path, f"{path}::/elsewhere")) == len(COUNTS)


def test_the_only_image_is_taken_and_small_arrays_and_masks_are_none(tmp_path):
    path = write(tmp_path / "a.h5", x=COUNTS, angles=np.zeros(5), matrix=np.eye(3), det__pixel_mask=MASK)
    assert same(path)


def test_several_arrays_are_listed_to_choose_from(tmp_path):
    path = write(tmp_path / "a.h5", x=COUNTS, y=COUNTS)
    with pytest.raises(InputError, match="2 arrays that could be the frames") as caught:
        open_stacks([str(path)])
    assert f"{path}::/x, {path}::/y" in str(caught.value)


@pytest.mark.parametrize("place", ["entry/data/pixel_mask", "entry/instrument/pilatus/pixel_mask",
                                   "entry/instrument/pilatus/detectorSpecific/pixel_mask"])  # fmt: skip
@pytest.mark.parametrize("each", [True, False])
def test_masks_are_found(place, each, tmp_path):
    masks = np.stack([np.roll(MASK, number) for number in range(5)])
    path = write(tmp_path / "a.h5", entry__data__data=COUNTS)
    with h5py.File(path, "r+") as file:
        file[place] = masks if each else MASK
        file["entry/instrument/other/pixel_mask"] = np.ones((7, 7), np.uint32)
    for number, recorded in enumerate(frames(path)):
        np.testing.assert_array_equal(recorded.invalid, (masks[number] if each else MASK) > 0)


def test_all_masks_hold_together(tmp_path):
    path = write(tmp_path / "a.h5", entry__data__data=COUNTS, entry__instrument__detector__pixel_mask=MASK)
    others = [np.roll(MASK, number + 1).astype(kind) for number, kind in enumerate(("uint8", "int64", "bool"))]
    with h5py.File(path, "r+") as file:
        for number, other in enumerate(others):
            file[f"entry/instrument/detector/pixel_mask_{number + 2}"] = other
        file["entry/data/pixel_mask_7"] = np.roll(MASK, 9)
    expected = np.logical_or.reduce([MASK, np.roll(MASK, 9), *others])
    np.testing.assert_array_equal(frames(path)[4].invalid, expected)


@pytest.mark.parametrize("kind", ["uint32", "int32", "uint64"])
def test_bits_that_only_tell_of_a_pixel_do_not_leave_it_out(kind, tmp_path):
    """The upper ones: bit 31 says that counts were interpolated where chips meet."""
    bits = np.zeros((40, 36), np.uint64)
    bits[0, :32] = 1 << np.arange(32, dtype=np.uint64)
    bits[1, 0] = 1 << 31 | 1 << 1
    path = write(tmp_path / "a.h5", entry__data__data=COUNTS, entry__data__pixel_mask=bits.astype(kind))
    expected = np.zeros((40, 36), bool)
    expected[0, :16] = expected[1, 0] = True
    np.testing.assert_array_equal(frames(path)[0].invalid, expected)


def channels(path, named=True):
    """Write frames of two thresholds and their difference, as Dectris' FileWriter2 does; return what is invalid."""
    masks = {name: np.roll(MASK, number) for number, name in enumerate(("threshold_2", "threshold_1", "difference"))}
    with h5py.File(path, "w") as file:
        data = file.create_group("entry/data")
        data["data"] = np.stack([COUNTS + number for number in range(3)], axis=1)
        data.attrs.update(NX_class="NXdata", signal="data", axes=["image_id", "channel", ".", "."])
        if named:
            data["channel"] = list(masks)
        detector = file.create_group("entry/instrument/detector")
        for number, (name, mask) in enumerate(masks.items()):
            detector[f"{name}_channel/pixel_mask"] = mask
            detector[f"{name}_channel/saturation_value"] = 1000 + number
    return [mask > 0 for mask in masks.values()]


def test_each_channel_has_its_own_mask_and_saturation(tmp_path):
    expected = channels(tmp_path / "a.h5")
    for number, recorded in enumerate(frames(tmp_path / "a.h5")):
        np.testing.assert_array_equal(recorded.counts, COUNTS[number // 3] + number % 3)
        np.testing.assert_array_equal(recorded.invalid, expected[number % 3])
        assert recorded.stated.largest == 1000 + number % 3


def test_masks_that_cannot_be_used_are_told(tmp_path):
    channels(tmp_path / "a.h5", named=False)
    (stack,) = open_stacks([str(tmp_path / "a.h5")])
    assert "which of the channels difference, threshold_1, threshold_2" in stack.unclear[0]
    assert frames(tmp_path / "a.h5")[0].invalid is None
    path = write(tmp_path / "b.h5", entry__data__data=COUNTS, entry__data__pixel_mask=MASK[1:])
    (stack,) = open_stacks([str(path)])
    assert "/entry/data/pixel_mask of shape 39 x 36 does not fit" in stack.unclear[0]


@pytest.mark.parametrize(
    ("name", "kept"), [("saturation_value", 20), ("detectorSpecific/countrate_correction_count_cutoff", 20)]
)
def test_the_largest_valid_count_is_read(name, kept, tmp_path):
    path = write(tmp_path / "a.h5", entry__data__data=COUNTS, **{f"entry/instrument/detector/{name}": kept})
    assert frames(path)[0].stated.largest == kept
    assert frames(path)[0].invalid is None


def test_counts_below_the_least_one_and_numbers_for_no_data_are_none(tmp_path):
    path = write(tmp_path / "a.h5", entry__data__data=COUNTS.astype(int), entry__instrument__x__underload_value=12)
    with h5py.File(path, "r+") as file:
        file["entry/data/data"].attrs["_FillValue"] = 20
    np.testing.assert_array_equal(frames(path)[1].invalid, (COUNTS[1] < 12) | (COUNTS[1] == 20))


def test_our_own_layout_has_no_other_mask(tmp_path):
    assert frames(write(tmp_path / "a.h5", frames=COUNTS, other=COUNTS))[0].invalid is None


def test_plots_of_one_array_are_one(tmp_path):
    path = write(tmp_path / "a.nxs", entry__detector__data=COUNTS)
    with h5py.File(path, "r+") as file:
        for name in ("first", "second"):
            file[f"entry/{name}/data"] = file["entry/detector/data"]
            file[f"entry/{name}"].attrs.update(NX_class="NXdata", signal="data")
    assert same(path)


def detectors(path, link) -> list[str]:
    """Write two detectors of one shape; the plot shows the second. Returns what is said of it."""
    with h5py.File(path, "w") as file:
        for name in ("far", "near"):
            group = file.create_group(f"entry/instrument/{name}")
            group["data"] = COUNTS + (name == "near")
            group["pixel_mask"] = np.roll(MASK, name == "near")
            group["description"] = name
        file["entry/data/data"] = link(file)
    return [stack.detector for stack in open_stacks([str(path)])]


@pytest.mark.parametrize(
    "link",
    [lambda file: file["entry/instrument/near/data"], lambda _: h5py.SoftLink("/entry/instrument/near/data")],
    ids=["hard", "soft"],
)
def test_of_two_detectors_of_one_shape_the_one_whose_data_are_read_is_meant(link, tmp_path):
    assert detectors(tmp_path / "a.nxs", link) == ["near"]
    assert same(tmp_path / "a.nxs", COUNTS + 1)
    assert all(np.array_equal(recorded.invalid, np.roll(MASK, 1) > 0) for recorded in frames(tmp_path / "a.nxs"))


def test_where_several_detectors_could_be_meant_none_is(tmp_path):
    assert detectors(tmp_path / "a.nxs", lambda _: COUNTS) == [""]
    assert all(recorded.invalid is None for recorded in frames(tmp_path / "a.nxs"))


def test_attributes_may_be_arrays_of_one(tmp_path):
    path = write(tmp_path / "a.nxs", a__data__x=COUNTS, b__data__x=COUNTS + 1)
    with h5py.File(path, "r+") as file:
        file.attrs["default"], file["b"].attrs["default"] = [b"b"], np.array(["data"], h5py.string_dtype())
        for place in ("a/data", "b/data"):
            file[place].attrs.update(NX_class=[b"NXdata"], signal=[b"x"])
    assert same(path, COUNTS + 1)


def test_a_group_called_frames_is_not_our_layout(tmp_path):
    assert same(write(tmp_path / "a.nxs", frames__detector=COUNTS))


def test_a_mask_of_all_frames_is_read_once(tmp_path, monkeypatch):
    path = write(tmp_path / "a.h5", frames=COUNTS, invalid=MASK)
    got, take = [], h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, *args: got.append(self.name) or take(self, *args))
    assert all(np.array_equal(recorded.invalid, MASK > 0) for recorded in frames(path))
    assert got.count("/invalid") == 1


@pytest.mark.parametrize("mark", [b"gapsearch dataset 3", "gapsearch dataset 1"])
def test_a_prepared_data_set_is_refused(mark, tmp_path):
    path = write(tmp_path / "a.h5", images=COUNTS)
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = np.bytes_(mark) if isinstance(mark, bytes) else mark
    with pytest.raises(InputError, match="was prepared already: give it alone"):
        open_stacks([str(path)])


def test_large_files_are_not_searched_for_heaps(tmp_path):
    path = write(tmp_path / "a.h5", frames=np.zeros((300, 100, 300), np.uint16))
    # A heap of size 0, among the counts of a file of 18 MB.
    content = bytearray(path.read_bytes())
    content[-1000:-960] = b"GCOL\x01\0\0\0" + (64).to_bytes(8, "little") + b"\0\0" + bytes(22)
    path.write_bytes(content)
    check_heaps(path)
    path.write_bytes(content[-2000:])
    with pytest.raises(ValueError, match="damaged"):
        check_heaps(path)
