"""Ray, started quietly on this machine, or the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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


@contextmanager
def cluster() -> Iterator[None]:
    """Connect to Ray for the length of a block; a local Ray is started and ended with it."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    # A local Ray of our own, whatever else runs here, unless the user names a cluster.
    address = os.environ.get("RAY_ADDRESS", "local")
    own: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    local = own if address == "local" else {}
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ray.shutdown()
