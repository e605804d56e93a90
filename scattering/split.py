"""The split into training, validation and test frames: groups stay whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scattering.errors import InputError

PARTS = ("train", "validation", "test")


def assign(groups: Sequence[str], seed: int) -> tuple[str, ...]:
    """Say what each frame is for: "train", "validation" or "test"; "" where there are too few groups to split."""
    if len(set(groups)) < len(PARTS):
        return ("",) * len(groups)
    found = {frame: name for name, frames in zip(PARTS, split(groups, seed), strict=True) for frame in frames}
    return tuple(found[frame] for frame in range(len(groups)))


def split(groups: Sequence[str], seed: int, shares: tuple[float, float] = (0.15, 0.2)) -> tuple[list[int], ...]:
    """Split frames by group into (train, validation, test) frame numbers; shares are of validation and test.

    Raises InputError when there are fewer than three groups: each part needs one of its own.
    """
    names = sorted(set(groups))
    if len(names) < len(PARTS):
        raise too_few_groups(groups)
    members = {name: [i for i, group in enumerate(groups) if group == name] for name in names}
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    parts: list[list[int]] = []
    for share in reversed(shares):
        part = members[order.pop()]
        # The last group is left for training, and one for each part to come.
        while len(part) < share * len(groups) and len(order) > len(shares) - len(parts):
            part = part + members[order.pop()]
        parts.append(part)
    train = [i for name in order for i in members[name]]
    test, validation = parts
    return sorted(train), sorted(validation), sorted(test)


def too_few_groups(groups: Sequence[str]) -> InputError:
    """Return what to raise where groups cannot be split."""
    return InputError(
        f"train, validation and test need a group of frames each, got {len(set(groups))} group(s) in "
        f"{len(groups)} frame(s): give more files, or say with --group-by what belongs together"
    )
