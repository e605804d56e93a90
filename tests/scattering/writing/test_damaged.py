"""What can be read though it is damaged is written as it was filled, or refused."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_files_damaged_at_random(tmp_path):
    command = [sys.executable, "-m", "tests.scattering.writing.fuzzing", str(tmp_path), "80", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    read, written = (sum(map(int, re.findall(rf"(\d+) of {of}", done.stdout))) for of in ("80 read", "them written"))
    assert 0.95 * read < written <= read
    assert read > 200
