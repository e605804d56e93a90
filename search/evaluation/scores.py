"""Errors of fills: pooled over the test set, per frame, and by distance from observed pixels."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice, product
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from records.tables import DistanceScore, FrameScore, MethodScore
from scattering.arrays import Floats
from scattering.dataset import Dataset
from scattering.preprocessing import to_counts
from search.evaluation.methods import BIHARMONIC, NOISE_FLOOR, TOGETHER, Filler, Method
from search.evaluation.profiles import Profile, profiles
from trainables.images import Images, gapped_windows, whole_frames
from trainables.metrics import correlation, mean_absolute_error

FRAMES = 4
"""Filled by a task: for so many pyFAI keeps what it has prepared for whole frames until their windows come, and every
filler of a run finds what rings say, which takes longer than most fills."""

KINDS = ("horizontal", "vertical")

Tasks = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""A function that does jobs as `map` does, perhaps many at once."""

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

    @property
    def kinds(self) -> tuple[tuple[str, Images], ...]:
        """Both kinds of gap by name."""
        return tuple(zip(KINDS, (self.horizontal, self.vertical), strict=True))


def targets(data: Dataset) -> Targets:
    """Lay the gaps of a data set."""
    return Targets(data, whole_frames(data), gapped_windows(data))


class Filled(NamedTuple):
    """The scored pixels of both kinds of gap, (pixels,), as one filler fills them."""

    horizontal: Floats
    vertical: Floats
    ms_per_frame: float


class Scored(NamedTuple):
    """The figures of one filler."""

    pooled: Figures
    frames: list[Figures]
    distances: dict[tuple[str, int], float]
    """L1 by kind of gap and distance."""


def fill_gaps(
    fillers: Sequence[Filler], data: Dataset, tasks: Tasks = map, progress: Callable[[int], None] = lambda fills: None
) -> Iterator[Filled]:
    """Fill every gap of a data set with one filler after another; timed on whole frames.

    A few fillers take turns at a few frames; after each such task it is said how many fills of frames it were.
    """
    groups = [fillers[first : first + TOGETHER] for first in range(0, len(fillers), TOGETHER)]
    starts = range(0, len(data), FRAMES)
    done = iter(tasks(partial(_fill, groups, data), product(range(len(groups)), starts)))
    for _ in groups:
        parts = []
        for part in islice(done, len(starts)):
            parts.append(part)
            progress(sum(len(seconds) for _, _, seconds in part))
        for own in zip(*parts, strict=True):
            horizontal, vertical, seconds = zip(*own, strict=True)
            # What a process needs once, such as imports and a model's file, is no part of what a frame takes.
            timed = [one for task in seconds for one in task[1:]] or [one for task in seconds for one in task]
            yield Filled(np.concatenate(horizontal), np.concatenate(vertical), statistics.fmean(timed) * 1000)


def _fill(
    groups: Sequence[Sequence[Filler]], data: Dataset, job: tuple[int, int]
) -> list[tuple[Floats, Floats, list[float]]]:
    """Return for each filler the scored pixels of both kinds, and the seconds that each whole frame took."""
    number, start = job
    fillers, part = groups[number], data.select(range(start, min(start + FRAMES, len(data))))
    wholes, windows = [whole_frames(part.select([frame])) for frame in range(len(part))], gapped_windows(part)
    rings = [_timed(attrgetter("rings"), images)[1] if any(f.rings for f in fillers) else 0.0 for images in wholes]
    done = []
    for filler in fillers:
        filled, seconds = zip(*[_timed(filler.frames, images) for images in wholes], strict=True)
        horizontal = np.concatenate([frame[images.scored] for frame, images in zip(filled, wholes, strict=True)])
        whole = [own + filler.rings * shared for own, shared in zip(seconds, rings, strict=True)]
        done.append((horizontal, filler.windows(windows)[windows.scored], whole))
    return done


def _timed(function: Callable[[Images], Any], images: Images) -> tuple[Any, float]:
    """Return what a function gives, and the seconds that it took."""
    started = time.perf_counter()
    return function(images), time.perf_counter() - started


def score(filled: Filled, test: Targets) -> Scored:
    """Measure what a filler gave against the truth."""
    pooled: Figures = {"ms_per_frame": filled.ms_per_frame}
    frames: list[Figures] = [{} for _ in test.data.names]
    distances: dict[tuple[str, int], float] = {}
    for kind, images in test.kinds:
        prediction, truth = getattr(filled, kind), images.truth[images.scored]
        pooled |= _errors(kind, prediction, truth)
        in_counts = (to_counts(values.astype(np.float64), test.data.full_scale) for values in (prediction, truth))
        pooled[f"{kind}_l1_counts"] = mean_absolute_error(*in_counts)
        for number, figures in enumerate(frames):
            mine = images.pixel_frame == number
            figures |= _errors(kind, prediction[mine], truth[mine])
        pixels = np.bincount(images.distance)
        total = np.bincount(images.distance, np.abs(prediction.astype(np.float64) - truth))
        distances |= {(kind, int(far)): float(total[far] / pixels[far]) for far in np.flatnonzero(pixels)}
    for number, (figures, profile) in enumerate(zip(frames, test.profiles, strict=True)):
        mine = filled.horizontal[test.horizontal.pixel_frame == number]
        counts = to_counts(mine.astype(np.float64), test.data.full_scale)
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
