"""The held-out test set, touched once: every method on the same pixels."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from scattering.dataset import Dataset
from scattering.interpolation import biharmonic, linear
from scattering.preprocessing import to_counts
from scattering.windows import cut, stitch
from search.records import Evaluation, FrameScore, Gallery, MethodScore
from trainables.batches import NO_GAP, WindowSet
from trainables.metrics import correlation, mean_absolute_error
from trainables.models import count_parameters
from trainables.tasks import Task, fill

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

GALLERY_FRAMES = 6
BATCH = 16
BIHARMONIC = "biharmonic"
NOISE_FLOOR = "noise floor"


class Images(NamedTuple):
    """Images to fill, (K, H, W), and the pixels that are scored on them."""

    measured: Floats
    observed: Bools
    truth: Floats
    scored: Bools
    frame: npt.NDArray[np.int64]
    """(K,), the test frame each image is of."""
    clean: Floats | None


@dataclass(frozen=True)
class Method:
    """Something that fills gaps, with what its row of the leaderboard says beside the errors."""

    name: str
    kind: str
    frames: Callable[[Floats, Bools], Floats]
    """Fill whole frames (K, H, W) from (measured, observed)."""
    windows: Callable[[Floats, Bools], Floats]
    """Fill windows, likewise."""
    parameters: int | None = None
    train_seconds: float | None = None


class Result(NamedTuple):
    """Everything the test set says."""

    test_set: Evaluation
    leaderboard: list[MethodScore]
    frames: list[FrameScore]
    gallery: Gallery


class Filled(NamedTuple):
    """One method on both kinds of gap."""

    method: Method
    horizontal: Floats
    vertical: Floats
    ms_per_frame: float | None


def _classical(name: str, fill_image: Callable[[Floats, Bools], Floats]) -> Method:
    """Make a method of a function that fills one image."""

    def each(measured: Floats, observed: Bools) -> Floats:
        filled = [fill_image(image, seen) for image, seen in zip(measured, observed, strict=True)]
        return np.stack(filled) if filled else measured

    return Method(name, "classical", each, each)


CLASSICAL = (
    _classical("linear", lambda image, seen: linear(torch.from_numpy(image), torch.from_numpy(seen)).numpy()),
    _classical(BIHARMONIC, biharmonic),
)


def network_method(name: str, network: nn.Module, task: Task, data: Dataset, train_seconds: float) -> Method:
    """Make a method of a trained network: frames are filled window by window and stitched."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device).eval()

    @torch.no_grad()
    def windows(measured: Floats, observed: Bools) -> Floats:
        parts = []
        for start in range(0, len(measured), BATCH):
            values, seen = (
                torch.from_numpy(a[start : start + BATCH])[:, None].to(device) for a in (measured, observed)
            )
            parts.append(fill(task, network, values, seen)[:, 0].cpu())
        return torch.cat(parts).numpy()

    def frames(measured: Floats, observed: Bools) -> Floats:
        layout = data.windows
        pieces = [cut(torch.from_numpy(array), layout) for array in (measured, observed)]
        flat = [np.ascontiguousarray(piece.reshape(-1, *piece.shape[2:]).numpy()) for piece in pieces]
        filled: Tensor = torch.from_numpy(windows(flat[0], flat[1])).reshape(pieces[0].shape)
        return np.where(observed, measured, stitch(filled, layout).numpy())

    return Method(name, "network", frames, windows, count_parameters(network), train_seconds)


def evaluate(methods: list[Method], test: Dataset) -> Result:
    """Fill the gaps of every test frame by every method and score them.

    Horizontal gaps are scored on whole frames, vertical ones on windows with an artificial gap, both where
    the truth is known. The noise floor is the error of the simulator's noise-free intensity.
    """
    horizontal, vertical = _whole_frames(test), _gapped_windows(test)
    filled = [_fill(method, horizontal, vertical, len(test)) for method in methods]
    if horizontal.clean is not None and vertical.clean is not None:
        floor = Method(NOISE_FLOOR, "limit", lambda measured, _: measured, lambda measured, _: measured)
        filled.append(Filled(floor, horizontal.clean, vertical.clean, None))
    leaderboard = _with_recovered([_pooled(entry, horizontal, vertical, test.full_scale) for entry in filled])
    frames = [score for entry in filled for score in _per_frame(entry, horizontal, vertical, test)]
    floors = next((row for row in leaderboard if row.method == NOISE_FLOOR), None)
    test_set = Evaluation(
        frames=len(test),
        groups=len(set(test.groups)),
        horizontal_pixels=int(horizontal.scored.sum()),
        vertical_pixels=int(vertical.scored.sum()),
        horizontal_mean=_mean(horizontal.truth[horizontal.scored]),
        vertical_mean=_mean(vertical.truth[vertical.scored]),
        horizontal_floor_l1=floors.horizontal_l1 if floors else None,
        vertical_floor_l1=floors.vertical_l1 if floors else None,
    )
    shown = [entry for entry in filled if entry.method.kind != "limit"]
    return Result(test_set, leaderboard, frames, _gallery(shown, frames, _best(leaderboard), test))


def _whole_frames(test: Dataset) -> Images:
    scored = test.valid & ~test.observed & ~test.windows.vertical
    return Images(test.measured, test.observed, test.truth, scored, np.arange(len(test)), test.clean)


def _gapped_windows(test: Dataset) -> Images:
    """Every window without a real vertical gap, with its fixed artificial one; empty where there are no patterns."""
    device = torch.device("cpu")
    windows = WindowSet(test, device)
    chosen = torch.arange(len(windows) if windows.patterns else 0)
    batch = windows.batch(chosen, windows.fixed_patterns()[chosen])
    whole = windows.batch(chosen, torch.full_like(chosen, NO_GAP))
    # What the artificial gap alone hides: where a horizontal gap crosses it, that one counts.
    scored = batch.valid & whole.observed & ~batch.observed
    clean = None
    if test.clean is not None:
        pieces = cut(torch.from_numpy(test.clean), test.windows)[:, list(test.windows.free)]
        clean = pieces.reshape(-1, *pieces.shape[2:]).numpy()[chosen.numpy()]
    return Images(
        measured=batch.measured[:, 0].numpy(),
        observed=batch.observed[:, 0].numpy(),
        truth=batch.truth[:, 0].numpy(),
        scored=scored[:, 0].numpy(),
        frame=(chosen // len(test.windows.free)).numpy(),
        clean=clean,
    )


def _fill(method: Method, horizontal: Images, vertical: Images, frames: int) -> Filled:
    # Imports and the first use of a device are no part of what a frame takes.
    method.frames(horizontal.measured[:1], horizontal.observed[:1])
    started = time.perf_counter()
    whole = method.frames(horizontal.measured, horizontal.observed)
    milliseconds = (time.perf_counter() - started) * 1000 / frames
    windows = method.windows(vertical.measured, vertical.observed) if len(vertical.measured) else vertical.measured
    return Filled(method, whole, windows, milliseconds)


def _pooled(entry: Filled, horizontal: Images, vertical: Images, full_scale: float) -> MethodScore:
    h_fill, h_truth = entry.horizontal[horizontal.scored], horizontal.truth[horizontal.scored]
    v_fill, v_truth = entry.vertical[vertical.scored], vertical.truth[vertical.scored]

    def in_counts(prediction: Floats, truth: Floats) -> float | None:
        values = (to_counts(array.astype(np.float64), full_scale) for array in (prediction, truth))
        return mean_absolute_error(*values)

    return MethodScore(
        method=entry.method.name,
        kind=entry.method.kind,
        horizontal_l1=mean_absolute_error(h_fill, h_truth),
        horizontal_cc=correlation(h_fill, h_truth),
        vertical_l1=mean_absolute_error(v_fill, v_truth),
        vertical_cc=correlation(v_fill, v_truth),
        horizontal_recovered=None,
        vertical_recovered=None,
        horizontal_l1_counts=in_counts(h_fill, h_truth),
        vertical_l1_counts=in_counts(v_fill, v_truth),
        parameters=entry.method.parameters,
        train_seconds=entry.method.train_seconds,
        ms_per_frame=entry.ms_per_frame,
    )


def _with_recovered(rows: list[MethodScore]) -> list[MethodScore]:
    """Add (biharmonic - method) / (biharmonic - floor) where the noise floor is known."""
    by_name = {row.method: row for row in rows}
    if not {BIHARMONIC, NOISE_FLOOR} <= by_name.keys():
        return rows

    def recovered(row: MethodScore, column: str) -> float | None:
        start, floor, own = (getattr(by, column) for by in (by_name[BIHARMONIC], by_name[NOISE_FLOOR], row))
        return None if own is None or start <= floor else (start - own) / (start - floor)

    return [
        replace(
            row,
            horizontal_recovered=recovered(row, "horizontal_l1"),
            vertical_recovered=recovered(row, "vertical_l1"),
        )
        for row in rows
    ]


def _per_frame(entry: Filled, horizontal: Images, vertical: Images, test: Dataset) -> list[FrameScore]:
    scores = []
    for number, name in enumerate(test.names):
        errors: list[float | None] = []
        for fills, images in ((entry.horizontal, horizontal), (entry.vertical, vertical)):
            mine = images.frame == number
            chosen = images.scored[mine]
            prediction, truth = fills[mine][chosen], images.truth[mine][chosen]
            errors += [mean_absolute_error(prediction, truth), correlation(prediction, truth)]
        scores.append(FrameScore(entry.method.name, name, test.groups[number], test.categories[number], *errors))
    return scores


def _best(leaderboard: list[MethodScore]) -> str:
    """Name of the best network, or of the best method without any."""

    def key(row: MethodScore) -> tuple[bool, float]:
        return row.kind != "network", math.prod(x for x in (row.horizontal_l1, row.vertical_l1) if x is not None)

    return min((row for row in leaderboard if row.kind != "limit"), key=key).method


def _gallery(shown: list[Filled], frames: list[FrameScore], best: str, test: Dataset) -> Gallery:
    """Pick frames from the best to the worst of one method, evenly over its ranks, so that none is hand-picked."""
    errors = [score.horizontal_l1 for score in frames if score.method == best]
    ranked = sorted((e, i) for i, e in enumerate(errors) if e is not None)
    order = [i for _, i in ranked] or list(range(len(test)))
    places = np.unique(np.linspace(0, len(order) - 1, GALLERY_FRAMES).round().astype(int))
    chosen = [order[place] for place in places]
    nothing = np.float32(np.nan)
    return Gallery(
        names=[test.names[i] for i in chosen],
        categories=[test.categories[i] for i in chosen],
        methods=[entry.method.name for entry in shown],
        input=np.where(test.observed[chosen], test.measured[chosen], nothing),
        truth=np.where(test.valid[chosen], test.truth[chosen], nothing),
        filled=np.stack([entry.horizontal[chosen] for entry in shown], axis=1),
    )


def _mean(values: Floats) -> float | None:
    return float(values.mean(dtype=np.float64)) if values.size else None
