"""The command, as users run it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from scattering import prepare as command
from scattering.preparation import plan, prepare
from scattering.survey.findings import Options, survey
from tests.processes import descendants, kill

ROOT = Path(__file__).parents[2]
SHAPE, FRAMES = (420, 370), 60


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Six scans, in the folder where the command is run."""
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        with h5py.File(f"scan_{number}.h5", "w") as file:
            file["frames"] = np.random.default_rng(number).poisson(30, (FRAMES // 6, *SHAPE)).astype(np.uint16)
            file.attrs["group"] = f"film {number}"
    return tmp_path


ARGUMENTS = ("scan_*.h5", "--detector", "Pilatus2M", "--size", "128")


def start(*arguments: str) -> subprocess.Popen[str]:
    known = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "TUNE_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "scattering.prepare", *arguments],
        env=known | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.slow
def test_the_command_writes_the_file_and_says_what_comes_next(files):
    process = start(*ARGUMENTS, "-o", "film.h5", "--seed", "3", "--cores", "2")
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    todo = plan(survey(["scan_*.h5"], Options(detector="Pilatus2M")), (128, 128), 3)
    said = prepare(todo, Path("expected.h5"))
    assert Path("film.h5").read_bytes() == Path("expected.h5").read_bytes()
    for words in ("60 in 6 files", "420 x 370", "groups: 6", "train", "60 of 60 frames", said):
        assert words in output
    assert output.splitlines()[-1] == "next: python -m search.run tunet --data film.h5"
    assert 4 < len([line for line in output.splitlines() if "of 60 frames" in line]) <= 11


@pytest.mark.slow
def test_killed_in_the_middle_the_same_command_gives_the_same_bytes(files):
    first = start(*ARGUMENTS, "-o", "film.h5")
    assert first.stdout is not None
    while " of 60 frames" not in (line := first.stdout.readline()):
        assert line, first.communicate()
    below = descendants(first.pid)
    kill(below)
    first.communicate()
    assert not Path("film.h5").exists()
    unfinished = Path(".film.h5.part").stat().st_ino
    again = start(*ARGUMENTS, "-o", "film.h5")
    _, errors = again.communicate(timeout=120)
    assert (again.returncode, errors) == (0, "")
    assert Path("film.h5").stat().st_ino == unfinished
    prepare(plan(survey(["scan_*.h5"], Options(detector="Pilatus2M")), (128, 128), 0), Path("expected.h5"))
    assert Path("film.h5").read_bytes() == Path("expected.h5").read_bytes()
    assert not list(files.glob(".film*"))


@pytest.mark.slow
def test_ctrl_c_ends_it_soon_and_keeps_what_is_done(files):
    process = start(*ARGUMENTS, "-o", "film.h5")
    assert process.stdout is not None
    while " of 60 frames" not in (line := process.stdout.readline()):
        assert line, process.communicate()
    process.send_signal(2)
    sent = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - sent < 15
    assert "Traceback" not in errors
    assert "the same command goes on" in errors
    assert Path(".film.h5.part").exists()


def test_what_cannot_be_is_said_in_one_line(files, capsys):
    for arguments, words in (
        (["none_*.h5", "-o", "film.h5"], "none_"),
        ([*ARGUMENTS], "-o"),
        ([*ARGUMENTS, "-o", "."], "must name a file"),
        ([*ARGUMENTS, "-o", "film.h5", "--size", "12x"], "--size must be"),
        ([*ARGUMENTS, "-o", "film.h5", "--cores", "0"], "at least 1"),
        ([*ARGUMENTS, "-o", "film.h5", "--seed", "one"], "--seed"),
        (["scan_0.h5", "--detector", "Pilatus2N", "-o", "film.h5"], "Pilatus2N"),
    ):
        assert command.main(arguments) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.startswith("error: ")
        assert said.count("\n") == 1
