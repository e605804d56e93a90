"""Ray, started quietly on this machine, or the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import logging
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scattering.cores import usable_cores
from scattering.errors import InputError, one_line

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


LOCAL = "local"


@contextmanager
def cluster(cores: int | None = None) -> Iterator[None]:
    """Connect to Ray for the length of a block; a local Ray, of so many cores or all, is begun and ended by it.

    A process that is connected already, a notebook, stays so.
    """
    address = _address()
    for name, value in (SETTINGS | (LOOPBACK if address == LOCAL else TOKEN)).items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    _keep_token_private()
    local = _own(cores) if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except (OSError, ValueError, RuntimeError, ray.exceptions.AuthenticationError) as error:
        if address != LOCAL:
            raise InputError(
                f"RAY_ADDRESS must name a running Ray cluster whose token is in ~/.ray/auth_token, got {address!r}: "
                "start one and give its HOST:PORT, or unset RAY_ADDRESS to run on this machine"
            ) from None
        raise InputError(
            f"Ray must be able to start on this machine, got {one_line(error)}: free its ports and memory, or set "
            "RAY_TMPDIR to a folder of your own"
        ) from None
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ray.shutdown()


def elsewhere() -> bool:
    """Tell whether Ray is a cluster that the user named."""
    return _address() != LOCAL


def _address() -> str:
    """Return a local Ray of our own, whatever else runs here, unless the user names a cluster."""
    return os.environ.get("RAY_ADDRESS") or LOCAL


def _keep_token_private() -> None:
    """See that nobody else can read Ray's token, which Ray leaves readable to everybody.

    Without a home that can be written there is none: then the processes of our own Ray hand it on.
    """
    try:
        private = Path.home() / ".ray"
        private.mkdir(exist_ok=True)
        private.chmod(0o700)
    except (OSError, RuntimeError):
        if _address() == LOCAL and not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _own(cores: int | None) -> dict[str, Any]:
    """Return how a Ray of our own is started."""
    return {
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
        "num_cpus": cores or usable_cores(),
        "_temp_dir": str(_sockets()),
    }


LONGEST = 107
"""Bytes of the path of a socket: Linux takes no more."""

SOCKET = len("/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store")
"""Bytes of what Ray adds to its folder."""


SHARED = (Path("/tmp"), Path("/var/tmp"))
"""Folders of all users, with short paths."""


def _sockets() -> Path:
    """Return a folder for Ray's sockets and logs, with a short path, in which this user can write.

    Ray's own place, or where that is taken by somebody else or too deep, one in /tmp: within a folder that only
    this user can enter, for Ray opens its own to everybody.

    Raises InputError where there is none.
    """
    usual = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray"
    for folder in (usual, *(root / f"gapsearch-{os.getuid()}" / "ray" for root in SHARED)):
        with suppress(OSError):
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder != usual and not _is_ours(folder.parent):
                continue
            folder.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                if len(os.fsencode(folder)) + SOCKET <= LONGEST:
                    return folder
    raise InputError(
        f"Ray needs a folder that can be written, with a path of {LONGEST - SOCKET} bytes or fewer, for its sockets, "
        f"got {usual}: set RAY_TMPDIR to one"
    )


def _is_ours(folder: Path) -> bool:
    """Tell whether nobody else can write in a folder whose name anybody could have taken first."""
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022
