"""The tables of a run: written by the stages of a search, read by the report (neither torch nor Ray here)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Config = dict[str, int | float | str]


@dataclass(frozen=True)
class RunInfo:
    """The origin of a run, and everything needed to repeat it."""

    name: str
    command: str
    network: str
    preset: str
    seed: int
    created: str
    """ISO 8601, UTC."""
    settings: dict[str, Any]
    """Settings of the search, as given and as resolved."""
    data: dict[str, Any]
    """title, simulated (bool), detector, size, frames, train_frames, validation_frames, test_frames, groups,
    fingerprint."""
    versions: dict[str, str]
    machine: dict[str, str]


REDUCTION = 3
"""One trial in so many goes on from a rung of early stopping to the next, which lies so many times as far."""


@dataclass(frozen=True)
class Ladder:
    """The course of a study's trials, in training windows."""

    study: str
    network: str
    epoch: int
    """Windows of the training set."""
    length: int
    """Of a trial that is not stopped early."""
    interval: int
    """From one report to the next."""
    first_rung: int
    """Where trials are compared first; 0 where none is stopped early."""

    @property
    def rungs(self) -> tuple[int, ...]:
        """Windows after which trials are compared."""
        return rungs(self.length, self.first_rung)


def rungs(length: int, first: int, reduction: int = REDUCTION) -> tuple[int, ...]:
    """Return the rungs below a trial's length: the first, and each `reduction` times as far as the one before."""
    places = []
    while 0 < first < length:
        places.append(first)
        first *= reduction
    return tuple(places)


def in_epochs(epochs: float) -> str:
    """Write a number of epochs for people."""
    return f"{round(epochs, 1 if epochs >= 1 else 2):g}"


@dataclass(frozen=True)
class Interim:
    """An interim result of a trial, or of a winner that is trained again, on train and validation frames."""

    trial: int
    """Number of the trial; a retrained winner keeps the number of the trial that found it."""
    windows: int
    """Training windows seen so far."""
    epoch: float
    """The same, in passes over the training set."""
    train_loss: float
    """Mean L1 over the whole window since the result before, transformed intensity in [0, 1]."""
    val_loss: float
    val_gap_l1: float
    """Mean L1 over held-out gap pixels of the validation windows: what the search minimises."""
    val_gap_cc: float
    learning_rate: float
    seconds: float
    """Training and validation time since the trial began."""


@dataclass(frozen=True)
class RetrainInterim(Interim):
    """An interim result of a winner that is trained again."""

    seed: int
    """Of its initial weights and of the order of its batches; a winner is trained with several."""
    devices: int
    """GPUs, or 1: all cores of one machine."""


@dataclass(frozen=True)
class Importance:
    """The importance of a searched parameter: the share of the variation of the error that goes with it."""

    network: str
    parameter: str
    importance: float
    """The shares of the parameters of a study sum to 1."""
    trials: int
    """From so many trials,"""
    epoch: float
    """compared after so many epochs."""
    task: str = ""
    """Where each task is searched for itself."""


@dataclass(frozen=True)
class Trial:
    """One trial of the search, at its last interim result."""

    trial: int
    network: str
    state: str
    """finished, stopped (early, by ASHA), interrupted (by the time limit), infeasible (too large for the memory) or
    failed; see `trials_so_far` for one more."""
    epochs: float
    """Passes over the training set."""
    val_gap_l1: float | None
    val_gap_cc: float | None
    val_loss: float | None
    train_loss: float | None
    parameters: int | None
    seconds: float
    config: Config = field(default_factory=dict)
    error: str = ""
    micro_batch: int | None = None
    """Windows at once: the batch, unless the memory was short."""
    memory: int | None = None
    """Bytes that its training was found to take."""
    point: int | None = None
    """Number of the paper's model (Tables 2 and 3); None for a proposal."""


@dataclass(frozen=True)
class Evaluation:
    """Contents of the test set; a kind of gap that has no scored pixel is None."""

    frames: int
    groups: int
    horizontal_pixels: int
    vertical_pixels: int
    horizontal_mean: float | None
    """Mean truth over the scored pixels, transformed intensity (the paper: 0.2496)."""
    vertical_mean: float | None
    horizontal_floor_l1: float | None
    """L1 of the noise-free intensity against the noisy truth; simulated frames only."""
    vertical_floor_l1: float | None
    notes: list[str] = field(default_factory=list)
    """What was not measured, and why; how what was tuned came out. Sentences for the reader."""


@dataclass(frozen=True)
class Member:
    """One model of the ensemble."""

    network: str
    trial: int
    seed: int
    val_gap_l1: float
    """By which it was chosen: validation frames, where its retraining was at its best."""


@dataclass(frozen=True)
class FrameScore:
    """One method on one test frame, the mean over its seeds; None where the frame has no pixel of that kind."""

    method: str
    frame: str
    group: str
    category: str
    horizontal_l1: float | None
    horizontal_cc: float | None
    vertical_l1: float | None
    vertical_cc: float | None
    iq_error: float | None = None
    """Error of the azimuthal average over gap pixels, a share of it: see `MethodScore`."""


@dataclass(frozen=True)
class DistanceScore:
    """One method on the gap pixels at one distance from the nearest observed pixel."""

    method: str
    kind: str
    """horizontal or vertical"""
    distance: int
    """Pixels, rounded; 1 is beside an observed pixel."""
    l1: float
    pixels: int


@dataclass(frozen=True)
class Coverage:
    """The share of some test pixels whose truth lies within their stated intervals."""

    kind: str
    """horizontal or vertical"""
    level: float
    """Share that is stated: 0.68 or 0.95."""
    found: float
    """Share that was found within."""
    half_width: float
    """Mean over the pixels, transformed intensity."""
    half_width_counts: float
    """Median over the pixels of half the interval's length in counts."""
    l1: float
    """Mean |error| over the pixels."""
    pixels: int
    by: str = ""
    """What the pixels have in common: "distance", from `start` to `end`; "counts", those of the fill, from `start` to
    below `end`, None without end. "" for all that have an interval."""
    start: float | None = None
    end: float | None = None
    frames_low: float | None = None
    """Of all pixels: one frame in ten has a smaller share within, counted on its own,"""
    frames_high: float | None = None
    """and one in ten a larger one."""


@dataclass(frozen=True)
class MethodScore:
    """One row of the leaderboard: one method, pooled over the gap pixels of the test set; the mean over its seeds."""

    method: str
    """Unique within a run."""
    kind: str
    """network, ensemble, classical or limit (the noise floor)."""
    horizontal_l1: float | None
    horizontal_cc: float | None
    vertical_l1: float | None
    vertical_cc: float | None
    horizontal_recovered: float | None
    """(biharmonic - method) / (biharmonic - noise floor), of L1; simulated frames only."""
    vertical_recovered: float | None
    horizontal_l1_counts: float | None
    """Mean |error| in counts over the same pixels."""
    vertical_l1_counts: float | None
    parameters: int | None
    train_seconds: float | None
    """Device-seconds: training time of one model times its devices (of an ensemble: of all its members)."""
    ms_per_frame: float | None
    iq_error: float | None = None
    """Relative error of the azimuthal average I(q) over the horizontal gaps; where the geometry is known.

    For each frame its scored pixels are sorted into 100 equal bins of q, from their smallest q to their largest, and
    counts are averaged in each: of the fill, F, and of the truth, T. The frame's error is the mean of
    |F - T| / ((F + T) / 2) over the bins in which the truth counts at least 100 in all pixels together, for below
    photon noise decides. This is its mean over frames that have such bins (and over seeds)."""
    network: str = ""
    """Key of the network; "" for what is none."""
    task: str = ""
    """blind or residual"""
    trial: int | None = None
    point: int | None = None
    """As in `Trial`."""
    seeds: int | None = None
    """Models that the row is the mean of (of an ensemble: its members)."""
    horizontal_l1_sd: float | None = None
    """Standard deviation over the seeds; None with fewer than two."""
    vertical_l1_sd: float | None = None


@dataclass(frozen=True)
class Gallery:
    """A few test frames, transformed intensity in [0, 1], for pictures. K frames, M methods."""

    names: list[str]
    categories: list[str]
    reasons: list[str]
    """Why this frame is shown: "best", "median", "worst", "where every method fails"; its place by the data."""
    methods: list[str]
    crops: npt.NDArray[np.int64]
    """(K, 4): first and past-the-last row, first and past-the-last column of the close-up."""
    input: npt.NDArray[np.float32]
    """(K, H, W), NaN where not observed."""
    truth: npt.NDArray[np.float32]
    """(K, H, W), NaN where not valid."""
    filled: npt.NDArray[np.float32]
    """(K, M, H, W)."""


@dataclass(frozen=True)
class Latent:
    """Neighbours in the latent spaces of N test frames as autoencoders see them (paper, section 4.4, Fig. 10)."""

    method: str
    """Whose fills the inpainted frames are."""
    neighbours: int
    """How many nearest neighbours `overlap` counts."""
    dimension: int
    spaces: list[str]
    """truth, masked, inpainted, and "truth, another seed": what the training of the autoencoder alone changes."""
    correlation: npt.NDArray[np.float64]
    """(spaces, ranks): mean correlation of masked frames with their neighbour of each rank, from 1."""
    overlap: npt.NDArray[np.float64]
    """(spaces, N): share of a frame's nearest neighbours in the truth space that are its nearest in this one."""
