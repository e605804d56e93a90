"""A configuration made into a network, and trained networks as files (safetensors: no pickle)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from scattering.errors import InputError, one_line
from scattering.files import replacing
from trainables import NETWORKS, pymsdtorch
from trainables.tasks import TASKS, Task

Config = dict[str, int | float | str]

TRAINING_KEYS = ("task", "batch_size", "learning_rate")
"""Keys of a configuration that do not belong to the network's constructor."""


REGISTRIES: dict[str, Mapping[str, Callable[..., nn.Module]]] = {
    "gapsearch": NETWORKS,
    "pymsdtorch": pymsdtorch.NETWORKS,
}
"""Networks by name, by whose code they are: ours or the library's of the paper."""


def build(name: str, config: Config, seed: int = 0, implementation: str = "gapsearch") -> tuple[nn.Module, Task]:
    """Make the network of a configuration, with initial weights drawn from the seed, and its task.

    Raises InputError for the implementation "pymsdtorch" where dlsia is not installed.
    """
    task = TASKS[str(config["task"])]
    settings = {key: value for key, value in config.items() if key not in TRAINING_KEYS}
    torch.manual_seed(seed)
    network = REGISTRIES[implementation][name](**settings, in_channels=task.in_channels)
    # Channels last: convolutions run twice as fast so, on CPUs and on tensor cores.
    return network.to(memory_format=torch.channels_last), task  # type: ignore[call-overload]


def count_parameters(network: nn.Module) -> int:
    """Number of learnable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def save(path: Path, network: nn.Module, name: str, config: Config, implementation: str = "gapsearch") -> None:
    """Write weights and configuration, whole or not at all."""
    metadata = {"network": name, "config": json.dumps(config), "implementation": implementation}
    weights = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    with replacing(path) as temporary:
        save_file(weights, temporary, metadata=metadata)


def load(path: Path) -> tuple[nn.Module, Task]:
    """Read what `save` wrote.

    Raises InputError for a file that is not such a model.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            implementation = metadata.get("implementation", "gapsearch")
            network, task = build(metadata["network"], json.loads(metadata["config"]), implementation=implementation)
            network.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"cannot read {path} as a model: {one_line(error)}") from None
    return network, task
