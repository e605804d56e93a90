"""Ray, started quietly on this machine, or the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scattering.errors import InputError

QUIET = {
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
    for name, value in (QUIET | LOOPBACK if address == "local" else QUIET).items():
        os.environ.setdefault(name, value)
    import ray

    local: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except ConnectionError:
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


def node_size() -> tuple[int, int]:
    """CPU cores and GPUs of the node that a worker should be cut for: the smallest with GPUs, else the largest.

    What all nodes have together says nothing of what fits on one.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    have = [(int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in nodes]
    with_gpus = [(cpus, gpus) for cpus, gpus in have if gpus]
    return min(with_gpus, key=lambda node: node[0] / node[1]) if with_gpus else max(have)


def total_gpus() -> int:
    """GPUs of all nodes together."""
    import ray

    return int(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]


def total_cpus() -> int:
    """CPU cores of all nodes together."""
    import ray

    return int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
