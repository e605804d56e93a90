"""Ray, started quietly on this machine, or the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scattering.errors import InputError

SETTINGS = {
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
    # The default is 15: beside one busy program trials would get a twentieth of a core. `nice` before the command is
    # passed on to them.
    "RAY_worker_niceness": "0",
}

TOKEN = {
    # Ray takes it for granted for a Ray of our own, but not for one that RAY_ADDRESS names.
    "RAY_AUTH_MODE": "token",
}

LOOPBACK = {
    # Without it Ray takes 127.0.0.1 for a mistake and listens on all interfaces, even where nobody else is to join.
    # Read when ray is imported (ray/_private/services.py: resolve_ip_for_localhost).
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


@contextmanager
def cluster(cores: int | None = None) -> Iterator[None]:
    """Connect to Ray for the length of a block; a local Ray, of so many cores or all, is begun and ended by it.

    A process that is connected already, a notebook, stays so.
    """
    # A local Ray of our own, whatever else runs here, unless the user names a cluster.
    address = os.environ.get("RAY_ADDRESS", "local")
    for name, value in (SETTINGS | (LOOPBACK if address == "local" else TOKEN)).items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    # Ray leaves its token readable to everybody. A home that cannot be written holds none.
    with suppress(OSError):
        private = Path.home() / ".ray"
        private.mkdir(exist_ok=True)
        private.chmod(0o700)
    own: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1", "num_cpus": cores}
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


def elsewhere() -> bool:
    """Tell whether Ray is a cluster that the user named."""
    return os.environ.get("RAY_ADDRESS", "local") != "local"
