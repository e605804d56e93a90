"""Errors of fills: pooled over the test set, per frame, and by distance from observed pixels."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from records.tables import DistanceScore, FrameScore, MethodScore
from scattering.arrays import Floats
from scattering.dataset import Dataset
from scattering.preprocessing import to_counts
from search.evaluation.images import Images, gapped_windows, whole_frames
from search.evaluation.methods import BIHARMONIC, NOISE_FLOOR, Filler, Method
from search.evaluation.profiles import Profile, profiles
from trainables.metrics import correlation, mean_absolute_error

FRAMES = 8
"""Filled at a time: for so many pyFAI keeps what it has prepared for whole frames until their windows come."""

KINDS = ("horizontal", "vertical")

Figures = dict[str, float | None]
"""By the name of their column."""


@dataclass(frozen=True)
class Targets:
    """The pixels that every method is measured on."""

    data: Dataset
    horizontal: Images
    vertical: Images

    @cached_property
    def profiles(self) -> list[Profile | None]:
        """I(q) of the truth, frame by frame."""
        return profiles(self.horizontal)

    @cached_property
    def parts(self) -> list[tuple[Images, Images]]:
        """The images of a few frames at a time."""
        return list(few_at_a_time(self.data))

    @property
    def kinds(self) -> tuple[tuple[str, Images], ...]:
        """Both kinds of gap by name."""
        return tuple(zip(KINDS, (self.horizontal, self.vertical), strict=True))


def targets(data: Dataset) -> Targets:
    """Lay the gaps of a data set."""
    return Targets(data, whole_frames(data), gapped_windows(data))


def few_at_a_time(data: Dataset) -> Iterator[tuple[Images, Images]]:
    """Lay both kinds of gap of a few frames at a time."""
    frames = range(len(data))
    for start in frames[::FRAMES]:
        part = data.select(frames[start : start + FRAMES])
        yield whole_frames(part), gapped_windows(part)


class Filled(NamedTuple):
    """Both kinds of gap as one filler fills them."""

    horizontal: Floats
    vertical: Floats
    ms_per_frame: float


class Scored(NamedTuple):
    """The figures of one filler."""

    pooled: Figures
    frames: list[Figures]
    distances: dict[tuple[str, int], float]
    """L1 by kind of gap and distance."""


def fill_gaps(filler: Filler, test: Targets) -> Filled:
    """Fill every gap of the test set; timed on whole frames."""
    # Imports and the first use of a device are no part of what a frame takes.
    filler.frames(whole_frames(test.data.select([0])))
    frames, windows, seconds = [], [], 0.0
    for horizontal, vertical in test.parts:
        started = time.perf_counter()
        frames.append(filler.frames(horizontal))
        seconds += time.perf_counter() - started
        windows.append(filler.windows(vertical))
    return Filled(np.concatenate(frames), np.concatenate(windows), seconds * 1000 / len(test.data))


def score(filled: Filled, test: Targets) -> Scored:
    """Measure what a filler gave against the truth."""
    pooled: Figures = {"ms_per_frame": filled.ms_per_frame}
    frames: list[Figures] = [{} for _ in test.data.names]
    distances: dict[tuple[str, int], float] = {}
    for kind, images in test.kinds:
        fills = getattr(filled, kind)
        prediction, truth = fills[images.scored], images.truth[images.scored]
        pooled |= _errors(kind, prediction, truth)
        in_counts = (to_counts(values.astype(np.float64), test.data.full_scale) for values in (prediction, truth))
        pooled[f"{kind}_l1_counts"] = mean_absolute_error(*in_counts)
        for number, figures in enumerate(frames):
            mine = images.frame == number
            chosen = images.scored[mine]
            figures |= _errors(kind, fills[mine][chosen], images.truth[mine][chosen])
        pixels = np.bincount(images.distance)
        total = np.bincount(images.distance, np.abs(prediction.astype(np.float64) - truth))
        distances |= {(kind, int(far)): float(total[far] / pixels[far]) for far in np.flatnonzero(pixels)}
    for number, (figures, profile) in enumerate(zip(frames, test.profiles, strict=True)):
        chosen = filled.horizontal[number][test.horizontal.scored[number]]
        counts = to_counts(chosen.astype(np.float64), test.data.full_scale)
        figures["iq_error"] = None if profile is None else profile.error(counts)
    known = [value for figures in frames if (value := figures["iq_error"]) is not None]
    pooled["iq_error"] = statistics.fmean(known) if known else None
    return Scored(pooled, frames, distances)


def _errors(kind: str, prediction: Floats, truth: Floats) -> Figures:
    return {
        f"{kind}_l1": mean_absolute_error(prediction, truth),
        f"{kind}_cc": correlation(prediction, truth),
    }


def row(method: Method, seeds: Sequence[Scored]) -> MethodScore:
    """Return a method's row: the mean over its seeds."""
    figures = _mean([scored.pooled for scored in seeds])
    if method.kind == "limit":
        figures["ms_per_frame"] = None
    spread = {f"{kind}_l1_sd": _spread([scored.pooled[f"{kind}_l1"] for scored in seeds]) for kind in KINDS}
    return MethodScore(
        method=method.name,
        kind=method.kind,
        horizontal_recovered=None,
        vertical_recovered=None,
        parameters=method.parameters,
        train_seconds=method.train_seconds,
        network=method.network,
        task=method.task,
        trial=method.trial,
        point=method.point,
        seeds=method.seeds,
        **figures,
        **spread,
    )


def frame_rows(method: Method, seeds: Sequence[Scored], data: Dataset) -> list[FrameScore]:
    """Return a method's figures for each frame: the mean over its seeds."""
    scores = []
    for number, label in enumerate(zip(data.names, data.groups, data.categories, strict=True)):
        name, group, category = label
        own = _mean([scored.frames[number] for scored in seeds])
        scores.append(FrameScore(method=method.name, frame=name, group=group, category=category, **own))
    return scores


def distance_rows(method: Method, seeds: Sequence[Scored], test: Targets) -> list[DistanceScore]:
    """Return a method's errors by distance: the mean over its seeds."""
    pixels = {kind: np.bincount(images.distance) for kind, images in test.kinds}
    return [
        DistanceScore(
            method=method.name,
            kind=kind,
            distance=far,
            l1=statistics.fmean(scored.distances[kind, far] for scored in seeds),
            pixels=int(pixels[kind][far]),
        )
        for kind, far in seeds[0].distances
    ]


def with_recovered(rows: list[MethodScore]) -> list[MethodScore]:
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


def _mean(seeds: Sequence[Figures]) -> Figures:
    """Mean of each figure over seeds; what one lacks has none."""
    means: Figures = {}
    for name in seeds[0]:
        known = [value for figures in seeds if (value := figures[name]) is not None]
        means[name] = statistics.fmean(known) if len(known) == len(seeds) else None
    return means


def _spread(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.stdev(known) if len(known) > 1 else None
