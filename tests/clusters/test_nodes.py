"""A run on two nodes: one dies in the middle of a stage, or does not share the storage."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from records.files import read_lines, read_retraining, read_table
from records.tables import Ladder, MethodScore, Trial
from tests.clusters.conftest import Cluster
from tests.processes import descendants, kill
from tests.search.conftest import Command, assert_optuna_agrees

pytestmark = pytest.mark.slow

TASK = "_do"
"""What Ray calls the processes of a retraining, and of a few frames that are filled."""

TRIALS = 3
SMALL = (
    "tunet", "--size", "128", "--frames", "24", "--task", "residual", "--trials", str(TRIALS), "--epochs", "6",
    "--seeds", "2", "--name", "x",
)  # fmt: skip


def busy(node: subprocess.Popen[bytes]) -> bool:
    """Tell whether a process of a node is at work; Ray names its processes after what they do."""
    titles = []
    for process in descendants(node.pid):
        with suppress(OSError):
            titles.append(Path(f"/proc/{process}/cmdline").read_text(errors="replace"))
    return any(title.startswith("ray::") and TASK in title for title in titles)


def test_a_run_is_at_work_on_all_nodes_and_outlives_them(command: Command, nodes: Cluster) -> None:
    """In all stages; a node that dies costs nothing but the task, or the windows of a trial, that it was at."""
    head, second = nodes.start(), nodes.start()
    process = command.start(*SMALL)
    folder = command.folder / "runs" / "x"
    # Each node holds one trial at a time: when two have reported, one of them runs on the second node.
    command.wait_until(lambda: len({report.trial for report in read_lines(folder / "progress.jsonl")}) >= 2, process)
    kill(descendants(second.pid))
    third = nodes.start()

    def trained() -> dict[int, int]:
        """Windows that were seen by each seed."""
        return {one.seed: one.windows for one in read_retraining(folder / "retraining.jsonl")}

    command.wait_until(lambda: len(trained()) == 2, process)
    assert busy(head)
    assert busy(third)
    kill(descendants(third.pid))
    fourth = nodes.start()
    command.wait_until(lambda: len([*(folder / "models").glob("*.safetensors")]) == 2, process)
    command.wait_until(lambda: busy(head) and busy(fourth), process)
    kill(descendants(fourth.pid))
    assert process.wait(timeout=240) == 0, command.log.read_text()

    trials = read_table(folder / "trials.csv", Trial)
    assert sorted(trial.trial for trial in trials) == list(range(TRIALS))
    assert {trial.state for trial in trials} <= {"finished", "stopped"}
    (ladder,) = read_table(folder / "ladders.csv", Ladder)
    ends = ladder.length / ladder.epoch
    assert all((trial.epochs == ends) == (trial.state == "finished") for trial in trials)
    # What was trained is not trained again.
    reports = [(report.trial, report.windows) for report in read_lines(folder / "progress.jsonl")]
    again = [(report.seed, report.windows) for report in read_retraining(folder / "retraining.jsonl")]
    assert max(Counter(reports).values()) == max(Counter(again).values()) == 1
    assert_optuna_agrees(folder)
    assert set(trained()) == {0, 1}
    rows = {row.method: row for row in read_table(folder / "leaderboard.csv", MethodScore)}
    assert rows["TUNet"].seeds == 2
    assert {"linear", "biharmonic", "noise floor"} <= rows.keys()


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
