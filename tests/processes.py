"""Processes of a test and the ports that they listen on, from /proc."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

LISTENING = "0A"
"""State in /proc/net/tcp."""


def descendants(pid: int) -> list[int]:
    """A process and all below it, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name, in brackets, may hold anything.
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.parent.name))
    found = [pid]
    for process in found:
        found += children.get(process, [])
    return found


def kill(pids: list[int]) -> None:
    """End processes at once, and wait until they are gone."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 20
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < end, f"{pids} do not end"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Port(NamedTuple):
    """A port that a process listens on."""

    address: str
    number: int
    process: str

    def is_local(self) -> bool:
        """Whether nobody reaches it from another machine."""
        address = ip_address(self.address)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def listening(pids: list[int]) -> set[Port]:
    """The TCP ports that processes listen on."""
    owners = {}
    for pid in pids:
        with suppress(OSError):
            for handle in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    owners[str(handle.readlink())] = pid
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            pid = owners.get(f"socket:[{words[9]}]")
            if words[3] == LISTENING and pid is not None:
                address, _, number = words[1].partition(":")
                with suppress(OSError):
                    program = Path(f"/proc/{pid}/cmdline").read_bytes().partition(b"\0")[0].decode()
                    found.add(Port(_address(address), int(number, 16), program.rpartition("/")[2].strip()))
    return found


def _address(text: str) -> str:
    """Words of four bytes, each as the processor keeps it."""
    words = [struct.pack("=I", int(text[i : i + 8], 16)) for i in range(0, len(text), 8)]
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, b"".join(words))
