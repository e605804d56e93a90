"""The networks of the paper's own library, pyMSDtorch, published today as dlsia; and its checkpoints.

Zwart & Roberts, https://github.com/phzwart/dlsia (its 0.3.4 was read for this). Only `NETWORKS` needs dlsia:
checkpoints are read and written without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scattering.errors import InputError, one_line
from trainables import checkpoints
from trainables.msdnet import MSDNet
from trainables.tunet import TUNet


def tunet(*, depth: int, base_channels: int, growth_rate: float, in_channels: int = 1) -> nn.Module:
    """Make dlsia's TUNet with its defaults: 2 x 2 transposed convolutions, batch normalisation.

    Raises ValueError for settings that no network has, InputError without dlsia.
    """
    settings: dict[str, Any] = {
        "depth": depth,
        "base_channels": base_channels,
        "growth_rate": growth_rate,
        "in_channels": in_channels,
    }
    # dlsia checks no settings; ours does, and on this device it costs nothing.
    with torch.device("meta"):
        TUNet(**settings)
    if depth == 1:
        raise ValueError("a TUNet of dlsia has at least 2 levels, got depth=1")
    with dlsia_needed():
        from dlsia.core.networks import tunet as theirs
    multiple = 2 ** (depth - 1)
    # Its transposed convolutions fit this shape and all multiples of it.
    return Padded(theirs.TUNet(image_shape=(multiple, multiple), out_channels=1, **settings), multiple)


def msdnet(*, num_layers: int, max_dilation: int, in_channels: int = 1) -> nn.Module:
    """Make dlsia's MSDNet with its defaults: batch normalisation of all maps after each layer.

    Raises ValueError for settings that no network has, InputError without dlsia.
    """
    settings = {"num_layers": num_layers, "max_dilation": max_dilation, "in_channels": in_channels}
    with torch.device("meta"):
        MSDNet(**settings)
    with dlsia_needed():
        from dlsia.core.networks import msdnet as theirs
    network: nn.Module = theirs.MixedScaleDenseNetwork(out_channels=1, **settings)
    return network


NETWORKS: dict[str, Callable[..., nn.Module]] = {"tunet": tunet, "msdnet": msdnet}
"""Constructors of dlsia's networks, (N, in_channels, H, W) -> (N, 1, H, W), by our names and settings."""


def require() -> None:
    """Raise InputError without dlsia."""
    with dlsia_needed():
        import dlsia  # noqa: F401


@contextmanager
def dlsia_needed() -> Iterator[None]:
    """Turn a failing import of dlsia into an InputError."""
    try:
        yield
    # torchvision raises RuntimeError beside a torch that it was not built for.
    except (ImportError, RuntimeError) as error:
        raise InputError(
            f"pymsdtorch networks need dlsia, which cannot be imported ({one_line(error)}): install it with "
            "pip install -e '.[pymsdtorch]'"
        ) from None


class Padded(nn.Module):
    """A network for sizes that are multiples of one number, made to take any H and W.

    Edges are replicated to the right and below, as our TUNet does it. dlsia's own network is `.network`.
    """

    def __init__(self, network: nn.Module, multiple: int) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, 1, H, W)."""
        height, width = image.shape[-2:]
        padding = (0, -width % self.multiple, 0, -height % self.multiple)
        output: Tensor = self.network(F.pad(image, padding, mode="replicate"))
        return output[..., :height, :width]


TUNET = {
    "out_channels": 1,
    "hidden_rate": 1,
    "conv_kernel": nn.Conv2d,
    "kernel_down": nn.MaxPool2d,
    "kernel_up": nn.ConvTranspose2d,
    "activation": nn.ReLU(),
    "conv_kernel_size": 3,
    "maxpool_kernel_size": 2,
    "dilation": 1,
}
"""What dlsia's TUNet must be set to for one of ours to equal it; its other settings are free."""

MSDNET = {
    "out_channels": 1,
    "layer_width": 1,
    "custom_msdnet": None,
    "activation": nn.ReLU(),
    "normalization": None,
    "final_layer": None,
    "conv_kernel_size": 3,
    "dropout": None,
    "convolution": nn.Conv2d,
    "padding_mode": "zeros",
}
"""The same for its MSDNet."""

UNPICKLED = (nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.BatchNorm2d, nn.ReLU)
"""Classes that a checkpoint may hold beside tensors and plain values."""


def read(path: Path) -> TUNet | MSDNet:
    """Read a checkpoint that dlsia's TUNet or MSDNet saved into the equal network of ours.

    An MSDNet is equal where its input is at or above 0: dlsia's passes the input through ReLU too.
    Raises InputError for a file that is no such checkpoint, and for a network that none of ours equals.
    """
    try:
        saved = unpickled(path)
        if not isinstance(saved, dict) or not {"topo_dict", "state_dict"} <= saved.keys():
            raise ValueError("it does not hold a network's settings (topo_dict) and weights (state_dict)")
        network = equal_network(saved["topo_dict"])
        copy_weights(network, saved["state_dict"])
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise InputError(f"cannot read {path} as a TUNet or MSDNet of dlsia: {one_line(error)}") from None
    return network


def unpickled(path: Path) -> object:
    """Read what torch.save wrote, of tensors, plain values and UNPICKLED; ValueError for anything else in it."""
    with torch.serialization.safe_globals(list(UNPICKLED)):
        try:
            foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path)
            saved: object = None if foreign else torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged pickle fails in any way
            raise ValueError(str(error)) from None
    if foreign:
        known = ", ".join(kind.__name__ for kind in UNPICKLED)
        raise ValueError(f"only {known} and plain values are read, got {', '.join(sorted(foreign))}")
    return saved


def write(path: Path, network: nn.Module) -> None:
    """Write a network as the checkpoint that dlsia's `TUNetwork_from_file` or `MSDNetwork_from_file` reads.

    Raises InputError for a network that none of dlsia's equals.
    """
    checkpoints.save(path, checkpoint(network))


def checkpoint(network: nn.Module) -> dict[str, Any]:
    """Return what a checkpoint of dlsia holds of a network, ours or its own.

    Raises InputError for a network that none of dlsia's equals.
    """
    inner = network.network if isinstance(network, Padded) else network
    if isinstance(inner, TUNet | MSDNet):
        weights = inner.state_dict()
        return {
            "topo_dict": topology(inner),
            "state_dict": {theirs: weights[ours] for ours, theirs in names(inner).items()},
        }
    if type(inner).__module__.startswith("dlsia."):
        saved: Any = inner.save_network_parameters  # without a file's name it returns what it would write
        return dict(saved())
    raise InputError(f"only TUNet and MSDNet become checkpoints of dlsia, got {type(network).__name__}")


def copy_weights(network: TUNet | MSDNet, weights: Mapping[str, Tensor]) -> None:
    """Copy the state dict of dlsia's network into the equal one of ours.

    Raises RuntimeError where weights are missing, left over or of another shape.
    """
    ours = {theirs: ours for ours, theirs in names(network).items()}
    network.load_state_dict({ours.get(name, name): weight for name, weight in weights.items()})


def names(network: TUNet | MSDNet) -> dict[str, str]:
    """Return what dlsia calls each weight of our network, by our name of it."""
    if isinstance(network, TUNet):
        last = len(network.up)
        modules = {f"encoder.{last}": f"Final_layer_{last}"}
        for level in range(last):
            modules[f"encoder.{level}"] = f"Encode_{level}"
            modules[f"up.{level}"] = f"Step Up {level}"
            modules[f"decoder.{level}"] = f"Decode_{level}"
        # One module more after the convolutions, normalisations and activations of the uppermost level.
        modules["head"] = f"Decode_0.{4 if normalization(network) is None else 6}"
    else:
        modules = {f"layers.{layer}": f"layer_{layer}.conv_0" for layer in range(len(network.layers))}
        modules["head"] = "final_convolution"
    return {
        f"{ours}.{weight}": f"{theirs}.{weight}"
        for ours, theirs in modules.items()
        for weight in network.get_submodule(ours).state_dict()
    }


def topology(network: TUNet | MSDNet) -> dict[str, Any]:
    """Return the settings of dlsia's network that equals ours; InputError where none does."""
    weights = network.state_dict()
    if isinstance(network, MSDNet):
        return {
            **MSDNET,
            "in_channels": weights["layers.0.weight"].shape[1],
            "num_layers": len(network.layers),
            "max_dilation": max(network.dilations),
        }
    depth = len(network.encoder)
    if depth == 1:
        raise InputError("a TUNet of dlsia has at least 2 levels, got depth=1: use a deeper network")
    up_kernel = weights["up.0.weight"].shape[-1]
    if up_kernel != 2:
        raise InputError(
            f"a TUNet of dlsia has 2 x 2 transposed convolutions, got {up_kernel=}: train with up_kernel=2"
        )
    channels = [weights[f"encoder.{level}.0.weight"].shape[0] for level in range(depth)]
    return {
        **TUNET,
        "image_shape": (2 ** (depth - 1), 2 ** (depth - 1)),
        "in_channels": weights["encoder.0.0.weight"].shape[1],
        "depth": depth,
        "base_channels": channels[0],
        "growth_rate": growth_rate(channels),
        "normalization": normalization(network),
    }


def equal_network(topology: Mapping[str, Any]) -> TUNet | MSDNet:
    """Build our network, untrained, that equals dlsia's of these settings; ValueError where none does."""
    if "num_layers" in topology:
        return MSDNet(**checked(topology, MSDNET, ("num_layers", "max_dilation", "in_channels")))
    free = ("image_shape", "in_channels", "depth", "base_channels", "growth_rate", "normalization")
    settings = checked(topology, TUNET, free)
    shape, multiple = settings.pop("image_shape"), 2 ** (settings["depth"] - 1)
    if any(size % multiple for size in shape):
        raise ValueError(
            f"image_shape must be multiples of {multiple} px, else dlsia pads between layers, got {shape}"
        )
    settings["normalization"] = {None: "none", nn.BatchNorm2d: "batch"}[settings["normalization"]]
    return TUNet(**settings, up_kernel=2)


def checked(topology: Mapping[str, Any], fixed: Mapping[str, Any], free: Iterable[str]) -> dict[str, Any]:
    """Return the free settings; ValueError if a fixed one differs, or for another set of settings."""
    strange = sorted(topology.keys() ^ {*fixed, *free})
    if strange:
        raise ValueError(f"its settings are those of another network, in {', '.join(strange)}")
    for key, value in fixed.items():
        if shown(topology[key]) != shown(value):
            raise ValueError(f"{key} must be {shown(value)} to be a network of ours, got {shown(topology[key])}")
    return {key: topology[key] for key in free}


def shown(value: object) -> str:
    """Return a setting in words: classes and modules by their name."""
    if isinstance(value, nn.Module):
        value = type(value)
    return value.__name__ if isinstance(value, type) else repr(value)


def normalization(network: TUNet) -> type[nn.Module] | None:
    """Return the class of the normalisation, as dlsia names it; None without."""
    return nn.BatchNorm2d if "encoder.0.1.running_mean" in network.state_dict() else None


def growth_rate(channels: Sequence[int]) -> float:
    """Return the growth rate of fewest decimals that gives these channels; our networks do not keep theirs."""
    least = max(Fraction(deep, kept) for kept, deep in pairwise(channels))
    rates: list[float] = [math.ceil(least * 10**decimals) / 10**decimals for decimals in range(16)]
    # Rounding may put a product just below the whole number that it is.
    rates.append(math.nextafter(rates[-1], math.inf))
    return next(rate for rate in rates if all(int(kept * rate) == deep for kept, deep in pairwise(channels)))
