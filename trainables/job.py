"""The job of a training: all that a worker needs to know, in plain values that travel between machines."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.models import Config


@dataclass(frozen=True)
class Job:
    """One configuration to train."""

    trial: int
    network: str
    implementation: str
    config: Config
    windows: int
    """Training windows to see."""
    interval: int
    """Windows from one report to the next."""
    schedule: str
    seed: int
    threads: int
    gpus: float
    memory: int | None
    """Bytes for this training; None: those of its share of the GPU."""
    checkpoint: str
    """Path of the training state."""
    log: str = ""
    """Path of a trial's log."""
    known_windows: int = 0
    """Windows after which an earlier session has recorded a report."""
    patience: float = 0.0
    """Seconds of silence, at least, before a trial of a search counts as hung."""
    seconds: float | None = None
    """Time limit; None: no limit."""
