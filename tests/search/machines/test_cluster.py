"""Who may reach the Ray of a run, and which machines a run may use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from search.machines.cluster import LOOPBACK
from tests.processes import descendants, kill
from tests.search.conftest import FinishedRun

pytestmark = pytest.mark.slow

CLIENT = """
import ray
ray.init(address={address!r}, log_to_driver=False)
print("connected,", len(ray.nodes()), "node")
"""

HOLD = """
import time
from search.machines.cluster import cluster
with cluster():
    import ray
    print(ray.get_runtime_context().gcs_address, flush=True)
    time.sleep(600)
"""


def test_no_port_of_a_local_run_listens_beyond_loopback(finished: FinishedRun) -> None:
    owners = " ".join(port.process for port in finished.ports)
    for name in ("gcs_server", "raylet", "ray::ImplicitFunc", "ray::_do"):
        assert name in owners
    assert {port for port in finished.ports if not port.is_local()} == set()


class Local(NamedTuple):
    """The Ray of a local run."""

    address: str
    home: Path


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    """The Ray of a run of somebody who never used Ray before, and whose files are open to all."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        umask=0o022,
        env={**environment, "HOME": str(tmp_path)},
    )
    assert process.stdout is not None
    with process:
        yield Local(process.stdout.readline().strip(), tmp_path)
        kill(descendants(process.pid))


def client(local: Local, **environment: str) -> subprocess.Popen[str]:
    """A program that connects to a Ray as any other program on this machine could."""
    known = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT.format(address=local.address)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**known, **LOOPBACK, "HOME": str(local.home), **environment},
    )


def test_only_who_has_the_token_connects(local: Local, tmp_path: Path) -> None:
    token = local.home / ".ray" / "auth_token"
    assert len(token.read_text()) >= 32
    assert token.parent.stat().st_mode & 0o777 == 0o700
    wrong = tmp_path / "wrong"
    wrong.write_text("0" * 64)
    clients = {
        "none": client(local, RAY_AUTH_MODE="disabled"),
        "wrong": client(local, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(wrong)),
        "right": client(local, RAY_AUTH_MODE="token"),
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


def test_a_cluster_is_not_joined_without_a_token(tmp_path: Path) -> None:
    known = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", HOLD],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**known, "HOME": str(tmp_path), "RAY_ADDRESS": "127.0.0.1:1"},
    )
    assert "InputError: RAY_ADDRESS must name a running Ray cluster whose token is in" in done.stderr
    assert not (tmp_path / ".ray" / "auth_token").exists()
