"""What a run is asked to do: presets, and what the command line overrides of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from scattering.errors import InputError

RUNS = Path("runs")


@dataclass(frozen=True)
class Preset:
    """Sizes of a search. None: no limit."""

    size: int
    """Working size: frames are resized to size x size pixels."""
    frames: int
    """Simulated frames, where no data are given."""
    trials: int
    epochs: int
    """Epochs of a trial that is not stopped early."""
    retrain_epochs: int
    """Epochs of the retrained winner at most."""
    schedule: str
    minutes: float | None
    """Time for search and retraining together; what is left unspent ends the run early."""


PRESETS = {
    # Two CPU cores, five minutes.
    "quick": Preset(size=256, frames=240, trials=8, epochs=6, retrain_epochs=40, schedule="cosine", minutes=4.0),
    # One GPU, some hours; the working size of the paper.
    "standard": Preset(
        size=512, frames=2000, trials=50, epochs=27, retrain_epochs=100, schedule="cosine", minutes=None
    ),
    # As many frames, epochs and learning-rate steps as the paper.
    "paper": Preset(size=512, frames=6497, trials=100, epochs=81, retrain_epochs=300, schedule="step", minutes=None),
}

UNSET: dict[str, Any] = {"task": None, "seed": 0, "detector": "Pilatus2M", "data": ()}
"""What the presets do not say."""

SEARCH_SHARE = 0.6
"""Share of --minutes that the search gets; retraining has the rest."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides a run, and nothing else."""

    network: str
    name: str
    preset: str
    data: tuple[str, ...]
    """Paths, folders or globs; empty: simulate."""
    detector: str
    task: str | None
    """blind or residual; None: the search decides."""
    size: int
    frames: int
    trials: int
    epochs: int
    retrain_epochs: int
    schedule: str
    minutes: float | None
    seed: int

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return RUNS / self.name

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "data": list(self.data)}


def resolve(network: str, name: str, preset: str, given: dict[str, Any]) -> Settings:
    """Fill what the user left unset (None) from the preset and check the numbers.

    Raises InputError for a value out of range.
    """
    chosen = {
        **UNSET,
        **asdict(PRESETS[preset]),
        **{key: value for key, value in given.items() if value is not None},
    }
    for key, smallest in {"frames": 3, "trials": 1, "epochs": 1, "size": 1, "seed": 0}.items():
        if chosen[key] < smallest:
            raise InputError(f"--{key} must be at least {smallest}, got {chosen[key]}")
    if chosen["minutes"] is not None and chosen["minutes"] <= 0:
        raise InputError(f"--minutes must be above 0, got {chosen['minutes']:g}")
    # A winner trains at least as long as the trials that it won against.
    chosen["retrain_epochs"] = max(chosen["retrain_epochs"], chosen["epochs"])
    return Settings(network=network, name=name, preset=preset, **{**chosen, "data": tuple(chosen["data"])})


def from_dict(values: dict[str, Any]) -> Settings:
    """Read back what `as_dict` gave.

    Raises InputError when fields are missing or unknown: another version wrote them.
    """
    if set(values) != {field.name for field in fields(Settings)}:
        raise InputError("the settings of this run are of another version: start a new run")
    return Settings(**{**values, "data": tuple(values["data"])})
