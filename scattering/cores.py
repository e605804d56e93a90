"""Jobs done on the cores of this machine, one process a core."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from scattering.errors import InputError
from scattering.preparation import Tasks

Job = TypeVar("Job")
Result = TypeVar("Result")

AHEAD = 2
"""Jobs beyond one a core that wait for a core, or with their result for an earlier one."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Settings of libraries that would otherwise start a thread for every core in each of the processes."""


CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of all cores together, or max, and the microseconds in which they may be used up: of a container."""


def usable_cores() -> int:
    """Return the number of cores that this process may use.

    As its affinity says (`taskset`, `srun`), the quota of its container, or the job of Slurm that it is.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = CGROUP_QUOTA.read_text().split()
        cores = min(cores, max(int(quota) // int(period), 1))
    with suppress(KeyError, ValueError):
        cores = min(cores, max(int(os.environ["SLURM_CPUS_PER_TASK"]), 1))
    return cores


@contextmanager
def on_cores(cores: int | None = None) -> Iterator[Tasks]:
    """Start processes, as many as there are cores if not said otherwise, that do jobs as `map` does.

    They end with the block, and with this process however it ends. A function may raise InputError; a process that
    is ended from outside raises it, too.
    """
    count = cores or usable_cores()
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))  # read when a process starts
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_begin)

    def tasks(function: Callable[[Job], Result], jobs: Iterable[Job], /) -> Iterator[Result]:
        running: deque[Future[Result]] = deque()
        try:
            for job in jobs:
                if len(running) >= count + AHEAD:
                    yield running.popleft().result()
                running.append(pool.submit(function, job))
            while running:
                yield running.popleft().result()
        except BrokenProcessPool:
            raise InputError(
                "a process was ended from outside, as happens where memory is short: use fewer --cores"
            ) from None

    try:
        yield tasks
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _begin() -> None:
    """Leave Ctrl-C to the process that started this one, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent: Any = multiprocessing.parent_process()
    parent.join()
    os._exit(1)
