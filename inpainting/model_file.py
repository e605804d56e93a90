"""The file in which a model is passed on: weights as safetensors, all else as JSON in its header. No pickle.

One file holds every member of an ensemble, and what must be known to use it: the detector, the transform, how far its
fills err, and what it was trained on.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from inpainting import MODEL
from inpainting.familiarity import TRAITS, Ranges
from inpainting.uncertainty import LEVELS, Uncertainty
from scattering.arrays import Bools
from scattering.errors import InputError, one_line
from scattering.files import replacing
from scattering.windows import SMALLEST_SIDE, Windows, windows
from trainables.models import UNREADABLE, Config, rebuild
from trainables.tasks import Task

FORMAT = "gapsearch model 1"

LARGEST_SIDE = 2**14
"""Pixels of a frame, more than any detector has."""
LARGEST_DESCRIPTION = 2**20
MOST_ENLARGED = 16
"""Working pixels for each pixel of a frame: small frames are enlarged."""
_GAP = "gap"


@dataclass(frozen=True)
class MemberInfo:
    """One network of the ensemble."""

    network: str
    config: Config
    implementation: str
    trial: int
    seed: int
    val_gap_l1: float
    """Error on validation frames, by which it was chosen."""


@dataclass(frozen=True)
class Description:
    """The description of a model, in numbers and words."""

    run: str
    created: str
    """ISO 8601, UTC."""
    members: tuple[MemberInfo, ...]
    detector: str
    native: tuple[int, int]
    """(rows, columns) of the frames it was trained for, before they are resized,"""
    working: tuple[int, int]
    """and after."""
    full_scale: float
    """Counts that map to intensity 1: y = log1p(counts) / log1p(full_scale)."""
    familiar: Ranges
    uncertainty: Uncertainty
    data: dict[str, Any]
    """Training data: title, simulated, frames, fingerprint, ..."""
    scores: dict[str, Any]
    """The row of the leaderboard of what fills, and biharmonic's errors beside it."""
    versions: dict[str, str]
    unlocated: Uncertainty | None = None
    """The uncertainty where a model that looks at rings fills frames of unknown geometry; None for other models."""

    def uncertainty_of(self, rings: bool) -> Uncertainty:
        """Return the uncertainty of a fill that follows the rings of its frame, or does not."""
        return self.uncertainty if rings or self.unlocated is None else self.unlocated

    @property
    def title(self) -> str:
        """The model in a few words."""
        networks = sorted({member.network for member in self.members})
        return f"{' + '.join(networks)} of {self.run}" + (f" ({len(self.members)} members)" if self.many else "")

    @property
    def many(self) -> bool:
        """Tell whether it is an ensemble."""
        return len(self.members) > 1


@dataclass(frozen=True)
class ModelFile:
    """All that a model file holds."""

    description: Description
    gap: Bools
    """(H, W), the detector's gaps at the working size."""
    layout: Windows
    """How frames are cut for the networks."""
    members: tuple[tuple[nn.Module, Task], ...]
    """On the CPU, ready to predict."""


def write(path: Path, description: Description, gap: Bools, networks: Sequence[nn.Module]) -> None:
    """Write a model, whole or not at all; the networks in the order of `description.members`."""
    tensors = {
        f"{number}.{key}": value.detach().cpu().contiguous()
        for number, network in enumerate(networks)
        for key, value in network.state_dict().items()
    }
    tensors[_GAP] = torch.from_numpy(np.packbits(gap))
    text = json.dumps(dataclasses.asdict(description))
    content = save(tensors, metadata={"format": FORMAT, "description": text})
    with replacing(path) as temporary:
        temporary.write_bytes(_in_order(content))


def read(path: Path) -> ModelFile:
    """Read what `write` wrote: a file, or that of a run's folder.

    Raises InputError for a file that is no such model, is damaged, or whose parts do not belong together.
    """
    path = path / MODEL if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"a model is a file of a run, runs/NAME/{MODEL}, got {path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(f"its format is {metadata.get('format', 'not said')!r}, not {FORMAT!r}")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if len(metadata["description"]) > LARGEST_DESCRIPTION:
            raise ValueError("its description is too long")
        description = _description(json.loads(metadata["description"], parse_constant=_refuse))
        gap = _gap(tensors[_GAP], description.working)
        return ModelFile(description, gap, windows(gap), _members(description, tensors))
    except UNREADABLE as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else one_line(error)
        raise InputError(f"cannot read {path} as a model: {said}: get the file again") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"its numbers must be finite, got {constant}")


def _in_order(content: bytes) -> bytes:
    """Return a file with its metadata in one order: safetensors writes them in another one each time."""
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[begin:]


def _members(description: Description, tensors: Mapping[str, Tensor]) -> tuple[tuple[nn.Module, Task], ...]:
    weights: list[dict[str, Tensor]] = [{} for _ in description.members]
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        if key != _GAP:
            weights[int(number)][name] = tensor
    built = []
    for member, own in zip(description.members, weights, strict=True):
        network, task = rebuild(member.network, member.config, own, member.implementation)
        built.append((network.eval().requires_grad_(False), task))
    return tuple(built)


def _gap(packed: Tensor, shape: tuple[int, int]) -> Bools:
    pixels = math.prod(shape)
    if packed.dtype != torch.uint8 or packed.shape != (-(-pixels // 8),):
        raise ValueError(f"its gaps are no bits of {shape[0]} x {shape[1]} pixels")
    return np.unpackbits(packed.numpy(), count=pixels).astype(bool).reshape(shape)


def _description(values: dict[str, Any]) -> Description:
    """Make a description of what JSON gives; raises ValueError, KeyError or TypeError where it cannot be used."""
    members = tuple(MemberInfo(**member) for member in values["members"])
    found = Description(**values | {
        "members": members,
        "native": _shape(values["native"]),
        "working": _shape(values["working"]),
        "full_scale": float(values["full_scale"]),
        "familiar": {str(name): (float(low), float(high)) for name, (low, high) in values["familiar"].items()},
        "uncertainty": _uncertainty(values["uncertainty"]),
        "unlocated": _uncertainty(values["unlocated"]) if values.get("unlocated") else None,
    })  # fmt: skip
    if not members:
        raise ValueError("it has no network")
    if not 1 <= found.full_scale < math.inf:
        raise ValueError(f"full_scale must be at least 1, got {found.full_scale}")
    if set(found.familiar) != set(TRAITS):
        raise ValueError(f"its frames must be told by {', '.join(TRAITS)}")
    if math.prod(found.working) > MOST_ENLARGED * math.prod(found.native):
        raise ValueError(f"a working size of {found.working} for frames of {found.native} cannot be")
    for name in ("run", "created", "detector"):
        if not isinstance(getattr(found, name), str):
            raise TypeError(f"{name} is no text")
    for name in ("data", "scores", "versions"):
        if not isinstance(getattr(found, name), dict):
            raise TypeError(f"{name} is no table")
    return found


def _uncertainty(values: dict[str, Any]) -> Uncertainty:
    found = Uncertainty(**values)
    size = len(found.distances)
    rows: list[Sequence[float]] = [found.contrast, found.pixels, *found.factors]
    numbers = [found.spread, *found.levels, *(number for row in rows for number in row)]
    if not size or any(len(row) != size for row in rows) or len(found.factors) != len(found.levels):
        raise ValueError("its intervals need a number for each distance")
    if not all(type(distance) is int and distance >= 1 for distance in found.distances):
        raise ValueError("its distances must be whole numbers, 1 or more")
    if found.distances != sorted(set(found.distances)) or found.levels != list(LEVELS):
        raise ValueError("its intervals must be for 68 % and 95 %, at ascending distances")
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise ValueError("its intervals must be finite numbers")
    return found


def _shape(sides: Sequence[int]) -> tuple[int, int]:
    rows, columns = sides
    for side in (rows, columns):
        if not isinstance(side, int) or not SMALLEST_SIDE <= side <= LARGEST_SIDE:
            raise ValueError(f"frames of {rows} x {columns} pixels cannot be")
    return rows, columns
