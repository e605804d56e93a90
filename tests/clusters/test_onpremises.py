"""`ray up` with hosts of one's own, really run: against an ssh server on loopback, with a search on the cluster.

All of it happens in a namespace where no process but those of the test exists: whatever Ray stops, it is ours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from records.files import read_table
from records.tables import MethodScore
from tests.clusters.conftest import RAY, free_port
from tests.test_imports import PACKAGES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
MISSING = [program for program in ("ssh", "sshd", "rsync", "unshare") if shutil.which(program) is None]

SSHD = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/key
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
SetEnv HOME={folder}/home
"""

SCENE = """
set -e
mount -t tmpfs none /run && mkdir /run/sshd
"$(command -v sshd)" -D -e -f {folder}/sshd_config 2> {folder}/sshd.txt &
cd {folder}
ray up --yes --no-config-cache config.yaml
ray exec config.yaml "cd {folder}/project && RAY_ADDRESS=127.0.0.1:{port} .venv/bin/python -m search.run tunet \
    --size 128 --frames 12 --trials 1 --epochs 1 --task residual --name x"
ray exec config.yaml "cd {folder}/project && clusters/node.sh stop"
echo "left: $(readlink /proc/[0-9]*/exe | grep -c -e /raylet -e /gcs_server)"
ray down --yes config.yaml
"""


@pytest.fixture
def folder(cache: Path) -> Iterator[Path]:
    """The shared storage, with a project folder on it, and a home."""
    if MISSING or os.geteuid() or subprocess.run([*APART, "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"needs an ssh server, rsync and root; missing: {', '.join(MISSING) or 'root or namespaces'}")
    with tempfile.TemporaryDirectory(prefix="gap") as name:
        folder = Path(name)
        project = folder / "project"
        project.mkdir()
        for package in (*PACKAGES, "clusters"):
            (project / package).symlink_to(ROOT / package)
        (project / ".venv").symlink_to(sys.prefix)
        (folder / "home").mkdir()
        (folder / "home" / ".profile").write_text(f"export XDG_CACHE_HOME={cache} TMPDIR={folder}\n")
        (folder / "home" / ".bashrc").touch()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
        yield folder


def test_hosts_of_ones_own(folder: Path) -> None:
    ssh, ray = free_port(), free_port()
    (folder / "sshd_config").write_text(SSHD.format(port=ssh, folder=folder))
    text = (ROOT / "clusters" / "onpremises.yaml").read_text()
    config = yaml.safe_load(text.replace("/shared/gapsearch", str(folder / "project")).replace("6379", str(ray)))
    config["provider"] |= {"head_ip": "127.0.0.1", "worker_ips": []}
    config["auth"] = {
        "ssh_user": "root",
        "ssh_private_key": str(folder / "key"),
        # Ray has no setting for the port.
        "ssh_proxy_command": f"bash -c 'exec 3<>/dev/tcp/127.0.0.1/{ssh}; cat <&3 & exec cat >&3'",
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    known = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    done = subprocess.run(
        [*APART, "bash", "-c", SCENE.format(folder=folder, port=ray)],
        env={**known, "RAY_TMPDIR": str(folder), "PATH": f"{RAY.parent}:{known['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert "leaderboard: runs/x/report/index.html" in done.stdout
    assert "left: 0" in done.stdout
    assert "No nodes remaining." in done.stdout
    rows = {row.method for row in read_table(folder / "project" / "runs" / "x" / "leaderboard.csv", MethodScore)}
    assert "TUNet" in rows
    assert (folder / "home" / ".ray" / "auth_token").stat().st_mode & 0o077 == 0
