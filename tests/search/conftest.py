"""Ray for tests: one cluster a session; commands run as users run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from records.files import read_lines, read_table
from records.tables import Ladder, Trial
from reports import page
from search import watch
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

    def __init__(self, folder: Path, cache: Path, log: Path | None = None) -> None:
        self.folder = folder
        # As a user's shell is: what Ray is told is the program's own business.
        known = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "TUNE_"))}
        self.environment = {**known, "XDG_CACHE_HOME": str(cache)}
        self.log = log or folder / "output.txt"

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

    def wait_until(self, reached: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 240) -> None:
        """Wait for what a process of it comes to while it runs."""
        end = time.monotonic() + seconds
        while not reached():
            assert process.poll() is None, f"the command ended too early: {self.log.read_text()}"
            assert time.monotonic() < end, f"not after {seconds} s: {self.log.read_text()}"
            time.sleep(0.02)

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


SMALL = (
    "tunet", "--size", "128", "--frames", "12", "--trials", "4", "--epochs", "4", "--parallel", "1", "--name", "x",
)  # fmt: skip
"""A run of half a minute, whose search is the same whenever it is done: one trial at a time."""


class FinishedRun(NamedTuple):
    """A run that nothing disturbed."""

    folder: Path
    events: list[dict[str, Any]]
    """What it printed."""
    stages: set[str]
    """What `search.watch` called it on the way."""
    ports: set[Port]
    """All that any of its processes listened on, from the start of Ray through search and retraining to the end."""


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> FinishedRun:
    """The one run of all tests that only look at one; while it goes on it is watched, and its page is made."""
    command = Command(tmp_path_factory.mktemp("finished"), cache)
    folder = command.folder / "runs" / "x"
    process = command.start(*SMALL, "--json")
    ports: set[Port] = set()
    stages: set[str] = set()
    while process.poll() is None:
        ports |= listening(descendants(process.pid))
        if (folder / "run.json").exists():
            # Whatever the moment, neither fails.
            stage = watch.read(folder, time.time()).stage
            if stage not in stages:
                page.html(page.read(folder))
            stages.add(stage)
        time.sleep(0.2)
    output = command.log.read_text()
    assert process.returncode == 0, output
    return FinishedRun(folder, [json.loads(line) for line in output.splitlines()], stages, ports)


STATES = {
    "finished": "COMPLETE",
    "stopped": "PRUNED",
    "interrupted": "PRUNED",
    "infeasible": "PRUNED",
    "failed": "FAIL",
}


def assert_optuna_agrees(folder: Path, network: str = "tunet") -> None:
    """The journal, the records of trials and the table tell one story; nothing runs for ever."""
    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.journal")))
    study = optuna.load_study(study_name=network, storage=storage)
    reports = read_lines(folder / "progress.jsonl")
    ladder = next(one for one in read_table(folder / "ladders.csv", Ladder) if one.study == network)
    table = {trial.trial: trial for trial in read_table(folder / "trials.csv", Trial)}
    proposed = [trial for trial in study.trials if trial.state.name != "WAITING"]
    assert sorted(table) == [trial.number for trial in proposed]
    for trial in proposed:
        row = table[trial.number]
        assert trial.state.name == (STATES[row.state] if row.epochs or row.state == "infeasible" else "FAIL")
        assert trial.params == row.config
        values = {report.windows: report.val_gap_l1 for report in reports if report.trial == trial.number}
        assert trial.intermediate_values == values
        assert list(values) == sorted(values)
        assert max(values, default=0) == round(row.epochs * ladder.epoch)
