"""The gain of a network from the geometry of frames, and its loss where that is withheld or wrong.

    python -m benchmarks.geometry --epochs 8 --seeds 0 1 2

TUNet in its default configuration on the frames of the quick preset, with rings and without, equal steps and equal
seeds; errors on the test frames, as the leaderboard has them. Of the networks that look at rings also with the
geometry of no test frame known, and with the beam 20 pixels beside its place. Prints a table, L1 in 1e-3.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace

import numpy as np
import torch

from scattering.calibration import Calibration
from scattering.dataset import Dataset
from scattering.detectors import detector
from scattering.sources import simulated
from search.evaluation.methods import RINGS, Method, network_filler
from spaces import DEFAULTS
from trainables import hints, rings
from trainables.batches import Part, WindowSet
from trainables.images import gapped_windows, whole_frames
from trainables.models import build
from trainables.training import Course, fit

CPU = torch.device("cpu")
SHAPE = (256, 256)
ASIDE = 20
"""Pixels of the working size."""


def main() -> None:
    """Train, measure, print."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--epochs", type=int, default=8)
    p.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    p.add_argument("--frames", type=int, default=240)
    given = p.parse_args()
    torch.set_num_threads(1)
    data = simulated(detector("Pilatus2M"), SHAPE, given.frames, 0)
    train, validation, test = (data.part(name) for name in ("train", "validation", "test"))
    parts = [Part(part, hints.tabulate(WindowSet(part, CPU)), rings.tabulate(part)) for part in (train, validation)]
    _print("along rings, no network", 0, RINGS, test)
    for seed in given.seeds:
        for geometry in ("no", "yes"):
            network = _trained(geometry, seed, parts, given.epochs)
            _print("rings" if geometry == "yes" else "no rings", seed, network, test)
        _print("rings, geometry withheld", seed, network, replace(test, calibration=None))
        _print(f"rings, beam {ASIDE} pixels beside", seed, network, _displaced(test))


def _trained(geometry: str, seed: int, parts: list[Part], epochs: int) -> Method:
    config = DEFAULTS["tunet"] | {"geometry": geometry}
    network, task = build("tunet", config, seed)
    train, validation = (WindowSet.of(part, CPU) for part in parts)
    windows = epochs * len(train)
    course = Course.of(config, windows=windows, interval=windows, schedule="cosine", seed=seed)
    for _ in fit(network, task, train, validation, course):
        pass
    return Method("TUNet", "network", (network_filler([(network, task)]),))


def _displaced(data: Dataset) -> Dataset:
    """Move the beam of each frame, in a direction of its own."""
    assert data.calibration is not None
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, len(data))
    moved = [
        known._replace(
            poni1=known.poni1 + ASIDE * np.sin(angle) * known.pixel1,
            poni2=known.poni2 + ASIDE * np.cos(angle) * known.pixel2,
        )
        for known, angle in zip(map(Calibration._make, data.calibration.tolist()), angles, strict=True)
    ]
    return replace(data, calibration=np.array(moved))


def _print(name: str, seed: int, method: Method, test: Dataset) -> None:
    filler = method.fillers[0]
    figures = []
    for images, fill in ((whole_frames(test), filler.frames), (gapped_windows(test), filler.windows)):
        errors = np.abs(fill(images) - images.truth)
        by_kind = defaultdict(list)
        for number in range(len(images)):
            if images.scored[number].any():
                own = errors[number][images.scored[number]].mean()
                by_kind[test.categories[images.frame[number]]].append(own)
        kinds = ", ".join(f"{kind} {1e3 * np.mean(own):.2f}" for kind, own in sorted(by_kind.items()))
        figures.append(f"{1e3 * errors[images.scored].mean():.3f} ({kinds})")
    print(f"| {name} | {seed} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
