"""Ray, started quietly on this machine, or the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from scattering.errors import InputError

SETTINGS = {
    # Ray takes it for granted for a Ray of our own, but not for one that RAY_ADDRESS names.
    "RAY_AUTH_MODE": "token",
    # Ray's own console output: our display says what matters.
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # No files per trial: the run folder has our own records.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Tune's snapshots are not what a resumed run is made from.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    # Ctrl-C must reach us.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # The default polls every 2 s, and every report of a training worker waits for a poll.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
}

LOOPBACK = {
    # Without it Ray takes 127.0.0.1 for a mistake and listens on all interfaces, even where nobody else is to join.
    # Read when ray is imported (ray/_private/services.py: resolve_ip_for_localhost).
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


@contextmanager
def cluster() -> Iterator[None]:
    """Connect to Ray for the length of a block; a local Ray is started and ended with it."""
    # A local Ray of our own, whatever else runs here, unless the user names a cluster.
    address = os.environ.get("RAY_ADDRESS", "local")
    for name, value in (SETTINGS | LOOPBACK if address == "local" else SETTINGS).items():
        os.environ.setdefault(name, value)
    import ray

    # Ray leaves its token readable to everybody. A home that cannot be written holds none.
    with suppress(OSError):
        private = Path.home() / ".ray"
        private.mkdir(exist_ok=True)
        private.chmod(0o700)
    own: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    local = own if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except (ConnectionError, ray.exceptions.AuthenticationError):
        raise InputError(
            f"RAY_ADDRESS must name a running Ray cluster whose token is in ~/.ray/auth_token, got {address!r}: "
            "start one, or unset RAY_ADDRESS to run on this machine"
        ) from None
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ray.shutdown()


RETRIES = 3
"""Times that the work of a process that died is taken up again, from its last checkpoint: nodes come and go."""

TENSORS = 0.6
"""Share of a CPU trial's memory for tensors; operators take up to as much again as two thirds of these, unseen."""


class Node(NamedTuple):
    """What a live node has."""

    cpus: int
    gpus: int
    memory: int
    """Bytes for workers: without the store of shared objects."""
    store: int
    """Bytes for shared objects, such as the data set."""


@dataclass(frozen=True)
class Resources:
    """What each training gets, and how many there are at once."""

    cpus: int
    gpus: float
    memory: int | None
    """Bytes for weights, gradients and batches; None: those of its share of the GPU."""
    parallel: int

    @classmethod
    def for_one(cls, cpus: int, gpus: float) -> Resources:
        """Resources of a single training."""
        return cls(cpus, gpus, None if gpus else _memory(cpus), 1)


def resources(
    cpus: int | None = None, gpus: float | None = None, memory_gb: float | None = None, parallel: int | None = None
) -> Resources:
    """Cut the nodes into shares for trials; what is not given is a whole GPU with its cores, or a core without GPUs.

    Raises InputError where a trial would fit no node of a Ray on this machine. A cluster may add nodes.
    """
    node_cpus, node_gpus = node_size()
    if gpus is None:
        gpus = 1.0 if node_gpus else 0.0
    if cpus is None:
        cpus = max(1, int(node_cpus * gpus / node_gpus)) if gpus and node_gpus else 1
    slots = sum(
        min(node.cpus // cpus, int(node.gpus / gpus) if gpus else node.cpus)
        for node in nodes()
        if node.cpus >= cpus and node.gpus >= gpus
    )
    if not slots and not elsewhere():
        raise InputError(
            f"a trial must fit this machine, which has {node_cpus} CPU cores and {node_gpus} GPUs, "
            f"got {cpus} and {gpus:g} for each trial: ask for less"
        )
    memory = int(memory_gb * 1e9) if memory_gb is not None else None if gpus else _memory(cpus)
    return Resources(cpus, gpus, memory, parallel or max(slots, 1))


def _memory(cpus: int) -> int:
    """Bytes for the tensors of a training that takes so many cores of a node, on the node where they are fewest."""
    return min(int(TENSORS * node.memory / max(node.cpus // cpus, 1)) for node in nodes() if node.cpus)


def elsewhere() -> bool:
    """Whether Ray is a cluster that the user named."""
    return os.environ.get("RAY_ADDRESS", "local") != "local"


def nodes() -> list[Node]:
    """Return the nodes that are alive."""
    import ray

    have = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    names = ("CPU", "GPU", "memory", "object_store_memory")
    return [Node(*(int(node.get(name, 0)) for name in names)) for node in have]


def node_size() -> tuple[int, int]:
    """CPU cores and GPUs of the node that a worker should be cut for: the smallest with GPUs, else the largest.

    What all nodes have together says nothing of what fits on one.
    """
    have = [(node.cpus, node.gpus) for node in nodes()]
    with_gpus = [(cpus, gpus) for cpus, gpus in have if gpus]
    return min(with_gpus, key=lambda node: node[0] / node[1]) if with_gpus else max(have)


def total_gpus() -> int:
    """GPUs of all nodes together."""
    return sum(node.gpus for node in nodes())
