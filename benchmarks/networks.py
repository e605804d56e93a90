"""Every network, blind and residual, trained for an equal time on the quick data set and measured on its test frames.

`python -m benchmarks.networks --output benchmarks/results/networks.md`
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import date
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as `search.run` sets it

import torch

from records.networks import TITLES
from records.tables import MethodScore
from scattering import provenance
from scattering.arguments import working_shape
from scattering.detectors import detector
from scattering.files import replacing
from scattering.sources import simulated
from scattering.split import PARTS
from search.evaluation.evaluate import measure
from search.evaluation.methods import CLASSICAL, Method, network_filler
from search.settings import resolve
from spaces import DEFAULTS
from trainables import devices
from trainables.batches import WindowSet
from trainables.models import build, count_parameters
from trainables.tasks import TASKS
from trainables.training import Course, fit

EPOCHS = 1000
"""More than there is time for: the clock ends each training."""


def main() -> None:
    """Train, measure and print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=97.0, help="for each training (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="write the table to this file too")
    options = parser.parse_args()
    quick = resolve("tunet", "x", "quick", {})
    data = simulated(detector("Pilatus2M"), working_shape(quick.size, (0, 0)), quick.frames, seed=0)
    train, validation, test = map(data.part, PARTS)
    device = devices.device()
    windows, watched = WindowSet(train, device), WindowSet(validation, device)
    methods: list[Method] = []
    epochs: dict[str, int] = {}
    for name, title in TITLES.items():
        for posed in TASKS:
            config = {**DEFAULTS[name], "task": posed}
            network, task = build(name, config)
            progress = fit(
                network.to(device), task, windows, watched,
                Course.of(
                    config, windows=EPOCHS * len(windows), interval=len(windows), schedule="cosine", seed=0,
                    seconds=options.seconds,
                ),
            )  # fmt: skip
            label = f"{title}, {posed}"
            epochs[label] = max(step.metrics["epoch"] for step in progress)  # type: ignore[assignment]
            filler = network_filler([(network, task)])
            methods.append(
                Method(
                    label,
                    "network",
                    (filler,),
                    parameters=count_parameters(network),
                    train_seconds=options.seconds,
                )
            )
            print(f"{label}: {epochs[label]} epochs", file=sys.stderr)
    scores = measure([*methods, *CLASSICAL], test).leaderboard
    text = "\n".join([*_heading(options.seconds, len(test)), "", *_table(scores, epochs)]) + "\n"
    print(text)
    if options.output:
        with replacing(options.output) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _heading(seconds: float, frames: int) -> list[str]:
    versions, machine = provenance.versions(), provenance.machine()
    packages = ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "numpy", "scikit-image"))
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{machine['cores']} CPU cores, no GPU"
    return [
        "# Every network at equal time",
        "",
        f"- Command: `python -m benchmarks.networks --seconds {seconds:g} --output benchmarks/results/networks.md`",
        f"- Date: {date.today()}. Machine: {where} ({machine['processor']}). Versions: {packages}",
        f"- Each network with the defaults of its space, trained for {seconds:g} s on the quick data set (seed 0, "
        f"gaps of a PILATUS 2M), measured on its {frames} test frames",
    ]


def _table(scores: list[MethodScore], epochs: dict[str, int]) -> list[str]:
    rows = [
        "| | epochs | parameters | horizontal L1 (1e-3) | CC | vertical L1 (1e-3) | CC | ms per frame |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for score in scores:
        cells = [
            score.method,
            str(epochs.get(score.method, "")),
            "" if score.parameters is None else f"{score.parameters:,}".replace(",", " "),
            f"{(score.horizontal_l1 or 0) * 1e3:.3f}",
            f"{score.horizontal_cc:.4f}",
            f"{(score.vertical_l1 or 0) * 1e3:.3f}",
            f"{score.vertical_cc:.4f}",
            "" if score.ms_per_frame is None else f"{score.ms_per_frame:.0f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


if __name__ == "__main__":
    main()
