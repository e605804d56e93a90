"""Ray for tests: one cluster a session; commands run as users run them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from search.machines.resources import Resources
from tests.processes import Port, descendants, listening
from trainables.messages import Cost

ONE_CORE = Resources(cpus=1, gpus=0.0, memory=10**9, parallel=2)

COST = Cost(parameters=1, micro_batch=4, memory=10**8, headroom=10**8)
"""Of any training."""

SHARED_FRAMES = Path(__file__).resolve().parents[3] / "shared" / "frames"


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A local Ray for all in-process tests that need one."""
    from search.machines.cluster import cluster

    with cluster():
        yield


class Command:
    """`python -m search.run` in a folder of its own."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        # As a user's shell is: what Ray is told is the program's own business.
        known = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "TUNE_"))}
        self.environment = {**known, "XDG_CACHE_HOME": str(cache)}
        self.log = folder / "output.txt"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start it; output goes to the log."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "search.run", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run it to the end: exit code and output."""
        self.log.unlink(missing_ok=True)
        code = self.start(*arguments).wait(timeout=600)
        return code, self.log.read_text()


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of simulated frames, shared by all commands of the session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def command(tmp_path: Path, cache: Path) -> Command:
    return Command(tmp_path, cache)


SMALL = ("tunet", "--size", "128", "--frames", "12", "--trials", "4", "--epochs", "4", "--name", "x")
"""A run of half a minute. Without --minutes it is the number of epochs that ends the retraining, on any machine."""


class FinishedRun(NamedTuple):
    """A run that nothing disturbed."""

    folder: Path
    output: str
    ports: set[Port]
    """All that any of its processes listened on, from the start of Ray through search and retraining to the end."""


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> FinishedRun:
    """The one run of all tests that only look at one."""
    command = Command(tmp_path_factory.mktemp("finished"), cache)
    process = command.start(*SMALL)
    ports: set[Port] = set()
    while process.poll() is None:
        ports |= listening(descendants(process.pid))
        time.sleep(0.2)
    output = command.log.read_text()
    assert process.returncode == 0, output
    return FinishedRun(command.folder / "runs" / "x", output, ports)
