"""Bad input: one line that says what, which value and what to do; exit code 2; nothing half-written."""

from __future__ import annotations

import resource
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest

from scattering import dataset_file
from scattering.arguments import Options
from scattering.dataset import Dataset
from scattering.errors import InputError
from scattering.sources import from_files
from search import run, session

FRAMES = np.random.default_rng(0).poisson(50, (4, 150, 140)).astype(np.int32)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(name: str, frames: np.ndarray, **arrays: np.ndarray) -> None:
    with h5py.File(name, "w") as file:
        file["frames"] = frames
        for key, array in arrays.items():
            file[key] = array


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command, check that it refuses as it should, and return its one line."""
    assert run.main(["tunet", "--size", "128", *arguments]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    assert not list(Path().glob("runs/*")) or Path("runs").is_file()
    return line


def refused_data(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command on data and return its one line."""
    assert run.main(["tunet", "--data", *arguments]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "frames/*.h5"], "'frames/*.h5': nothing there"),
        (["--detector", "pilatsu2m"], "'pilatsu2m'; nearest: pilatus2m"),
        (["--detector", "Pilatus100k"], "must have gaps"),
        (["--frames", "2"], "--frames must be at least 3, got 2"),
        *(
            ([f"--size={size}"], f"PIXELS, ROWSxCOLUMNS or native, got {size!r}")
            for size in ("0", "-1", "128x", "12.5")
        ),
        (["--detector", "Pilatus300kw", "--size", "61x195"], "got 61 x 195"),
        (["--size", "64"], "--size 64x64, where the vertical gaps"),
        (["--detector", "Eiger1M", "--size", "10x64"], "horizontal gaps of Eiger 1M vanish"),
        (["--group-by", "scan"], "got --group-by scan: leave it out"),
        (["--warp", "9"], "--warp"),
        (["--trials", "many"], "--trials"),
        *((["--name", name], "--name may hold") for name in ("../up", "a/b", " ", ".hidden", "a" * 200)),
        (["--name", "gone", "--resume", "--epochs", "9"], "got --size, --epochs: leave them out"),
        (["--gpus-per-trial", "2"], "--gpus-per-trial must be at most 1, got 2"),
        (["--gpus-per-trial", "-1"], "--gpus-per-trial must be at least 0, got -1"),
        (["--cpus-per-trial", "0"], "--cpus-per-trial must be at least 1, got 0"),
        (["--memory-per-trial", "nan"], "--memory-per-trial must be above 0, got nan"),
        (["--parallel", "0"], "--parallel must be at least 1, got 0"),
        (["--gpu-hours", "0"], "--gpu-hours must be above 0, got 0"),
    ],
)
def test_what_is_said_wrongly_is_named(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert said in refused(capsys, *arguments)


def test_unreadable_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("notes.h5").write_text("not HDF5 at all")
    assert "cannot read notes.h5 as HDF5" in refused(capsys, "--data", "notes.h5")


def test_truncated_file(capsys: pytest.CaptureFixture[str]) -> None:
    write("whole.h5", FRAMES)
    whole = Path("whole.h5").read_bytes()
    Path("cut.h5").write_bytes(whole[: len(whole) // 2])
    assert "cut.h5" in refused(capsys, "--data", "cut.h5")


def test_no_frames(capsys: pytest.CaptureFixture[str]) -> None:
    write("empty.h5", FRAMES[:0])
    assert "(0, 150, 140)" in refused(capsys, "--data", "empty.h5")


def test_arrays_of_differing_shape(capsys: pytest.CaptureFixture[str]) -> None:
    write("odd.h5", FRAMES, invalid=np.zeros((4, 140, 150), np.uint8))
    assert "(4, 150, 140) and (4, 140, 150)" in refused(capsys, "--data", "odd.h5")


def test_frame_without_a_valid_pixel(capsys: pytest.CaptureFixture[str]) -> None:
    frames = FRAMES.astype(np.float32)
    frames[2] = np.nan
    write("nan.h5", frames)
    line = refused(capsys, "--data", "nan.h5", "--detector", "Pilatus2M", "--group-by", ".+")
    assert "got none (gaps, codes or masked all over) in 'nan 2'" in line


def test_unknown_network_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["tunnet"]) == 2
    assert "got 'tunnet'; did you mean tunet?" in capsys.readouterr().err


@pytest.mark.skipif(find_spec("dlsia") is not None, reason="dlsia is installed")
def test_the_papers_library_where_it_is_not_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "pip install -e '.[pymsdtorch]'" in refused(capsys, "--implementation", "pymsdtorch")


def test_points_that_the_paper_does_not_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["pconv", "--points", "paper"]) == 2
    assert "points of tunet and msdnet, got pconv" in capsys.readouterr().err


def test_too_few_groups_to_split(capsys: pytest.CaptureFixture[str]) -> None:
    write("series.h5", FRAMES)
    assert "got 1 group(s) in 4 frame(s)" in refused(capsys, "--data", "series.h5", "--detector", "Pilatus2M")


def test_frames_of_no_detector_that_has_gaps(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.h5", FRAMES)
    assert "whose gaps are to be filled" in refused(capsys, "--data", "a.h5")


def test_what_was_said_when_a_data_set_was_prepared_is_not_said_again(
    capsys: pytest.CaptureFixture[str], data: Dataset
) -> None:
    dataset_file.write(Path("prepared.h5"), data)
    for option in ("--detector", "--mask", "--pedestal", "--group-by", "--poni"):
        assert f"got {option} 9 with prepared.h5: leave it out" in refused_data(capsys, "prepared.h5", option, "9")
    assert "got --size 64" in refused_data(capsys, "prepared.h5", "--size", "64")
    write("raw.h5", FRAMES)
    assert "searched alone, got prepared.h5 among 2 files" in refused_data(capsys, "raw.h5", "prepared.h5")


def test_resume_of_a_run_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["tunet", "--name", "gone", "--resume"]) == 2
    assert "got 'gone'; runs: none yet" in capsys.readouterr().err


def single_exposures(frames: np.ndarray) -> Dataset:
    """Frames of a detector that has horizontal gaps only, -1 in these, in four files."""
    frames[:, 195:212] = frames[:, 407:424] = -1
    for name in "abcd":
        write(f"{name}.h5", frames)
    return from_files(["."], Options(), "128", seed=0)


def test_single_exposures_are_scored_in_gaps_laid_once_more() -> None:
    data = single_exposures(np.random.default_rng(0).poisson(50, (4, 619, 487)).astype(np.int32))
    assert data.settings["detector"] == "Pilatus 300k"
    held_out = data.valid & ~data.observed
    assert held_out.any(axis=(1, 2)).all()
    # Of the two gaps one may have left the frame; rows at the edges are divided by the resize.
    share = held_out.sum(axis=(1, 2)) / data.gap.sum()
    assert share.min() > 0.3
    assert share.max() < 1.1
    session.check_scored(data)


@pytest.mark.slow
def test_frames_without_truth_in_any_gap() -> None:
    """Nothing but a strip as high as a gap was measured: wherever the gaps are laid, nothing is left."""
    frames = np.full((4, 619, 487), -1, np.int32)
    frames[:, 212:219] = 50
    with pytest.raises(InputError, match="got none in the"):
        session.check_scored(single_exposures(frames))


def test_runs_folder_that_cannot_be_made(capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs").write_text("a file in the way")
    assert "cannot be written" in refused(capsys, "--frames", "8")


def test_a_name_that_exists_is_left_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/precious").write_text("data")
    assert run.main(["tunet", "--name", "mine"]) == 2
    assert "runs/mine exists" in capsys.readouterr().err
    assert [path.name for path in Path("runs/mine").iterdir()] == ["precious"]


@pytest.mark.slow
def test_a_full_disk_is_one_line() -> None:
    """A limit on file sizes stands in for the disk; neither the cache nor the run's first file fits."""
    done = subprocess.run(
        [sys.executable, "-m", "search.run", "tunet", "--size", "128", "--frames", "8"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)),
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: runs are kept in")
    assert "File too large" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(Path().rglob("*.h5*"))
    assert not list(Path().glob("runs/*"))


def test_help_is_a_page_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run.main(["--help"])
    page = capsys.readouterr().out
    assert end.value.code == 0
    assert "Find the network that fills the gaps" in page
    assert "8 quick, 50 standard, 100 paper" in " ".join(page.split())
    assert not {"ray", "optuna", "asha"} & set(page.lower().split())
