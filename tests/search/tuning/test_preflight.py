"""What a run will take is said before, and what cannot be is refused then."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from scattering.dataset import Dataset
from scattering.errors import InputError
from search.machines import resources as shares
from search.machines.resources import Node, Resources, resources
from search.settings import Settings, resolve
from search.tuning import preflight
from search.tuning.course import planned
from spaces import DEFAULTS, LARGEST
from trainables.models import build, count_parameters


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    made = resolve("tunet", "x", "standard", {"trials": 9, "epochs": 27})
    made.folder.mkdir(parents=True)
    return made


def machine(monkeypatch: pytest.MonkeyPatch, *nodes: Node) -> None:
    """Stand in for what Ray says of its nodes; there is one of each kind here at most."""
    monkeypatch.setattr(shares, "nodes", lambda: list(nodes))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


GIB = 2**30
LAPTOP = Node(cpus=8, gpus=0, memory=16 * GIB, store=4 * GIB)
GPUS = Node(cpus=32, gpus=4, memory=200 * GIB, store=60 * GIB)


@pytest.mark.parametrize(
    ("nodes", "asked", "expected"),
    [
        ([LAPTOP], {}, (1, 0.0, 8)),
        ([LAPTOP], {"cpus": 3}, (3, 0.0, 2)),
        ([LAPTOP], {"parallel": 1}, (1, 0.0, 1)),
        ([GPUS], {}, (8, 1.0, 4)),
        ([GPUS], {"gpus": 0.25}, (2, 0.25, 16)),
        ([GPUS], {"gpus": 0.25, "cpus": 4}, (4, 0.25, 8)),
        ([GPUS], {"gpus": 0.4}, (3, 0.4, 8)),  # of four GPUs ten times 0.4 would be, but no trial has two halves
        ([LAPTOP, GPUS, GPUS], {}, (8, 1.0, 8)),
        ([GPUS], {"gpus": 0.0}, (1, 0.0, 32)),
    ],
)
def test_trials_share_the_nodes(
    monkeypatch: pytest.MonkeyPatch, nodes: list[Node], asked: dict[str, Any], expected: tuple[int, float, int]
) -> None:
    machine(monkeypatch, *nodes)
    share = resources(**asked)
    assert (share.cpus, share.gpus, share.parallel) == expected
    # All trials of a node together never have more memory than it has.
    if share.memory is not None:
        assert share.memory * (nodes[0].cpus // share.cpus) <= nodes[0].memory
    else:
        assert share.gpus


def test_a_trial_that_fits_no_node_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, LAPTOP)
    with pytest.raises(InputError, match=r"8 CPU cores and 0 GPUs, got 1 and 1 for each trial"):
        resources(gpus=1.0)
    with pytest.raises(InputError, match=r"got 9 and 0 for each trial"):
        resources(cpus=9)
    # A cluster may bring the node when it is asked for.
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert resources(gpus=1.0, parallel=4) == Resources(1, 1.0, None, 4)


def test_a_run_that_the_disk_cannot_hold_is_refused(
    run: Settings, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, LAPTOP)
    parts = (data.select(range(8)), data.select(range(8, 12)))
    line = preflight.check_room(run, parts, resources())
    assert line.startswith("8 at a time, 1.3 GB of memory each")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10_000_000))
    with pytest.raises(InputError, match=r"must have .* MB free, got 10\.0 MB"):
        preflight.check_room(run, parts, resources())


def test_frames_that_no_node_can_share_are_refused(
    run: Settings, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, LAPTOP, LAPTOP._replace(store=100_000))
    with pytest.raises(InputError, match=r"0\.1 MB, got .* MB: take fewer frames"):
        preflight.check_room(run, (data, data), resources())


def test_the_disk_for_a_checkpoint_is_what_one_takes(run: Settings) -> None:
    import io

    network, _ = build("tunet", DEFAULTS["tunet"])
    optimizer = torch.optim.Adam(network.parameters())
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    file = io.BytesIO()
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, file)
    (row,) = planned(replace(run, task="residual"))
    assert preflight.parameters(row.network, row.config) == count_parameters(network)
    estimated = preflight.CHECKPOINT * count_parameters(network)
    assert len(file.getbuffer()) == pytest.approx(estimated, rel=0.1)


def test_the_disk_is_checked_for_the_largest_of_the_space_too(
    run: Settings, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoint takes gigabytes where the defaults' takes a third of a megabyte."""
    machine(monkeypatch, LAPTOP)
    assert preflight._largest(run, 1) == LARGEST
    line = preflight.check_room(run, (data, data), resources())
    at_most = float(re.findall(r"at most ([\d.]+) GB", line)[0])
    assert at_most * 1e9 >= resources().parallel * preflight.CHECKPOINT * LARGEST
