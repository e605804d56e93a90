"""A search on two nodes: one dies in the middle of it, or does not share the storage."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections import Counter

import pytest

from records.files import read_lines, read_table
from records.tables import Ladder, Trial
from tests.clusters.conftest import Cluster
from tests.processes import descendants, kill
from tests.search.conftest import Command, assert_optuna_agrees

pytestmark = pytest.mark.slow

TRIALS, EPOCHS = 3, 6
SMALL = (
    "tunet", "--size", "128", "--frames", "12", "--task", "residual", "--trials", str(TRIALS),
    "--epochs", str(EPOCHS), "--name", "x",
)  # fmt: skip


def test_a_node_that_dies_costs_no_trial(command: Command, nodes: Cluster) -> None:
    nodes.start()
    second = nodes.start()
    process = command.start(*SMALL)
    folder = command.folder / "runs" / "x"
    # Each node holds one trial at a time: when two have reported, one of them runs on the second node.
    end = time.monotonic() + 120
    while len({epoch.trial for epoch in read_lines(folder / "progress.jsonl")}) < 2:
        assert process.poll() is None, command.log.read_text()
        assert time.monotonic() < end, command.log.read_text()
        time.sleep(0.05)
    kill(descendants(second.pid))
    while not (folder / "winners.csv").exists():
        assert process.poll() is None, command.log.read_text()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)

    trials = read_table(folder / "trials.csv", Trial)
    assert sorted(trial.trial for trial in trials) == list(range(TRIALS))
    assert {trial.state for trial in trials} <= {"finished", "stopped"}
    (ladder,) = read_table(folder / "ladders.csv", Ladder)
    ends = ladder.length / ladder.epoch
    assert all((trial.epochs == ends) == (trial.state == "finished") for trial in trials)
    epochs = read_lines(folder / "progress.jsonl")
    assert max(Counter((epoch.trial, epoch.windows) for epoch in epochs).values()) == 1
    assert_optuna_agrees(folder)


def test_a_node_that_does_not_share_the_storage_is_named(command: Command, nodes: Cluster) -> None:
    apart = ("unshare", "--map-root-user", "--mount", "--propagation", "private", "sh", "-c",
             f"mount -t tmpfs none {command.folder} && exec \"$@\"", "node")  # fmt: skip
    if (
        shutil.which("unshare") is None
        or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs unshare and the right to mount in a namespace")
    nodes.start()
    nodes.start(*apart)
    code, output = command.run(*SMALL)
    assert code == 2
    line = output.splitlines()[-1]
    assert line.startswith("error: all machines of the cluster must share the folder of the runs, ")
    assert f"does not see {command.folder / 'runs' / 'x'}" in line
    assert "clusters/README.md" in line
    assert "Traceback" not in output
    assert {path.name for path in (command.folder / "runs" / "x").iterdir()} <= {"run.json", "optuna.journal"}
