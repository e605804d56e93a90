"""The command on small files of every format: what is filled, what is said of it, what is refused."""

from __future__ import annotations

import bz2
import gzip
import json
import pickle
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from scattering.reading.stacks import open_stacks, read
from scattering.writing.stacks import WRITABLE, beside
from search import inpaint
from tests.conftest import striped_detector
from tests.effort import SEED, tries
from tests.gpu import simulated
from tests.scattering.reading.fuzzing import CHANGES
from tests.scattering.reading.writing import WRITERS, packed
from tests.scattering.writing.filling import process

GAP = striped_detector().gap
UNSIGNED = {"mccd": np.uint16, "mar2300": np.uint32, "sfrm": np.int32, "0026": np.int32, "mpa": np.int32}
"""Formats that hold no negative numbers: nothing in them tells a gap from pixels without photons."""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(model_path, tmp_path, monkeypatch, capsys) -> Run:
    """Run the command with the small model, in a folder of its own: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def fill(*arguments: str | Path) -> tuple[int, str, str]:
        code = inpaint.main([str(model_path), *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return fill


def counts_in(path: Path) -> list[np.ndarray]:
    return [recorded.counts for stack in open_stacks([str(path)]) for recorded in read(stack, range(len(stack)))]


def is_filled(source: np.ndarray, filled: np.ndarray) -> None:
    """Check that gaps hold counts, and that all else is the same bit for bit."""
    assert filled.dtype == source.dtype
    assert filled[~GAP].tobytes() == source[~GAP].tobytes()
    assert np.isfinite(filled[GAP]).all()
    assert (filled[GAP] >= 0).all()
    # Rings of 10 to 500 counts: what stands in the gaps is about what stands beside them.
    assert 0.5 < filled[GAP].mean() / source[~GAP].mean() < 2


def refused(run: Run, *arguments: str | Path) -> str:
    """Check that the command refuses with one line and writes nothing; returns the line."""
    before = files()
    code, _, said = run(*arguments)
    assert code == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert files() == before
    return said


def files() -> list[Path]:
    """All files here and below."""
    return sorted(path for path in Path().rglob("*") if path.is_file())


@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_every_format_is_filled(run, frame, suffix):
    counts, options = frame[0], []
    if suffix in UNSIGNED:
        counts, options = np.where(GAP, 0, counts).astype(UNSIGNED[suffix]), ["--mask", "mask.npy"]
        np.save("mask.npy", GAP)
    WRITERS[suffix][0](Path(f"a.{suffix}"), counts)
    before = Path(f"a.{suffix}").read_bytes()
    (source,) = counts_in(Path(f"a.{suffix}"))
    code, said, complaints = run(f"a.{suffix}", "-o", "out", *options)
    assert (code, complaints) == (0, "")
    assert f"{GAP.sum()} of {GAP.sum()} missing pixels filled" in said
    assert Path(f"a.{suffix}").read_bytes() == before
    (output,) = (path for path in Path("out").iterdir() if not path.name.endswith(".filled.h5"))
    assert output.stem == "a"
    (filled,) = counts_in(output)
    is_filled(source, filled)
    told = process(output if output.suffix in (".h5", ".nxs") else beside(output))
    np.testing.assert_array_equal(told["filled"][0] != 0, GAP)
    np.testing.assert_array_equal(np.isfinite(told["uncertainty"][0]), GAP)
    assert (told["uncertainty"][0][GAP] > 0).all()


@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [("edf", "int16"), ("edf", "float64"), ("npy", "int64"), ("tif", "float32"), ("tif", "int16"), ("h5", "float64")],
)
def test_every_type_is_kept(run, frame, suffix, dtype):
    if suffix == "tif":
        tifffile.imwrite("a.tif", frame[0].astype(dtype))
    else:
        WRITERS[suffix][0](Path(f"a.{suffix}"), frame[0].astype(dtype))
    assert run(f"a.{suffix}", "-o", "out")[0] == 0
    is_filled(frame[0].astype(dtype), counts_in(Path("out") / f"a.{suffix}")[0])


def test_gaps_that_are_nan_are_filled(run, frame):
    counts = np.where(GAP, np.nan, frame[0]).astype(np.float32)
    np.save("a.npy", counts)
    assert run("a.npy", "-o", "out")[0] == 0
    is_filled(counts, np.load("out/a.npy"))


@pytest.mark.parametrize("packer", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("suffix", ["cbf", "tif"])
def test_packed_files_are_filled(run, frame, suffix, packer):
    WRITERS[suffix][0](Path(f"a.{suffix}"), frame[0])
    source = packed(Path(f"a.{suffix}"), packer)
    assert run(source, "-o", "out")[0] == 0
    is_filled(frame[0], counts_in(Path("out") / f"a.{suffix}")[0])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_every_page_and_its_header_is_kept(run, frames, compression):
    tifffile.imwrite(
        "a.tif", frames, compression=compression, photometric="minisblack", metadata=None,
        description="# Pixel_size 172e-6 m x 172e-6 m\n# Exposure_time 1.0 s",
    )  # fmt: skip
    assert run("a.tif", "-o", "out")[0] == 0
    for source, filled in zip(frames, counts_in(Path("out/a.tif")), strict=True):
        is_filled(source, filled)
    with tifffile.TiffFile("out/a.tif") as file:
        assert file.pages[0].description.startswith("# Pixel_size 172e-6 m x 172e-6 m")
        assert len(file.pages) == len(frames)


def test_names_attributes_and_other_arrays_stay(run, frames):
    with h5py.File("a.h5", "w") as file:
        file.create_dataset("frames", data=frames, chunks=(1, *GAP.shape), compression="gzip")
        file["names"], file["temperature"] = [f"scan {number}" for number in range(len(frames))], np.arange(3.0)
        file["invalid"] = np.broadcast_to(GAP, frames.shape).astype(np.uint8)
        file.attrs["sample"] = "silver behenate"
    assert run("a.h5", "-o", "out")[0] == 0
    with h5py.File("a.h5") as old, h5py.File("out/a.h5") as new:
        assert set(new) == {*old, "gapsearch"}
        assert dict(new.attrs) == dict(old.attrs)
        assert new["names"][:].tolist() == old["names"][:].tolist()
        np.testing.assert_array_equal(new["temperature"], old["temperature"])
        assert not new["invalid"][:].any()
        for source, filled in zip(old["frames"], new["frames"], strict=True):
            is_filled(source, filled)


def test_a_note_says_by_what_and_how(run, frame, description):
    np.save("mask.npy", GAP)
    np.save("a.npy", frame[0])
    options = ("--mask", "mask.npy", "--max-uncertainty", "0.9", "--pedestal", "1.5", "--device", "cpu")
    assert run("a.npy", "-o", "out", *options)[0] == 0
    told = process(beside(Path("out/a.npy")))
    note, of_frame = json.loads(told["note"]), json.loads(told["notes"][0])
    assert note["program"] == "gapsearch"
    assert set(note["versions"]) >= {"gapsearch", "torch", "numpy"}
    assert note["settings"] == {"max_uncertainty": 0.9, "force": False, "mask": "mask.npy", "pedestal": "1.5"}
    assert note["model"]["run"] == description.run
    assert note["model"]["created"] == description.created
    assert [member["seed"] for member in note["model"]["members"]] == [0, 1]
    assert note["model"]["data"] == description.data
    assert of_frame == {"filled": GAP.sum(), "far": 0, "unsure": 0, "doubts": [], "rings": False}


def test_a_frame_unlike_the_training_is_filled_by_force_only_and_says_so(run, frame):
    odd = np.pad(frame[0], ((0, 0), (0, 30)), mode="reflect")
    np.save("a.npy", odd)
    np.save("b.npy", frame[0])
    code, said, complaints = run("a.npy", "b.npy", "-o", "out")
    assert code == 2
    assert "140 x 180 pixels" in complaints
    assert complaints.splitlines()[-1] == "error: 1 of 2 files were not filled: see above"
    assert complaints.count("\n") == 2
    assert "b.npy: " in said
    assert sorted(path.name for path in Path("out").iterdir()) == ["b.npy", "b.npy.filled.h5"]
    assert run("a.npy", "-o", "forced", "--force")[0] == 0
    told = process(beside(Path("forced/a.npy")))
    assert json.loads(told["note"])["settings"]["force"] is True
    assert "140 x 180 pixels" in json.loads(told["notes"][0])["doubts"][0]
    assert (np.load("forced/a.npy") >= 0).all()


def test_of_a_stack_what_is_unlike_the_training_is_left_with_a_reason(run, frames):
    odd = frames.copy()
    odd[1] = np.where(GAP, -1, odd[1] * 5000)
    np.save("a.npy", odd)
    code, said, _ = run("a.npy", "-o", "out")
    assert code == 0
    assert "1 frames refused" in said
    filled = np.load("out/a.npy")
    np.testing.assert_array_equal(filled[1], odd[1])
    told = process(beside(Path("out/a.npy")))
    assert not told["filled"][1].any()
    assert "counts" in json.loads(told["notes"][1])["refused"]
    for number in (0, 2):
        is_filled(odd[number], filled[number])


def test_what_is_too_uncertain_is_left(run, frame):
    np.save("a.npy", frame[0])
    assert run("a.npy", "-o", "all", "--max-uncertainty", "1e9")[0] == 0
    code, said, _ = run("a.npy", "-o", "sure", "--max-uncertainty", "0.15")
    assert code == 0
    assert "left: too uncertain" in said
    everything, sure = np.load("all/a.npy"), np.load("sure/a.npy")
    left = sure < 0
    assert 0 < left.sum() < GAP.sum()
    np.testing.assert_array_equal(sure[~left], everything[~left])
    told = process(beside(Path("sure/a.npy")))
    assert json.loads(told["notes"][0])["unsure"] == left.sum()
    np.testing.assert_array_equal(told["filled"][0] != 0, GAP & ~left)


def test_masked_pixels_are_filled_too(run, frame):
    mask = np.zeros(GAP.shape, np.uint8)
    mask[20:22, 30:32] = 1
    np.save("mask.npy", mask)
    hot = frame[0].copy()
    hot[20:22, 30:32] = 10**6
    np.save("a.npy", hot)
    assert run("a.npy", "-o", "out", "--mask", "mask.npy")[0] == 0
    filled = np.load("out/a.npy")
    is_filled(np.where(mask, filled, frame[0]), filled)
    assert filled[mask != 0].max() < 2000


@pytest.mark.parametrize(("full", "dtype"), [(2**20 - 1, np.int32), (2**16 - 1, np.int32), (2**15 - 1, np.int16)])
def test_full_counters_have_measured_and_stay(run, frame, full, dtype):
    plain, bright = frame[0].astype(dtype), frame[0].astype(dtype)
    bright[30:32, 70:72] = full
    np.save("plain.npy", plain)
    np.save("bright.npy", bright)
    assert run("plain.npy", "bright.npy", "-o", "out", "--max-uncertainty", "1e9")[0] == 0
    filled = np.load("out/bright.npy")
    assert filled[~GAP].tobytes() == bright[~GAP].tobytes()
    assert (filled[GAP] >= 0).all()
    # They say nothing of how bright it is beside them.
    assert filled[GAP].max() < 2 * np.load("out/plain.npy")[GAP].max()


def test_a_pedestal_is_taken_off_and_put_back(run, frame):
    np.save("a.npy", frame[0].astype(np.float64))
    np.save("b.npy", np.where(GAP, -1, frame[0] + 100.0))
    assert run("a.npy", "-o", "out")[0] == 0
    assert run("b.npy", "-o", "out", "--pedestal", "100")[0] == 0
    plain, lifted = np.load("out/a.npy"), np.load("out/b.npy")
    np.testing.assert_allclose(lifted[GAP], plain[GAP] + 100, rtol=1e-6)


@pytest.mark.parametrize(("suffix", "source"), list(zip(WRITABLE, cycle(["cbf", "nxs"]))))
def test_a_file_name_says_the_format(run, frame, source, suffix):
    WRITERS[source][0](Path(f"a.{source}"), frame[0])
    output = Path("made") / f"b{suffix}"
    assert run(f"a.{source}", "-o", output)[0] == 0
    is_filled(frame[0], counts_in(output)[0])
    assert beside(output).exists() == (suffix in (".cbf", ".edf", ".npy", ".tif", ".tiff"))


def test_filled_files_are_complete_and_what_stands_beside_is_no_frame(run, frame):
    for name in ("a.cbf", "b.cbf"):
        WRITERS["cbf"][0](Path(name), frame[0])
    assert run("a.cbf", "b.cbf", "-o", "out")[0] == 0
    Path("out/.c.cbf").write_bytes(b"half a fi")
    first = Path("out/a.cbf").read_bytes()
    code, said, _ = run("out", "-o", "again")
    assert code == 0
    assert said.count("0 of 0 missing pixels filled") == 2
    assert sorted(path.name for path in Path("again").iterdir()) == [
        "a.cbf", "a.cbf.filled.h5", "b.cbf", "b.cbf.filled.h5"
    ]  # fmt: skip
    np.testing.assert_array_equal(counts_in(Path("again/a.cbf")), counts_in(Path("out/a.cbf")))
    assert run("a.cbf", "-o", "out")[0] == 0
    assert Path("out/a.cbf").read_bytes() == first


def test_the_device_is_the_one_that_was_asked_for(run, frame):
    np.save("a.npy", frame[0])
    for device in ("cpu", "cuda:0"):
        with simulated() as gpu:
            assert run("a.npy", "-o", device, "--device", device)[0] == 0
        assert bool(gpu.operators) == (device != "cpu")
    np.testing.assert_array_equal(np.load("cpu/a.npy"), np.load("cuda:0/a.npy"))


def test_what_cannot_be_done_is_refused_in_one_line(run, frame):
    for name in ("a.npy", "b.npy"):
        np.save(name, frame[0])
    Path("file").write_text("in the way")
    Path("empty").mkdir()
    np.save("small.npy", frame[0][:5, :5])
    np.save("mask.npy", GAP[:10])
    for arguments, reason in (
        (("a.npy", "b.npy", "-o", "one.tif"), "a folder for 2 files"),
        (("a.npy", "-o", "."), "place of other files"),
        (("-o", "out"), "say one of them"),
        (("a.npy", "--watch", "empty", "-o", "out"), "say one of them"),
        (("--watch", "nowhere", "-o", "out"), "must name a folder"),
        (("--watch", "empty", "-o", "empty"), "another folder"),
        (("a.npy",), "-o"),
        (("nothing.npy", "-o", "out"), "nothing there"),
        (("empty", "-o", "out"), "nothing there"),
        (("a.npy", "-o", "out", "--max-uncertainty", "-1"), "0 or more"),
        (("a.npy", "-o", "out", "--max-uncertainty", "nan"), "0 or more"),
        (("a.npy", "-o", "out", "--max-uncertainty", "much"), "max-uncertainty"),
        (("a.npy", "-o", "out", "--device", "nowhere"), "device must be one that PyTorch has"),
        (("a.npy", "-o", "out", "--pedestal", "much"), "--pedestal"),
        (("a.npy", "-o", "out", "--mask", "mask.npy"), "--mask"),
        (("a.npy", "-o", "out", "--device", "gpu"), "device must be one that PyTorch has here, got 'gpu'"),
        (("a.npy", "-o", "out", "--device", "meta"), "device must be one that PyTorch has here, got 'meta'"),
    ):
        assert reason in refused(run, *arguments), arguments
    for arguments in (
        ("a.npy", "-o", "a.npy"),
        ("a.npy", "-o", "file/out"),
        ("a.npy", "-o", "file"),
        ("a.npy", "-o", "/proc/nowhere/out"),
        ("small.npy", "-o", "out"),
    ):
        before = files()
        code, _, complaints = run(*arguments)
        assert (code, complaints.count("\n")) == (2, 2), (arguments, complaints)
        assert files() == before
    np.testing.assert_array_equal(np.load("a.npy"), frame[0])
    assert Path("file").read_text() == "in the way"
    assert inpaint.main(["nothing.safetensors", "a.npy", "-o", "out"]) == 2
    assert inpaint.main(["file", "a.npy", "-o", "out"]) == 2


@pytest.mark.slow
@pytest.mark.fuzz
@pytest.mark.parametrize("suffix", sorted(WRITERS))
def test_damaged_frames_are_refused_in_a_line_or_filled(run, frame, suffix):
    counts = np.where(GAP, 0, frame[0]).astype(UNSIGNED[suffix]) if suffix in UNSIGNED else frame[0]
    WRITERS[suffix][0](Path(f"sound.{suffix}"), counts)
    content, rng = Path(f"sound.{suffix}").read_bytes(), np.random.default_rng(SEED)
    codes = []
    for number in range(tries(8, 800)):
        path = Path(f"{number}.{suffix}")
        path.write_bytes(CHANGES[number % len(CHANGES)](content, rng))
        code, _, said = run(path, "-o", f"out{number}", "--force")
        codes.append(code)
        assert code in (0, 2)
        assert all(line.startswith((f"{path}: ", f"{path}::", "error: ")) for line in said.splitlines()), said
        written = [written.name for written in Path().glob(f"out{number}/*")]
        assert bool(written) == (code == 0)
        assert not [name for name in written if name.startswith(".")]
    assert 2 in codes


class Bomb:
    def __reduce__(self):
        return (open, ("exploded", "w"))


def test_lies_and_pickles_are_refused(run, frame):
    np.save("objects.npy", np.array([[Bomb()] * 20] * 20), allow_pickle=True)
    for name in ("pickle.npy", "pickle.cbf", "pickle.h5", "pickle.tif", "pickle.edf"):
        Path(name).write_bytes(pickle.dumps(Bomb()))
    header = {"descr": "<i4", "fortran_order": False, "shape": (10**6, 10**6, 10**6)}
    with Path("huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    Path("huge.edf").write_bytes(
        b"{\nHeaderID = EH:000001:000000:000000 ;\nByteOrder = LowByteFirst ;\nDataType = SignedInteger ;\n"
        b"Dim_1 = 999999999 ;\nDim_2 = 999999999 ;\n".ljust(510)
        + b"}\n"
    )
    Path("empty.cbf").write_bytes(b"")
    for path in sorted(Path().iterdir()):
        assert str(path) in refused(run, path, "-o", "out")
    assert not Path("exploded").exists()


def test_integers_keep_their_mean(run, frames):
    """Rounding down would lose half a count a pixel; of 1,000 pixels the mean is off by 0.02 then and now."""
    np.save("whole.npy", frames)
    np.save("real.npy", frames.astype(np.float64))
    for name in ("whole", "real"):
        assert run(f"{name}.npy", "-o", f"out/{name}.npy")[0] == 0
    whole, real = np.load("out/whole.npy"), np.load("out/real.npy")
    assert abs((whole - real)[:, GAP].mean()) < 0.02
    assert np.abs(whole - real).max() < 1


@pytest.fixture
def frames(raw_frames, tiny_detector) -> np.ndarray:
    """Three frames with -1 in their gaps."""
    raw = raw_frames(14, GAP.shape, tiny_detector)[-3:]
    return np.stack([np.where(GAP, -1, frame.truth).astype(np.int32) for frame in raw])


@pytest.mark.parametrize("suffix", ["npy", "h5"])
def test_a_file_of_another_origin_is_not_replaced(run, frame, tmp_path, suffix):
    """Raw frames of the user's in the output folder, and what was filled from another file of the same name."""
    name = f"a.{suffix}"
    for folder in ("one", "two", "out"):
        (tmp_path / folder).mkdir()
        WRITERS[suffix][0](tmp_path / folder / name, frame[0])
    raw = (tmp_path / "out" / name).read_bytes()
    assert "not replaced" in refused_files(run, f"one/{name}")
    assert (tmp_path / "out" / name).read_bytes() == raw
    assert run(f"one/{name}", "-o", "out", "--overwrite")[0] == 0
    filled = (tmp_path / "out" / name).read_bytes()
    assert filled != raw
    assert run(f"one/{name}", "-o", "out")[0] == 0  # its own, from the same source
    assert "not replaced" in refused_files(run, f"two/{name}")
    assert (tmp_path / "out" / name).read_bytes() == filled


def refused_files(run: Run, path: str) -> str:
    code, _, error = run(path, "-o", "out")
    assert code == 2
    return error


def test_the_file_beside_is_protected_too(run, frame, tmp_path):
    np.save(tmp_path / "a.npy", frame[0])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.npy.filled.h5").write_bytes(b"mine")
    assert "not replaced" in refused_files(run, "a.npy")
    assert (tmp_path / "out" / "a.npy.filled.h5").read_bytes() == b"mine"
    assert not (tmp_path / "out" / "a.npy").exists()


def test_a_picture_of_another_origin_is_not_replaced(run, frame, tmp_path):
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", frame[0])
    (tmp_path / "x.png").write_bytes(b"holiday")
    code, _, error = run("a.npy", "-o", "out", "--picture", "x.png")
    assert (code, (tmp_path / "x.png").read_bytes()) == (2, b"holiday")
    assert "not replaced" in error
    assert run("a.npy", "-o", "out", "--picture", "new.png")[0] == 0
    assert run("a.npy", "-o", "out", "--picture", "new.png")[0] == 0
    assert run("b.npy", "-o", "out", "--picture", "new.png")[0] == 2
