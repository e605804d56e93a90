"""The model that comes along: it is what its page says, and `make inpaint` fills a frame with it."""

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - the codec of what is filled
import numpy as np
import pytest
from PIL import Image

from search.inpaint import load

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "pilatus2m.safetensors"


def test_its_scores_are_those_of_its_leaderboard_and_its_page():
    told = load(MODEL, "cpu").description
    with MODEL.with_suffix(".csv").open(newline="") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    page = (ROOT / "models" / "README.md").read_text(encoding="utf-8")
    assert set(told.scores) == {"TUNet", "biharmonic"}
    for method, scores in told.scores.items():
        for name, value in scores.items():
            assert value == float(rows[method][name])
            shown = f"{value * 1e3:.2f}" if name.endswith("l1") else f"{value:.4f}"
            (line,) = re.findall(rf"^\| {method}\b.*$", page, re.MULTILINE)
            assert shown in line
    assert MODEL.stat().st_size < 2**20


@pytest.mark.slow
def test_make_inpaint_fills_a_frame_and_shows_it(tmp_path):
    recipe = re.search(r"^inpaint: setup\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    (tmp_path / "models").symlink_to(MODEL.parent)
    lines = recipe[1].replace("\\\n", " ").splitlines()
    commands = [shlex.split(line.replace("$(BIN)/python", sys.executable)) for line in lines if "$(BIN)" in line]
    assert len(commands) == 2
    for command in commands:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    with (
        h5py.File(tmp_path / "filled" / "measured.h5") as before,
        h5py.File(tmp_path / "filled" / "filled.h5") as after,
    ):
        missing = before["frames"][0] < 0
        np.testing.assert_array_equal(after["frames"][0][~missing], before["frames"][0][~missing])
        assert (after["frames"][0][missing] >= 0).mean() > 0.9
    with Image.open(tmp_path / "filled" / "before_after.png") as picture:
        assert min(picture.size) > 500
