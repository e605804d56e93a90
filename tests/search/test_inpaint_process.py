"""The command as users run it: files that arrive slowly, Ctrl-C, and stacks larger than memory should be."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from search import inpaint
from tests.conftest import striped_detector
from tests.scattering.reading.writing import WRITERS
from tests.scattering.writing.filling import process as told_of

pytestmark = pytest.mark.slow

GAP = striped_detector().gap
SECONDS = 60

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(model_path, tmp_path) -> Iterator[Start]:
    """Start the command with the small model in a folder of its own; it is ended with the test."""
    started = []

    def fill(*arguments: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "search.inpaint", str(model_path), *arguments],
                cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        )  # fmt: skip
        return started[-1]

    yield fill
    for process in started:
        process.kill()
        process.wait()


def line(process: subprocess.Popen[str]) -> str:
    """Wait for the next line that it prints."""
    assert process.stdout is not None
    return process.stdout.readline()


def interrupt(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C, check how it ends, and return what else it printed."""
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert "Traceback" not in said
    return said


def wait_for(path: Path) -> None:
    end = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < end, f"no {path} after {SECONDS} s"
        time.sleep(0.05)


def test_files_are_filled_as_they_arrive(start, frame, tmp_path):
    counts = frame[0]
    (tmp_path / "in").mkdir()
    WRITERS["cbf"][0](tmp_path / "in" / "early.cbf", counts)
    whole = (tmp_path / "in" / "early.cbf").read_bytes()
    watch = start("--watch", "in", "-o", "out")
    assert line(watch).startswith("watching in")
    assert "out/early.cbf: " in line(watch)
    # Two halves, with less between them than between two looks.
    with (tmp_path / "in" / "slow.cbf").open("wb") as file:
        file.write(whole[: len(whole) // 2])
        file.flush()
        time.sleep(0.4)
        file.write(whole[len(whole) // 2 :])
    assert "out/slow.cbf: " in line(watch)
    assert (tmp_path / "out/slow.cbf").read_bytes() == (tmp_path / "out/early.cbf").read_bytes()
    # A longer pause: half a file is reported, the whole one filled.
    with (tmp_path / "in" / "late.cbf").open("wb") as file:
        file.write(whole[: len(whole) // 2])
        file.flush()
        said = line(watch)
        assert said.startswith("in/late.cbf: ")
        assert "cannot read" in said
        assert not (tmp_path / "out" / "late.cbf").exists()
        file.write(whole[len(whole) // 2 :])
    assert "out/late.cbf: " in line(watch)
    # Neither hidden ones nor those that stand beside filled frames are frames; damaged ones end nothing.
    for name, content in ((".hidden.cbf", whole), ("x.filled.h5", b"?"), ("notes.txt", b"?"), ("bad.cbf", b"?")):
        (tmp_path / "in" / name).write_bytes(content)
    said = line(watch)
    assert said.startswith("in/bad.cbf: ")
    assert "cannot read" in said
    WRITERS["edf"][0](tmp_path / "in" / "last.edf", counts)
    assert "out/last.edf: " in line(watch)
    assert interrupt(watch) == "\nstopped\n"
    names = ("early.cbf", "slow.cbf", "late.cbf", "last.edf")
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == sorted([*names, *(f"{name}.filled.h5" for name in names)])


def test_a_file_that_is_written_again_is_filled_again(start, frame, tmp_path):
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "a.npy", frame[0])
    watch = start("--watch", "in", "-o", "out")
    line(watch)
    assert "out/a.npy: " in line(watch)
    np.save(tmp_path / "in" / "a.npy", np.where(GAP, -1, frame[0] + 1).astype(np.int32))
    assert "out/a.npy: " in line(watch)
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "a.npy")[~GAP], frame[0][~GAP] + 1)
    interrupt(watch)


def test_a_watched_folder_that_goes_away_is_told_of_in_one_line(start, tmp_path):
    (tmp_path / "in").mkdir()
    watch = start("--watch", "in", "-o", "out")
    line(watch)
    (tmp_path / "in").rmdir()
    said, _ = watch.communicate(timeout=SECONDS)
    assert watch.returncode == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def write_stack(path: Path, frame: np.ndarray, count: int) -> None:
    """Write a frame many times, each a little brighter or darker."""
    with h5py.File(path, "w") as file:
        array = file.create_dataset("frames", (count, *GAP.shape), frame.dtype, chunks=(1, *GAP.shape))
        for number in range(count):
            array[number] = np.where(GAP, -1, frame + number % 7)


@pytest.mark.parametrize("name", ["a.h5", "a.npy"])
def test_ctrl_c_leaves_no_half_of_a_file(start, frame, tmp_path, name):
    if name == "a.npy":
        np.save(tmp_path / name, np.repeat(frame[0][None], 300, axis=0))
    else:
        write_stack(tmp_path / name, frame[0], 300)
    before = (tmp_path / name).read_bytes()
    fill = start(name, "-o", "out")
    assert line(fill).startswith("30 of 300 frames")
    assert list((tmp_path / "out").iterdir())
    interrupt(fill)
    assert not list((tmp_path / "out").iterdir())
    assert (tmp_path / name).read_bytes() == before


def test_a_stack_is_filled_frame_by_frame_in_little_memory(model_path, frame, tmp_path):
    """NumPy's arrays of 200 frames, of 82 kB each, take no more than those of 20 but 2 MB: notes, and chance."""
    peaks = []
    for count in (20, 20, 200):  # the first time loads what all need
        path = tmp_path / f"{count}.h5"
        write_stack(path, frame[0], count)
        tracemalloc.start()
        assert inpaint.main([str(model_path), str(path), "-o", str(tmp_path / "out")]) == 0
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        filled = told_of(tmp_path / "out" / path.name)["filled"]
        assert filled.shape == (count, *GAP.shape)
        assert filled.any(axis=(1, 2)).all()
    assert peaks[2] < peaks[1] + 2e6


def test_a_master_file_waits_for_its_frames_and_series_keep_their_names(start, frame, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    with h5py.File(folder / "s_master.h5", "w") as file:
        data = file.create_group("entry/data")
        data["data_000001"] = h5py.ExternalLink("s_data_000001.h5", "/entry/data/data")
    watch = start("--watch", "in", "-o", "out")
    line(watch)
    assert "is not there" in line(watch)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["entry/data/data"] = np.stack([frame[0]] * 2)
    (tmp_path / "s.h5").rename(folder / "s_data_000001.h5")
    # Nothing is done with it alone; the next file is when the master is looked at again.
    content = gzip.compress(packed(frame[0], tmp_path / "x.cbf"))
    (folder / "x.cbf.gz").write_bytes(content)
    said = sorted([line(watch), line(watch)])
    assert said[0].startswith("out/s_master")
    assert "in 2 frames" in said[0]
    assert said[1].startswith("out/x.cbf.gz.cbf: ")
    interrupt(watch)
    assert not [
        path for path in (tmp_path / "out").iterdir() if "data_000001" in path.name and "master" not in path.name
    ]


def packed(counts, path: Path) -> bytes:
    """A CBF file of some counts."""
    WRITERS["cbf"][0](path, counts)
    return path.read_bytes()
