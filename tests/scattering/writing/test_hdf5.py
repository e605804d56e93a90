"""HDF5: the copy keeps all but what was filled; what lies in other files is left alone."""

import h5py
import hdf5plugin
import numpy as np
import pytest

from scattering.reading.stacks import open_stacks, read
from scattering.writing.paths import output_paths
from scattering.writing.stacks import write_filled
from tests.scattering.writing.filling import NOTE, fill, frames, gaps, process, written

COUNTS = np.random.default_rng(0).poisson(20, (5, 40, 36)).astype(np.uint32)
GAP = np.zeros((40, 36), np.bool_)
GAP[20], GAP[:, 12] = True, True
DEAD = np.zeros((40, 36), np.bool_)
DEAD[3, 4] = True


def recorded(path) -> list:
    (stack,) = open_stacks([str(path)])
    return list(read(stack, range(len(stack))))


def unfilled(stack, numbers):
    """Fill the gap of some of the frames only."""
    for number, frame in enumerate(fill(stack, GAP)):
        if number in numbers:
            yield frame
        else:
            (source,) = read(stack, [number])
            nothing = np.zeros_like(frame.filled)
            yield frame._replace(counts=source.counts, filled=nothing, note={"why": "no counts"})


def others(path) -> dict:
    """Return all that a file holds but frames, masks and what was filled."""
    found = {}

    def visit(name, node):
        if "gapsearch" not in name and name.rsplit("/")[-1] not in ("frames", "data", "invalid", "pixel_mask"):
            found[name] = (
                dict(node.attrs),
                np.asarray(node[()]).tolist() if isinstance(node, h5py.Dataset) else None,
            )

    with h5py.File(path) as file:
        found["/"] = dict(file.attrs)
        file.visititems(visit)
    return found


def nexus(path, mask=None, **options):
    with h5py.File(path, "w") as file:
        file.attrs["default"] = "entry"
        entry = file.create_group("entry")
        entry.attrs.update(NX_class="NXentry", default="data")
        entry["title"] = "Bär"
        detector = entry.create_group("instrument/detector")
        detector["description"], detector["x_pixel_size"] = "EIGER2 1M", 75e-6
        detector["x_pixel_size"].attrs["units"] = "m"
        detector.create_dataset("data", data=COUNTS, **options)
        if mask is not None:
            detector["pixel_mask"] = mask
        data = entry.create_group("data")
        data.attrs.update(NX_class="NXdata", signal="data")
        data["data"] = h5py.SoftLink("/entry/instrument/detector/data")


@pytest.mark.parametrize("kind", ["uint8", "bool", "float32", ">i8"])
def test_our_own_layout_keeps_all_but_gaps(kind, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["detector"] = "PILATUS"
        file.create_dataset("frames", data=COUNTS, chunks=(2, 40, 36), compression="gzip", fletcher32=True)
        file.create_dataset("invalid", data=np.broadcast_to(GAP | DEAD, COUNTS.shape).astype(kind))
        file["names"], file["groups"] = [f"n{number}" for number in range(5)], ["x"] * 5
    (stack,) = open_stacks([str(tmp_path / "a.h5")])
    write_filled(stack, tmp_path / "b.h5", unfilled(stack, [0, 3]), NOTE)
    for number, frame in enumerate(recorded(tmp_path / "b.h5")):
        np.testing.assert_array_equal(frame.invalid, DEAD if number in (0, 3) else DEAD | GAP)
        np.testing.assert_array_equal(frame.counts != COUNTS[number], GAP & (frame.counts != COUNTS[number]))
    assert others(tmp_path / "b.h5") == others(tmp_path / "a.h5")
    with h5py.File(tmp_path / "b.h5") as file:
        found = file["frames"]
        assert (found.chunks, found.compression, found.fletcher32) == ((2, 40, 36), "gzip", True)
        assert file["gapsearch"].attrs["NX_class"] == "NXprocess"


@pytest.mark.parametrize("numbers", [range(5), [0, 3, 4]])
def test_a_mask_of_all_frames_opens_where_all_were_filled(numbers, tmp_path):
    nexus(tmp_path / "a.nxs", (GAP | 256 * DEAD.astype(np.uint32)).astype(np.uint32))
    (stack,) = open_stacks([str(tmp_path / "a.nxs")])
    write_filled(stack, tmp_path / "b.nxs", unfilled(stack, numbers), NOTE)
    for frame in recorded(tmp_path / "b.nxs"):
        np.testing.assert_array_equal(frame.invalid, DEAD if len(numbers) == 5 else DEAD | GAP)
    with h5py.File(tmp_path / "b.nxs") as file:
        assert file["entry/instrument/detector/pixel_mask"][3, 4] == 256
        assert isinstance(file["entry/data"].get("data", getlink=True), h5py.SoftLink)
        assert "gapsearch" in file["entry"]
    assert others(tmp_path / "b.nxs") == others(tmp_path / "a.nxs")


@pytest.mark.parametrize("virtual", [False, True])
def test_masks_of_channels_open_where_all_frames_of_the_channel_were_filled(virtual, tmp_path):
    counts = np.stack([COUNTS, COUNTS + 1], axis=1)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data, detector = file.create_group("entry/data"), file.create_group("entry/instrument/detector")
        data.attrs.update(NX_class="NXdata", signal="data", axes=["image_id", "channel", ".", "."])
        data["channel"] = ["low", "high"]
        file["raw"] = counts
        if virtual:
            layout = h5py.VirtualLayout(counts.shape, counts.dtype)
            layout[...] = h5py.VirtualSource(".", "raw", counts.shape)
            data.create_virtual_dataset("data", layout)
        else:
            data["data"] = counts
        detector["low_channel/pixel_mask"] = (GAP | DEAD).astype(np.uint32)
        detector["high_channel/pixel_mask"] = GAP.astype(np.uint32)
    (stack,) = open_stacks([str(tmp_path / "a.h5")])
    write_filled(stack, tmp_path / "b.h5", unfilled(stack, [0, 2, 4, 5, 6, 8]), NOTE)
    for number, frame in enumerate(recorded(tmp_path / "b.h5")):
        masked = (number % 2 == 1 and (not virtual or number != 5)) * GAP
        np.testing.assert_array_equal(frame.invalid, masked | DEAD if number % 2 == 0 else masked)


@pytest.mark.parametrize(
    "codec", [hdf5plugin.Bitshuffle(), hdf5plugin.LZ4(), hdf5plugin.Blosc(), {"compression": "lzf"}]
)
def test_filters_of_detectors_stay(codec, tmp_path):
    nexus(tmp_path / "a.h5", chunks=(1, 40, 36), **codec)
    _, expected, _ = written(tmp_path / "a.h5", tmp_path / "b.h5")
    np.testing.assert_array_equal(frames(tmp_path / "b.h5"), [frame.counts for frame in expected])
    filters = [h5py.File(tmp_path / name)["entry/data/data"]._filters for name in ("a.h5", "b.h5")]
    assert filters[0] == filters[1]


def test_counts_that_filters_round_are_written_anew(tmp_path):
    counts = COUNTS + np.float32(0.123456)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("frames", data=counts, chunks=(1, 40, 36), scaleoffset=2)
    _, expected, _ = written(tmp_path / "a.h5", tmp_path / "b.h5")
    np.testing.assert_array_equal(frames(tmp_path / "b.h5"), [frame.counts for frame in expected])
    assert "entry" in h5py.File(tmp_path / "b.h5")


def master(folder, kind) -> list:
    """Write a file whose counts lie in others, as detectors' control does; return all but the master."""
    parts = [folder / f"scan_data_{number:06d}.h5" for number in (1, 2)]
    for path, part in zip(parts, (COUNTS[:3], COUNTS[3:]), strict=True):
        with h5py.File(path, "w") as file:
            file["entry/data/data"] = part
    nexus(folder / "scan_master.h5", (GAP | DEAD).astype(np.uint32))
    with h5py.File(folder / "scan_master.h5", "r+") as file:
        del file["entry/data/data"], file["entry/instrument/detector/data"]
        data = file["entry/data"]
        if kind == "external":
            data.attrs["signal"] = "data_000001"
            for number, path in enumerate(parts, 1):
                data[f"data_{number:06d}"] = h5py.ExternalLink(path.name, "/entry/data/data")
        elif kind == "virtual":
            layout = h5py.VirtualLayout(COUNTS.shape, COUNTS.dtype)
            layout[:3] = h5py.VirtualSource(parts[0].name, "/entry/data/data", (3, 40, 36))
            layout[3:] = h5py.VirtualSource(parts[1].name, "/entry/data/data", (2, 40, 36))
            data.create_virtual_dataset("data", layout)
        else:
            raw = folder / "scan.raw"
            raw.write_bytes(COUNTS.tobytes())
            data.create_dataset("data", COUNTS.shape, COUNTS.dtype, external=[(raw.name, 0, COUNTS.nbytes)])
            parts.append(raw)
    return parts


@pytest.mark.parametrize("kind", ["external", "virtual", "raw"])
def test_other_files_are_left_alone(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where HDF5 looks for raw files
    parts = master(tmp_path, kind)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    stacks = open_stacks([str(tmp_path / "scan_master.h5")])
    # In the folder of the sources, where links lead to them.
    outputs = [tmp_path / f"filled_{path.name}" for path in output_paths(stacks, tmp_path / "out")]
    for stack, output in zip(stacks, outputs, strict=True):
        assert write_filled(stack, output, fill(stack, GAP), NOTE) == [output]
    assert {path: path.read_bytes() for path in before} == before
    assert len(parts) >= 2
    assert [path.name for path in outputs] == (
        [f"filled_scan_master_data_00000{number}.h5" for number in (1, 2)]
        if kind == "external"
        else ["filled_scan_master.h5"]
    )
    expected = [frame.counts for stack in stacks for frame in fill(stack, GAP)]
    np.testing.assert_array_equal(frames(*outputs), expected)
    for output in outputs:
        assert open_stacks([str(output)])[0].detector == "EIGER2 1M"
        np.testing.assert_array_equal(recorded(output)[0].invalid, DEAD)
        with h5py.File(output) as file:
            assert file["entry/instrument/detector/x_pixel_size"].attrs["units"] == "m"
            assert file["entry/data/data"] == file["entry/instrument/detector/data"]
            assert not file["entry/data/data"].is_virtual


def test_a_file_that_links_to_itself_by_name_is_not_taken_for_its_copy(tmp_path):
    """In the folder of the copy, the name is another file's."""
    nexus(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["entry/data/data"]
        file["entry/data/data"] = h5py.ExternalLink("a.h5", "/entry/instrument/detector/data")
    out = tmp_path / "out"
    out.mkdir()
    nexus(out / "a.h5")
    before = (tmp_path / "a.h5").read_bytes(), (out / "a.h5").read_bytes()
    _, expected, _ = written(tmp_path / "a.h5", out / "b.h5")
    assert before == ((tmp_path / "a.h5").read_bytes(), (out / "a.h5").read_bytes())
    np.testing.assert_array_equal(frames(out / "b.h5"), [frame.counts for frame in expected])
    (out / "a.h5").unlink()
    written(tmp_path / "a.h5", out / "c.h5")
    np.testing.assert_array_equal(frames(out / "c.h5"), [frame.counts for frame in expected])


def test_an_array_named_by_its_path_is_filled_where_it_is(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x/first"], file["x/second"] = COUNTS.reshape(1, 5, 40, 36), COUNTS.astype(">f8") + 0.5
    stacks = open_stacks([f"{tmp_path / 'a.h5'}::/x/{name}" for name in ("first", "second")])
    outputs = output_paths(stacks, tmp_path / "out")
    assert [path.name for path in outputs] == ["a_first.h5", "a_second.h5"]
    for stack, output, name in zip(stacks, outputs, ("first", "second"), strict=True):
        write_filled(stack, output, fill(stack), NOTE)
        np.testing.assert_array_equal(frames(f"{output}::/x/{name}"), [frame.counts for frame in fill(stack)])
        with h5py.File(output) as file, h5py.File(tmp_path / "a.h5") as before:
            other = {"first": "second", "second": "first"}[name]
            np.testing.assert_array_equal(file[f"x/{other}"], before[f"x/{other}"])
            assert file[f"x/{name}"].dtype == before[f"x/{name}"].dtype


def test_what_was_filled_is_not_taken_for_frames(tmp_path):
    """A file without any hint which array is meant."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["scan/images"] = COUNTS
    _, expected, _ = written(tmp_path / "a.h5", tmp_path / "b.h5")
    np.testing.assert_array_equal(frames(tmp_path / "b.h5"), [frame.counts for frame in expected])


def test_frames_are_filled_again(tmp_path):
    nexus(tmp_path / "a.h5")
    written(tmp_path / "a.h5", tmp_path / "b.h5")
    written(tmp_path / "b.h5", tmp_path / "c.h5")
    with h5py.File(tmp_path / "c.h5") as file:
        assert [file[f"entry/{name}/sequence_index"][()] for name in ("gapsearch", "gapsearch_2")] == [1, 2]


def test_single_frames(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = COUNTS[0]
    _, (frame,), _ = written(f"{tmp_path / 'a.h5'}::/x", tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5") as file:
        np.testing.assert_array_equal(file["x"], frame.counts)
    np.testing.assert_array_equal(process(tmp_path / "b.h5")["filled"], [gaps((40, 36))])
