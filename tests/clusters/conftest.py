"""A cluster of Ray nodes on this machine, each with its own ports and folder; a token is asked for."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import descendants, kill
from tests.search.conftest import Command, cache

__all__ = ["cache"]

RAY = Path(sys.executable).with_name("ray")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Cluster:
    """Nodes of one core each; every one ends with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes: list[subprocess.Popen[bytes]] = []
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        known = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        self.environment = {**known, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        self.address = f"127.0.0.1:{free_port()}"

    def start(self, *before: str) -> subprocess.Popen[bytes]:
        """Start a node, the head first, and wait for it; `before` stands before its command."""
        number = len(self.nodes)
        head = ("--head", f"--port={self.address.rpartition(':')[2]}", "--include-dashboard=false")
        log = self.folder / f"node{number}.txt"
        with log.open("wb") as output:
            node = subprocess.Popen(
                [*before, str(RAY), "start", "--block", *((f"--address={self.address}",) if number else head),
                 "--num-cpus=1", f"--temp-dir={self.folder / str(number)}"],
                env=self.environment, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.nodes.append(node)
        end = time.monotonic() + 90
        while "Ray runtime started" not in log.read_text():
            assert node.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        return node

    def stop(self) -> None:
        """End every node and all that it started."""
        for node in reversed(self.nodes):
            # Below a node that is ended its workers would lose their parent, and be ours no longer.
            kill(descendants(node.pid))
            node.wait()


@pytest.fixture
def nodes() -> Iterator[Cluster]:
    """A cluster without nodes yet; in a folder of a short name, for a socket's path has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="gap", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder))
        try:
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture
def command(tmp_path: Path, cache: Path, nodes: Cluster) -> Command:
    """The command, on that cluster."""
    command = Command(tmp_path, cache)
    command.environment |= {**nodes.environment, "RAY_ADDRESS": nodes.address}
    return command
