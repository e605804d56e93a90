"""The folder of a run, which every machine of a cluster must see."""

from __future__ import annotations

import uuid
from pathlib import Path

from scattering.errors import InputError, one_line

ANSWER_SECONDS = 120
"""How long a node may take to look: a dead network mount blocks for ever. By then Ray knows of a node that died."""


def check_shared(folder: Path) -> None:
    """Let every node of the cluster read and write in the run's folder.

    Raises InputError naming the first node that cannot. Nodes that join later are not asked.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    if len(nodes) == 1:
        return
    token = folder.resolve() / f".{uuid.uuid4().hex}"
    token.touch()
    look = ray.remote(num_cpus=0, max_retries=0)(_look)
    places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    answers = [look.options(scheduling_strategy=place).remote(token, place.node_id) for place in places]
    try:
        for node, answer in zip(nodes, answers, strict=True):
            try:
                trouble = ray.get(answer, timeout=ANSWER_SECONDS)
            except ray.exceptions.GetTimeoutError:
                trouble = f"does not answer within {ANSWER_SECONDS} s"
            except ray.exceptions.RayTaskError as error:
                trouble = f"cannot look: {one_line(error)}"
            except ray.exceptions.RayError:
                continue  # it died meanwhile
            if trouble:
                raise InputError(
                    f"all machines of the cluster must share the folder of the runs, {node['NodeManagerAddress']} "
                    f"{trouble}: start in a folder that all of them mount at the same place (clusters/README.md)"
                )
    finally:
        for left in token.parent.glob(f"{token.name}*"):
            left.unlink(missing_ok=True)


def _look(token: Path, node: str) -> str:
    """Return what is wrong with the folder as this node sees it; nothing: an empty text."""
    if not token.exists():
        return f"does not see {token.parent}"
    try:
        token.with_name(f"{token.name}.{node}").touch()
    except OSError as error:
        return f"cannot write in {token.parent} ({error.strerror})"
    return ""
