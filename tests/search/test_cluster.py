"""Who may reach the Ray of a run, and which machines a run may use."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.cluster import LOOPBACK
from tests.processes import Port, descendants, kill, listening
from tests.search.conftest import Command

pytestmark = pytest.mark.slow

CLIENT = """
import ray
ray.init(address={address!r}, log_to_driver=False)
print("connected,", len(ray.nodes()), "node")
"""

HOLD = """
import time
from search.cluster import cluster
with cluster():
    import ray
    print(ray.get_runtime_context().gcs_address, flush=True)
    time.sleep(600)
"""


def test_no_port_of_a_local_run_listens_beyond_loopback(command: Command) -> None:
    """Every port of every process, from the start of Ray through search and retraining to the end."""
    process = command.start(
        "tunet", "--size", "128", "--frames", "24", "--trials", "2", "--epochs", "2", "--minutes", "0.4",
        "--task", "residual", "--name", "x",
    )  # fmt: skip
    seen: set[Port] = set()
    while process.poll() is None:
        seen |= listening(descendants(process.pid))
        time.sleep(0.2)
    assert process.returncode == 0, command.log.read_text()
    owners = " ".join(port.process for port in seen)
    assert all(name in owners for name in ("gcs_server", "raylet", "ray::ImplicitFunc", "ray::RayTrainWorker")), (
        owners
    )
    assert {port for port in seen if not port.is_local()} == set()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the Ray of a local run listens, for as long as the module's tests last."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    assert process.stdout is not None
    with process:
        yield process.stdout.readline().strip()
        kill(descendants(process.pid))


def client(address: str, **environment: str) -> subprocess.Popen[str]:
    """A program that connects to a Ray as any other program on this machine could."""
    known = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT.format(address=address)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**known, **LOOPBACK, **environment},
    )


def test_only_who_has_the_token_connects(address: str, tmp_path: Path) -> None:
    wrong = tmp_path / "token"
    wrong.write_text("0" * 64)
    clients = {
        "none": client(address, RAY_AUTH_MODE="disabled"),
        "wrong": client(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(wrong)),
        "right": client(address, RAY_AUTH_MODE="token"),
    }
    answers = {}
    try:
        for name, process in clients.items():
            answers[name] = process.communicate(timeout=120)[0]
    finally:
        for process in clients.values():
            kill(descendants(process.pid))
            process.communicate()
    assert "connected, 1 node" in answers["right"]
    for name in ("none", "wrong"):
        assert clients[name].returncode != 0
        assert "connected" not in answers[name].splitlines()[-1]
        assert "ConnectionError" in answers[name]
