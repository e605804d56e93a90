"""Jobs done as Ray tasks, on all cores of this machine or of a cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from scattering.errors import InputError
from search.machines.cluster import cluster

Job = TypeVar("Job")
Result = TypeVar("Result")

RETRIES = 3
"""Times that a task is done again."""

AHEAD = 2
"""Tasks beyond one a core that wait for a core, or with their result for an earlier one."""


def on_ray(
    function: Callable[[Job], Result],
    jobs: Iterable[Job],
    *,
    cpus: int = 1,
    gpus: float = 0,
    again: Sequence[type[Exception]] = (),
) -> Iterator[Result]:
    """Do jobs as `map` does, many at once; results come in order.

    What the function holds, such as the arguments of a `partial`, is sent once. Each has so many cores and GPUs; a
    worker of Ray gives its task one thread. A worker that dies is replaced and its task done again, as it is after
    errors of those types. Raises InputError and OSError as the function does, and InputError where workers die again
    and again.
    """
    import ray

    options: Any = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": RETRIES, "retry_exceptions": list(again)}
    task: Any = ray.remote(**options)(_do)
    limit = int(ray.cluster_resources().get("CPU", 1)) + AHEAD  # type: ignore[no-untyped-call]
    shared = ray.put(function)
    running: deque[Any] = deque()
    try:
        for job in jobs:
            if len(running) >= limit:
                yield _result(running.popleft())
            running.append(task.remote(shared, job))
        while running:
            yield _result(running.popleft())
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def on_cluster(function: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
    """Do jobs as `on_ray` does, on a Ray that lasts as long as they do."""
    if todo := list(jobs):
        with cluster():
            yield from on_ray(function, todo)


def _do(function: Callable[[Job], Result], job: Job) -> Result:
    return function(job)


def _result(reference: Any) -> Any:
    import ray
    from ray.exceptions import OutOfMemoryError, RayTaskError, WorkerCrashedError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        # Ray's own message holds the traceback.
        if isinstance(error.cause, (InputError, OSError)):
            raise error.cause from None
        raise
    except (OutOfMemoryError, WorkerCrashedError):
        raise InputError(
            "a task was ended from outside again and again, as happens where memory is short: use fewer cores"
        ) from None
