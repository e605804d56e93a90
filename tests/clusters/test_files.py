"""Cluster files checked without any cloud: Ray's own schema, and what they must never do."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.test_imports import PACKAGES

ROOT = Path(__file__).parents[2]
CLUSTERS = ROOT / "clusters"
RAY_UP = [ROOT / "cluster.yaml", CLUSTERS / "onpremises.yaml"]
SCRIPTS = sorted(CLUSTERS.glob("*.sh"))


def load(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return config


def test_every_file_is_known_here() -> None:
    there = {path for path in [ROOT / "cluster.yaml", *CLUSTERS.iterdir()] if path.is_file()}
    assert there == {*RAY_UP, *SCRIPTS, *(CLUSTERS / name for name in ("README.md", "Dockerfile", "kuberay.yaml"))}


@pytest.mark.parametrize("path", RAY_UP, ids=lambda path: path.name)
def test_ray_takes_the_file(path: Path) -> None:
    validate_config(prepare_config(load(path)))


@pytest.mark.parametrize("path", RAY_UP, ids=lambda path: path.name)
def test_ray_asks_for_a_token_and_shows_nothing(path: Path) -> None:
    config = load(path)
    assert config["cluster_synced_files"] == ["~/.ray/auth_token"]
    assert any("get-auth-token --generate" in command for command in config["head_setup_commands"])
    head, worker = (
        [command for command in config[f"{kind}_start_ray_commands"] if "ray start" in command]
        for kind in ("head", "worker")
    )
    assert len(head) == len(worker) == 1
    assert "--dashboard-host=127.0.0.1" in head[0]
    assert "--autoscaling-config=" in head[0]
    script = (CLUSTERS / "node.sh").read_text()
    for command in head + worker:
        assert "RAY_AUTH_MODE=token" in (script if "node.sh" in command else command)
        assert "0.0.0.0" not in command


def test_the_cloud_costs_nothing_without_trials_and_lets_nobody_in() -> None:
    config = load(ROOT / "cluster.yaml")
    prepared = prepare_config(config)
    assert prepared["provider"]["cache_stopped_nodes"] is False
    assert prepared["idle_timeout_minutes"] <= 5
    for kind in config["available_node_types"].values():
        assert kind.get("min_workers", 0) == 0
        # A group of the user's: one that Ray makes lets the world in at port 22.
        assert kind["node_config"]["SecurityGroupIds"] == ["sg-REPLACE_ME"]
    assert "security_group" not in config["provider"]


def test_the_cloud_gets_all_that_a_search_needs() -> None:
    """What is copied is there, and a fresh environment can be made of it."""
    mounts = load(ROOT / "cluster.yaml")["file_mounts"]
    assert all(remote == f"~/gapsearch/{local}" for remote, local in mounts.items())
    assert all((ROOT / local).exists() for local in mounts.values())
    project = (ROOT / "pyproject.toml").read_text()
    packages = re.findall(r'"(\w+)\*"', project)
    assert set(packages) == {*PACKAGES} - {"benchmarks"}
    assert {*packages, "pyproject.toml", "constraints.txt", "README.md", "LICENSE"} <= set(mounts.values())


def test_hosts_that_others_use_are_left_alone() -> None:
    config = load(CLUSTERS / "onpremises.yaml")
    commands = [command for key, value in config.items() if key.endswith("commands") for command in value]
    assert not [command for command in commands if "ray stop" in command]
    lines = (CLUSTERS / "node.sh").read_text().splitlines()
    assert not [line for line in lines if re.search(r"ray stop|pkill|killall", line) and not line.startswith("#")]


def test_kubernetes_manifest() -> None:
    """What the RayCluster resource of KubeRay requires, and what we promise; the whole schema is not here."""
    claim, policy, cluster = yaml.safe_load_all((CLUSTERS / "kuberay.yaml").read_text())
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    spec = cluster["spec"]
    assert {"rayVersion", "headGroupSpec", "workerGroupSpecs"} <= set(spec)
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["rayStartParams"]["dashboard-host"] == "127.0.0.1"
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group in groups:
        # Strings to strings, as the resource has it.
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["workingDir"] == container["volumeMounts"][0]["mountPath"]
        assert pod["volumes"][0]["name"] == container["volumeMounts"][0]["name"]
        assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    for group in spec["workerGroupSpecs"]:
        assert re.fullmatch(r"[a-z0-9-]+", group["groupName"])
        assert group["replicas"] == group["minReplicas"] == 0 < group["maxReplicas"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    # Only its own pods come in.
    own = {"matchLabels": {"ray.io/cluster": cluster["metadata"]["name"]}}
    assert policy["spec"]["podSelector"] == own
    assert policy["spec"]["ingress"] == [{"from": [{"podSelector": own}]}]


def test_one_version_of_ray() -> None:
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints-shared.txt").read_text(), re.MULTILINE)
    assert pinned
    assert pinned[1] == ray.__version__
    *_, cluster = yaml.safe_load_all((CLUSTERS / "kuberay.yaml").read_text())
    assert cluster["spec"]["rayVersion"] == ray.__version__
    assert f"rayproject/ray:{ray.__version__}-py" in (CLUSTERS / "Dockerfile").read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_are_bash(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)


def test_the_node_script_may_be_run(tmp_path: Path) -> None:
    assert (CLUSTERS / "node.sh").stat().st_mode & stat.S_IXUSR
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([CLUSTERS / "node.sh"], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert "clusters/node.sh stop" in done.stderr


SRUN = """#!/bin/bash
echo "srun $*" >> "{folder}/calls"
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""

RAY = """#!/bin/bash
echo "ray $*" >> "{folder}/calls"
[ "$1" = get-auth-token ] && mkdir -p ~/.ray && echo token > ~/.ray/auth_token
while [[ $# -gt 0 && $1 != -- ]]; do shift; done
shift || true
exec "$@"
"""


def test_slurm_runs_the_search_once_on_all_nodes(tmp_path: Path) -> None:
    """The script's own logic, with stand-ins for Slurm, which is not here, and Ray, which would stop every Ray."""
    home, programs = tmp_path / "home", tmp_path / "project" / ".venv" / "bin"
    home.mkdir()
    programs.mkdir(parents=True)
    for name, text in {
        "srun": SRUN,
        "ray": RAY,
        "scontrol": "#!/bin/bash\nprintf 'node7\\nnode8\\n'",
        "python": '#!/bin/bash\nprintf "%s " "$RAY_ADDRESS" "$RAY_AUTH_MODE" "$@"',
    }.items():
        (programs / name).write_text(text.format(folder=tmp_path) if "{" in text else text)
        (programs / name).chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "node[7-8]", "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_ON_NODE": "64"}
    done = subprocess.run(
        ["bash", CLUSTERS / "slurm.sh", "tunet", "--name", "two words"],
        cwd=tmp_path / "project", env={**os.environ, **slurm, "HOME": str(home)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "node7:6379 token -m search.run tunet --name two words "
    assert (home / ".ray" / "auth_token").stat().st_mode & 0o077 == 0
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[0] == "ray get-auth-token --generate"
    assert calls[1].startswith("srun --cpus-per-task=64 ray symmetric-run ")
    assert "--address=node7:6379 --min-nodes=2 --num-cpus=64 -- env RAY_ADDRESS=node7:6379" in calls[2]


def test_slurm_takes_whole_nodes() -> None:
    options = re.findall(r"^#SBATCH --(\S+)", (CLUSTERS / "slurm.sh").read_text(), re.MULTILINE)
    assert "exclusive" in options
    assert "ntasks-per-node=1" in options


def test_the_page_tells_what_can_be_typed() -> None:
    from search import run

    page = (CLUSTERS / "README.md").read_text()
    searches = re.findall(r"(?:search\.run|slurm\.sh) +(\w[^\n>`]*)", page)
    assert len(searches) == 5
    for arguments in searches:
        run.parser().parse_args(shlex.split(arguments))


def test_the_page_names_files_that_are_there() -> None:
    page = (CLUSTERS / "README.md").read_text()
    for name in re.findall(r"clusters/[\w.]+\w|\bcluster\.yaml", page):
        assert (ROOT / name).exists(), name
