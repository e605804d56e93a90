from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from scattering.detectors import detector
from scattering.look import main
from scattering.survey.contact_sheet import COLORS, DEAD, GAP, INVALID

SHARED = Path(__file__).parents[2].parent / "shared" / "frames"


CIRCLE = np.hypot(*(np.indices((619, 487)) - np.array([309, 243])[:, None, None])) < 300


def save(path, frames, **attributes):
    with h5py.File(path, "w") as file:
        file["frames"] = frames
        file.attrs.update(attributes)
    return str(path)


def counts(count=2, name="Pilatus300k", mean=80, seed=0):
    gap = detector(name).gap
    frames = np.random.default_rng(seed).poisson(mean, (count, *gap.shape)).astype(np.int32)
    frames[:, gap] = -1
    return frames


def look(capsys, tmp_path, *arguments):
    """Return the exit code, what was printed, and the errors."""
    code = main([*arguments, "-o", str(tmp_path / "sheet.png")])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.fixture
def three_samples(tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for number, name in enumerate(("gold", "silver", "copper")):
        frames = counts(2, seed=number)
        frames[:, 30, 40] = 0
        save(folder / f"{name}.h5", frames, group=name)
    return str(folder)


def test_what_was_found_is_said(three_samples, capsys, tmp_path):
    code, out, err = look(capsys, tmp_path, three_samples, "--seed", "3")
    assert (code, err) == (0, "")
    assert "6 frames in 3 files" in out
    assert "619 x 487: Pilatus 300k (from the shape of its frames), 172 x 172 um pixels" in out
    assert "gaps      2 horizontal of 17 rows, 5.49% of the frame" in out
    assert "dead      1 pixel, hot 0 (in 6 frames looked at)" in out
    for part in ("train", "validation", "test"):
        assert f"  {part:<11}2 frames in 1 group: " in out
    assert "To be filled: the gaps of Pilatus 300k" in out
    assert max(map(len, out.splitlines())) <= 100 + len(str(tmp_path))


def test_the_table_has_a_line_a_file(three_samples, capsys, tmp_path):
    _, out, _ = look(capsys, tmp_path, three_samples)
    (line,) = (line for line in out.splitlines() if line.startswith("gold.h5"))
    frames = counts(2, seed=0)
    largest = frames.max()
    words = line.split()
    assert [*words[:5], *words[6:]] == ["gold.h5", "2", "619x487", "int32", "94.5%", "gold", "Pilatus", "300k"]
    low, high = map(float, words[5].split(".."))
    assert high == largest
    assert low > 0  # dead pixels do not count


def test_colours_of_the_contact_sheet_are_gaps_invalid_and_dead_pixels(tmp_path, capsys):
    frames = counts(1)
    frames[:, 250:300, 100:200] = -2
    frames[:, 30, 40] = 0
    look(capsys, tmp_path, save(tmp_path / "a.h5", frames))
    picture = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))[34:]  # below the legend
    share = {code: (picture == color).all(axis=2).mean() for code, color in COLORS.items()}
    scale = frames[0].size / max(frames[0].shape) ** 2  # of the tile that the frame fills
    assert share[GAP] == pytest.approx(0.055 * scale, rel=0.25)
    assert share[INVALID] == pytest.approx(50 * 100 / frames[0].size * scale, rel=0.25)
    assert 0 < share[DEAD] < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda frames: np.where(frames > 0, 0, frames), "all valid counts are 0"),
        (lambda frames: np.where((frames > 0) & (frames < 82), 0, frames), "zeros: few photons, or clipped at 0"),
        (lambda frames: np.where(frames > 105, 2**31 - 1, frames), "saturated pixels, not valid"),
        (lambda frames: np.abs(frames) + np.arange(487, dtype=np.int32), "100% of the gap pixels hold counts"),
        (lambda frames: np.where(CIRCLE, frames, 0), "a round sensor? --mask"),
        (lambda frames: frames - 78, "below 0: taken for measured, a background was subtracted"),
        (lambda frames: np.where(np.arange(487) < 60, -2, frames), "12% of the sensor without counts"),
    ],
)  # fmt: skip
def test_odd_frames_are_noted(tmp_path, capsys, change, note):
    _, out, _ = look(capsys, tmp_path, save(tmp_path / "a.h5", change(counts(1)).astype(np.int32)))
    assert note in " ".join(out.split())


def test_hot_pixels_of_one_frame_are_named(tmp_path, capsys):
    frames = counts(1)
    frames[:, 30, 40] = frames[:, 300, 90] = 1_053_695
    _, out, _ = look(capsys, tmp_path, save(tmp_path / "a.h5", frames))
    assert "hot 2 (in 1 frame looked at)" in out
    assert "  hot       30,40; 300,90 (row,column)" in out


def test_a_pedestal_that_was_not_said_is_noted(tmp_path, capsys):
    slope = np.linspace(0, 200, 619)[:, None] * np.ones(487)
    frames = np.random.default_rng(0).poisson(slope, (1, *slope.shape)) + 1000
    name = save(tmp_path / "a.h5", frames.astype(np.int32))
    assert "a pedestal of about 99" in look(capsys, tmp_path, name)[1]
    out = look(capsys, tmp_path, name, "--pedestal", "auto")[1]
    assert "a pedestal of about" not in out
    assert "(estimated)" in out


def test_frames_that_cannot_be_prepared_are_shown_nevertheless(tmp_path, capsys):
    name = save(tmp_path / "a.h5", np.random.default_rng(0).poisson(9, (1, 300, 320)))
    code, out, _ = look(capsys, tmp_path, name)
    assert code == 0
    assert "300 x 320: unknown, 300 x 320, no gaps" in out
    assert "Not ready to be prepared: it must be known whose gaps are to be filled" in " ".join(out.split())
    assert "need a group of frames each" in " ".join(out.split())
    assert (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize(
    "arguments",
    [["nothing/there.h5"], [], ["x", "--seed", "-1"], ["x", "--seed", "a"], ["BAD"], ["GOOD", "--mask", "BAD"]],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, tmp_path, capsys):
    (tmp_path / "bad.h5").write_text("not HDF5")
    names = {"BAD": str(tmp_path / "bad.h5"), "GOOD": save(tmp_path / "good.h5", counts(1))}
    code, _, err = look(capsys, tmp_path, *[names.get(word, word) for word in arguments])
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "sheet.png").exists()


def test_a_sheet_that_cannot_be_written_is_one_line(tmp_path, capsys):
    name = save(tmp_path / "a.h5", counts(1))
    assert main([name, "-o", str(tmp_path / "a.h5" / "sheet.png")]) == 2
    assert "cannot write the contact sheet" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared frames are not here")
def test_real_frames_are_called_by_their_detectors(tmp_path, capsys):
    names = [str(SHARED / f"{name}.h5") for name in ("jscatter_pilatus300k", "swaxs_eiger500k", "gixpy_pilatus900kw")]
    code, out, _ = look(capsys, tmp_path, *names, "--detector", "Pilatus300k")
    assert code == 0
    for shape, name in (
        ("619 x 487", "Pilatus 300k"),
        ("1030 x 514", "Eiger 500k, turned"),
        ("619 x 1475", "Pilatus 900k"),
    ):
        assert f"{shape}: {name}" in out


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda frames: frames * np.float32(1e-6), "below one count"),
        (lambda frames: np.log10(np.maximum(frames, 0) + 1).astype(np.float32), "logarithms"),
    ],
)
def test_frames_that_hold_no_counts_are_noted(tmp_path, capsys, change, note):
    path = save(tmp_path / "a.h5", change(counts()), detector="Pilatus 300k")
    assert note in " ".join(look(capsys, tmp_path, path)[1].split())


def test_a_file_that_cannot_be_read_is_left_out_and_told(three_samples, capsys, tmp_path):
    (Path(three_samples) / "lead.h5").write_text("not HDF5")
    code, out, err = look(capsys, tmp_path, three_samples)
    assert code == 2
    assert "6 frames in 3 files" in out
    assert "left out: " in err
    assert "lead.h5" in err
    assert "error: 1 of the files could not be read" in err


def test_patterns_reach_into_all_folders(three_samples, capsys, tmp_path):
    deep = tmp_path / "scans" / "deep" / "er"
    deep.mkdir(parents=True)
    save(deep / "tin.h5", counts(1), group="tin")
    assert "7 frames in 4 files" in look(capsys, tmp_path, str(tmp_path / "scans" / "**" / "*.h5"))[1]
