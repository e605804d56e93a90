"""Learning curves that were trained once: a table of one row a training, and what a search would see of it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from records.tables import Config

EPOCHS = 9
"""Of every training; rungs at reduction 3 lie at 1 and 3, at reduction 2 at 1, 2, 4 and 8."""

CURVES = Path("benchmarks/results/curves_tunet.csv")


@dataclass(frozen=True)
class Curve:
    """One configuration, trained to full length unless it diverged."""

    source: str
    """Why it is here: first (what a search begins with), quasi (quasi-random), grid, or repeat (of another seed)."""
    config: Config
    seed: int
    values: tuple[float, ...]
    """Validation gap L1 after each epoch; fewer than `EPOCHS` where it diverged."""
    seconds: tuple[float, ...]
    """Processor time of each epoch, its validation included."""

    def cells(self) -> dict[str, object]:
        """Return its row of the table."""
        numbered = {f"{name}_{epoch}": (values[epoch - 1] if epoch <= len(values) else "")
                    for name, values in (("val_gap_l1", self.values), ("seconds", self.seconds))
                    for epoch in range(1, EPOCHS + 1)}  # fmt: skip
        return {"source": self.source, "seed": self.seed, **self.config, **numbered}


def append(path: Path, curve: Curve) -> None:
    """Add a row, in one write."""
    cells = curve.cells()
    begun = path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if not begun:
            writer.writerow(cells)
        writer.writerow(f"{value:.6g}" if isinstance(value, float) else value for value in cells.values())


def read(path: Path) -> list[Curve]:
    """Read the table; an absent one is empty."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [_curve(row) for row in csv.DictReader(file)]


def _curve(row: dict[str, str]) -> Curve:
    config = {name: text for name, text in row.items() if name.rpartition("_")[0] not in ("val_gap_l1", "seconds")}
    source, seed = config.pop("source"), int(config.pop("seed"))
    return Curve(
        source,
        {name: _parsed(text) for name, text in config.items()},
        seed,
        _numbers(row, "val_gap_l1"),
        _numbers(row, "seconds"),
    )


def _numbers(row: dict[str, str], name: str) -> tuple[float, ...]:
    cells: Sequence[str] = [row[f"{name}_{epoch}"] for epoch in range(1, EPOCHS + 1)]
    return tuple(float(cell) for cell in cells if cell)


def _parsed(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
