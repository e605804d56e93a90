"""A configuration made into a network, and trained networks as files (safetensors: no pickle)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from scattering.errors import InputError, one_line
from scattering.files import replacing
from trainables import NETWORKS, pymsdtorch, tasks
from trainables.tasks import Task

Config = dict[str, int | float | str]

TRAINING_KEYS = ("task", "geometry", "batch_size", "learning_rate")
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
    task = tasks.of(config)
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
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        implementation = metadata.get("implementation", "gapsearch")
        return rebuild(metadata["network"], json.loads(metadata["config"]), weights, implementation)
    except UNREADABLE as error:
        raise InputError(f"cannot read {path} as a model: {one_line(error)}") from None


UNREADABLE = (
    OSError, SafetensorError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, OverflowError,
)  # fmt: skip
"""What reading and rebuilding raise for files that are no models."""

DEPTHS = ("depth", "num_layers")
"""Settings that say how many layers a network has: each has weights of its own."""

WIDEST_DILATION = 1024
"""No weight tells a dilation, and the memory that it takes."""


def rebuild(
    name: str, config: Config, weights: Mapping[str, Tensor], implementation: str = "gapsearch"
) -> tuple[nn.Module, Task]:
    """Make the network of a configuration with given weights, on the CPU, and its task.

    Raises ValueError, KeyError, TypeError or RuntimeError where they do not belong together, before memory is taken.
    """
    for key in DEPTHS:
        if int(config.get(key, 0)) > len(weights):
            raise ValueError(f"{key} {config[key]} needs more than {len(weights)} tensors")
    if int(config.get("max_dilation", 1)) > WIDEST_DILATION:
        raise ValueError(f"max_dilation must be at most {WIDEST_DILATION}, got {config['max_dilation']}")
    # The caller's random numbers go on as if nothing had been built.
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network, task = build(name, config, implementation=implementation)
    for key, expected in network.state_dict().items():
        weight = weights[key]
        if weight.dtype != expected.dtype or not bool(weight.isfinite().all()):
            raise ValueError(f"{key} must be finite numbers of type {expected.dtype}")
    network.load_state_dict(weights, assign=True)
    return network.to(memory_format=torch.channels_last), task  # type: ignore[call-overload]
