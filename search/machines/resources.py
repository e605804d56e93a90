"""The share of the machines that each training gets, and the number of trainings at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from scattering.errors import InputError
from search.machines.cluster import elsewhere

TENSORS = 0.6
"""Share of a CPU trial's memory for tensors; operators take up to as much again as two thirds of these, unseen."""


class Node(NamedTuple):
    """The resources of a live node."""

    cpus: int
    gpus: int
    memory: int
    """Bytes for workers: without the store of shared objects."""
    store: int
    """Bytes for shared objects, such as the data set."""


@dataclass(frozen=True)
class Resources:
    """The share of each training, and the number of trainings at once."""

    cpus: int
    gpus: float
    memory: int | None
    """Bytes for weights, gradients and batches; None: those of its share of the GPU."""
    parallel: int

    @classmethod
    def for_one(cls, cpus: int, gpus: float) -> Resources:
        """Resources of a single training."""
        return cls(cpus, gpus, None if gpus else _memory(cpus), 1)


def resources(
    cpus: int | None = None, gpus: float | None = None, memory_gb: float | None = None, parallel: int | None = None
) -> Resources:
    """Cut the nodes into shares for trials; what is not given is a whole GPU with its cores, or a core without GPUs.

    Raises InputError where a trial would fit no node of a Ray on this machine. A cluster may add nodes.
    """
    node_cpus, node_gpus = node_size()
    if gpus is None:
        gpus = 1.0 if node_gpus else 0.0
    if cpus is None:
        cpus = max(1, int(node_cpus * gpus / node_gpus)) if gpus and node_gpus else 1
    # A trial has its part on one GPU.
    slots = sum(
        min(node.cpus // cpus, node.gpus * int(1 / gpus) if gpus else node.cpus)
        for node in nodes()
        if node.cpus >= cpus and node.gpus >= gpus
    )
    if not slots and not elsewhere():
        raise InputError(
            f"a trial must fit this machine, which has {node_cpus} CPU cores and {node_gpus} GPUs, "
            f"got {cpus} and {gpus:g} for each trial: ask for less"
        )
    memory = int(memory_gb * 1e9) if memory_gb is not None else None if gpus else _memory(cpus)
    return Resources(cpus, gpus, memory, parallel or max(slots, 1))


@dataclass(frozen=True)
class Places:
    """The places of trainings at full length."""

    at_once: int
    """Trainings side by side."""
    workers: int
    """Processes of each, which share its batches; one on CPUs, where several would lose by exchanging gradients."""
    cpus: int
    gpus: int
    """Of a worker."""


def places(models: int, share: Resources) -> Places:
    """Return how so many models are trained at full length: side by side first, over several GPUs if these are more.

    Trials on GPUs are retrained on GPUs, though none may be there before a cluster brings one.
    """
    cpus, gpus = node_size()
    if share.gpus:
        have = total_gpus() if gpus else share.parallel
        at_once = min(models, have)
        return Places(at_once, have // at_once, max(1, cpus // gpus - 1) if gpus else share.cpus, 1)
    cores = sum(node.cpus for node in nodes())
    at_once = min(models, max(cores, 1))
    return Places(at_once, 1, max(1, min(cpus, cores // at_once)), 0)


def _memory(cpus: int) -> int:
    """Bytes for the tensors of a training that takes so many cores of a node, on the node where they are fewest."""
    return min(int(TENSORS * node.memory / max(node.cpus // cpus, 1)) for node in nodes() if node.cpus)


def nodes() -> list[Node]:
    """Return the nodes that are alive."""
    import ray

    have = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    names = ("CPU", "GPU", "memory", "object_store_memory")
    return [Node(*(int(node.get(name, 0)) for name in names)) for node in have]


def smallest_store() -> int:
    """Bytes for shared objects on the node where they are fewest."""
    return min((node.store for node in nodes()), default=0)


def node_size() -> tuple[int, int]:
    """CPU cores and GPUs of the node that a worker should be cut for: the smallest with GPUs, else the largest.

    What all nodes have together says nothing of what fits on one.
    """
    have = [(node.cpus, node.gpus) for node in nodes()]
    with_gpus = [(cpus, gpus) for cpus, gpus in have if gpus]
    return min(with_gpus, key=lambda node: node[0] / node[1]) if with_gpus else max(have)


def total_gpus() -> int:
    """GPUs of all nodes together."""
    return sum(node.gpus for node in nodes())
