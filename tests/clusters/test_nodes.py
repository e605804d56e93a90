"""A search on two nodes: one dies in the middle of it, or does not share the storage."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections import Counter

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from records.files import read_lines, read_table
from records.tables import MethodScore, Trial
from tests.clusters.conftest import Cluster
from tests.processes import descendants, kill
from tests.search.conftest import Command

pytestmark = pytest.mark.slow

TRIALS, EPOCHS = 4, 8
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
    assert process.wait(timeout=240) == 0, command.log.read_text()

    trials = read_table(folder / "trials.csv", Trial)
    assert sorted(trial.trial for trial in trials) == list(range(TRIALS))
    assert {trial.state for trial in trials} <= {"finished", "stopped"}
    epochs = read_lines(folder / "progress.jsonl")
    assert max(Counter((epoch.trial, epoch.epoch) for epoch in epochs).values()) == 1
    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.journal")))
    study = optuna.load_study(study_name="tunet", storage=storage)
    tried = [trial for trial in study.trials if trial.state.name != "WAITING"]
    assert [trial.number for trial in tried] == list(range(TRIALS))
    states = {"finished": "COMPLETE", "stopped": "PRUNED"}
    for trial in trials:
        values = {epoch.epoch: epoch.val_gap_l1 for epoch in epochs if epoch.trial == trial.trial}
        assert list(values) == list(range(1, trial.epochs + 1))
        assert (trial.epochs == EPOCHS) == (trial.state == "finished")
        assert tried[trial.trial].state.name == states[trial.state]
        assert tried[trial.trial].intermediate_values == values
    assert "TUNet" in {row.method for row in read_table(folder / "leaderboard.csv", MethodScore)}


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
