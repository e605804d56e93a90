"""Where a Ray of our own is started, and on how many cores, in odd environments. No Ray is started here."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from scattering import cores
from scattering.errors import InputError
from search.machines import cluster


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_TMPDIR", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("given", "elsewhere"), [("", False), ("local", False), ("10.0.0.1:6379", True)])
def test_an_empty_address_is_none(given: str, elsewhere: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", given)
    assert cluster.elsewhere() is elsewhere


def test_the_folder_that_the_user_gives_is_taken_where_sockets_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = tmp_path.parents[-2] / f"g{os.getpid()}"
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    try:
        assert cluster._sockets() == short / "ray"
    finally:
        (short / "ray").rmdir()
        short.rmdir()


def test_a_deep_folder_is_not_taken_and_the_one_taken_holds_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("x" * 80)))
    folder = cluster._sockets()
    assert not folder.is_relative_to(tmp_path)
    session = folder / f"session_2026-01-01_00-00-00_123456_{os.getpid():07d}" / "sockets"
    session.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(session / "plasma_store"))
    (session / "plasma_store").unlink()
    session.rmdir()
    session.parent.rmdir()


def test_a_folder_that_cannot_be_written_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ray").write_text("a file in its place")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert cluster._sockets() != tmp_path / "ray"


def test_a_folder_that_others_can_write_in_is_not_taken_where_all_have_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"gapsearch-{os.getuid()}"
    open_to_all, own, short = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    for folder in (open_to_all, own):
        (folder / name).mkdir(parents=True)
    (open_to_all / name).chmod(0o777)
    (own / name).chmod(0o700)
    short.mkdir()
    (short / name).symlink_to(own / name)
    monkeypatch.setattr(cluster, "LONGEST", 10**4)
    monkeypatch.setattr(cluster, "SHARED", (open_to_all, short, own))
    (tmp_path / "ray").write_text("a file in its place")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    taken = cluster._sockets()
    assert taken == own / name / "ray"
    taken.chmod(0o777)  # as Ray leaves it
    assert cluster._sockets() == taken


def test_without_any_folder_it_is_said_which_would_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(cluster, "LONGEST", 60)
    with pytest.raises(InputError, match="RAY_TMPDIR") as caught:
        cluster._sockets()
    assert "\n" not in str(caught.value)


def test_without_a_home_processes_hand_on_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")
    del os.environ["RAY_AUTH_TOKEN"]
    monkeypatch.setenv("HOME", "/proc/none")
    cluster._keep_token_private()
    assert len(os.environ.pop("RAY_AUTH_TOKEN")) == 64


@pytest.mark.parametrize(
    ("quota", "most"), [("150000 100000", 1), ("max 100000", 10**6), ("50000 100000", 1), ("", 10**6)]
)
def test_the_quota_of_a_container_counts(
    quota: str, most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = cores.usable_cores()
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(cores, "CGROUP_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores.usable_cores() == min(8, most)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert cores.usable_cores() == 1
    assert before >= 1
