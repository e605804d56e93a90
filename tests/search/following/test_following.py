"""A real run followed by a script, by `search.watch` and by its page, from the first to the last of its stages."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from records.files import read_lines, read_retraining, read_table
from records.tables import MethodScore
from reports import page
from search import watch
from search.following.display import __doc__ as documented
from tests.search.conftest import Command

pytestmark = pytest.mark.slow

SMALL = ["tunet", "--size", "128", "--frames", "12", "--trials", "2", "--epochs", "2"]


def test_a_run_can_be_followed_from_outside(command: Command) -> None:
    folder = command.folder / "runs" / "x"
    with (command.folder / "out.jsonl").open("wb") as out, (command.folder / "err.txt").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "search.run", *SMALL, "--name", "x", "--json"],
            cwd=command.folder, env=command.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
        )  # fmt: skip
    stages, drawn = set(), 0.0
    while process.poll() is None:
        if (folder / "run.json").exists():
            # Whatever the moment, neither fails; a page takes as long as some trials.
            stage = watch.read(folder, time.time()).stage
            if stage not in stages or time.monotonic() - drawn > 10:
                page.html(page.read(folder))
                drawn = time.monotonic()
            stages.add(stage)
        time.sleep(0.5)
    assert process.returncode == 0
    assert (command.folder / "err.txt").read_text() == ""
    assert {"x: searching tunet", "x: retraining"} <= stages
    events = [json.loads(line) for line in (command.folder / "out.jsonl").read_text().splitlines()]
    kinds = [event["event"] for event in events]
    assert all(f"\n    {kind} " in (documented or "") for kind in kinds)
    assert kinds.count("started") == kinds.count("ended") == 2
    assert kinds.count("epoch") == len(read_lines(folder / "progress.jsonl"))
    assert kinds.count("retrained") == len(read_retraining(folder / "retraining.jsonl"))
    assert kinds[-1] == "finished"
    assert [MethodScore(**score) for score in events[-1]["scores"]] == read_table(
        folder / "leaderboard.csv", MethodScore
    )
    assert (command.folder / events[-1]["leaderboard"]).exists()
    code, output = command.run("tunet", "--name", "x", "--resume", "--quiet")
    assert (code, output) == (0, "runs/x/report/index.html\n")
