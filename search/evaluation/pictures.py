"""Choice of the test frames that are shown, and of their close-ups: by the data, so that none is hand-picked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from records.tables import FrameScore, Gallery
from scattering.arrays import Bools, Floats, Reals
from scattering.dataset import Dataset
from search.evaluation.methods import Filler, Method
from search.evaluation.scores import Targets, Tasks
from trainables.images import Images, whole_frames

RANKS = (
    (0.0, "best"),
    (1.0, "worst"),
    (0.5, "median"),
    (0.25, "better than three quarters"),
    (0.75, "worse than three quarters"),
)
"""Place of a shown frame between the best and the worst; the first ones matter most where frames are few."""

FAILURES = 3
CROP = 48
"""Side of a close-up in pixels: a gap is 2 to 6 pixels thin in a frame of 512."""


def gallery(
    data: Dataset, methods: Sequence[Method], frames: Sequence[FrameScore], best: str, tasks: Tasks = map
) -> Gallery:
    """Show frames from the best to the worst of one method."""
    own = [score for score in frames if score.method == best]
    kind = "horizontal_l1" if any(score.horizontal_l1 is not None for score in own) else "vertical_l1"
    errors = {number: error for number, score in enumerate(own) if (error := getattr(score, kind)) is not None}
    ranked = sorted(errors, key=lambda number: (errors[number], number))
    reasons: dict[int, str] = {}
    for share, reason in RANKS:
        reasons.setdefault(round(share * (len(ranked) - 1)), reason)
    chosen = [ranked[place] for place in sorted(reasons)]
    held_out = data.valid & ~data.observed
    crops = [close_up(data.truth[number], held_out[number]) for number in chosen]
    return _shown(data, methods, chosen, [reasons[place] for place in sorted(reasons)], crops, tasks)


class Failures:
    """Places where even the best fill of a test frame is poor; takes each method's fills, one after another.

    The measure is the error in horizontal gaps, summed over a close-up: against the noise-free intensity where it is
    known; else against the truth, as far as it exceeds one standard deviation of its photon noise. So no part of it
    is what no method could know.
    """

    def __init__(self, targets: Targets) -> None:
        self.targets = targets
        images = targets.horizontal
        self.reference = images.truth if images.clean is None else images.clean
        self.least: list[Reals] = []
        """(rows, columns) of the first pixels of close-ups, for each frame: the error of the best method so far."""

    def add(self, filled: Floats) -> None:
        """Take in the scored pixels of horizontal gaps as one method fills them."""
        images = self.targets.horizontal
        sums = [self._sums(frame, filled[images.pixel_frame == frame]) for frame in range(len(images))]
        self.least = [np.minimum(*pair) for pair in zip(self.least, sums, strict=True)] if self.least else sums

    def _sums(self, number: int, fill: Floats) -> Reals:
        images = self.targets.horizontal
        reference, scored = self.reference[number], images.scored[number]
        error = np.zeros(reference.shape)
        error[scored] = np.abs(fill.astype(np.float64) - reference[scored])
        if images.clean is None:
            noise = photon_noise(images.truth[number], images.data.full_scale)
            error[scored] = np.maximum(error - noise, 0)[scored]
        return window_sums(error, *_crop_shape(reference))

    def gallery(self, methods: Sequence[Method], tasks: Tasks = map) -> Gallery:
        """Show the frames in which the best fill of some close-up is poorest."""
        data, scored = self.targets.data, self.targets.horizontal.scored
        worst = [float(least.max()) for least in self.least]
        ranked = sorted((n for n in range(len(data)) if scored[n].any()), key=lambda n: (-worst[n], n))
        chosen = ranked[:FAILURES]
        crops = []
        for number in chosen:
            first = divmod(int(np.argmax(self.least[number])), self.least[number].shape[1])
            crops.append(_centred(scored[number], first))
        shown = _shown(data, methods, chosen, [""] * len(chosen), crops, tasks)
        shown.reasons[:] = [self._reason(number, shown, place) for place, number in enumerate(chosen)]
        return shown

    def _reason(self, number: int, shown: Gallery, place: int) -> str:
        top, bottom, left, right = shown.crops[place]
        part = slice(top, bottom), slice(left, right)
        images = self.targets.horizontal
        inside, truth = images.scored[number][part], images.truth[number][part]
        errors = [np.abs(fill[part] - truth)[inside].mean(dtype=np.float64) for fill in shown.filled[place]]
        closest = f"no method comes closer than {min(errors):.2g} here"
        if images.clean is None:
            return closest
        noise = np.abs(images.clean[number][part] - truth)[inside].mean(dtype=np.float64)
        return f"{closest}, where noise alone makes {noise:.1g}"


def photon_noise(truth: Floats, full_scale: float) -> Reals:
    """Standard deviation of the intensity where a count is Poisson, at most: a resized pixel averages several counts.

    From y = log(1 + c) / log(1 + full_scale): sqrt(c) / (1 + c) <= 1 / sqrt(1 + c), and log(1 + c) is y's.
    """
    scale = np.log1p(full_scale)
    return np.asarray(np.exp(-truth.astype(np.float64) * scale / 2) / scale)


def close_up(truth: Floats, held_out: Bools) -> tuple[int, int, int, int]:
    """Find the square whose held-out truth varies most (sum of squares about its mean), its gap in the middle."""
    value = np.where(held_out, truth, 0).astype(np.float64)
    count, total, squares = (window_sums(a, *_crop_shape(truth)) for a in (held_out, value, value**2))
    variation = squares - total**2 / np.maximum(count, 1)
    return _centred(held_out, divmod(int(np.argmax(variation.round(9))), variation.shape[1]))


def _centred(held_out: Bools, first: tuple[int, int]) -> tuple[int, int, int, int]:
    """Move a square of pixels up or down until what it holds of the gaps lies in its middle."""
    (row, col), (height, width) = first, _crop_shape(held_out)
    inside = np.flatnonzero(held_out[row : row + height, col : col + width].any(axis=1))
    if inside.size:
        middle = row + (inside[0] + inside[-1] + 1) // 2
        row = int(np.clip(middle - height // 2, 0, held_out.shape[0] - height))
    return row, row + height, col, col + width


def _crop_shape(image: npt.NDArray[np.generic]) -> tuple[int, int]:
    return min(CROP, image.shape[0]), min(CROP, image.shape[1])


def window_sums(values: npt.NDArray[np.generic], height: int, width: int) -> Reals:
    """Sum over every rectangle of height x width pixels, by its first row and column."""
    sums: Reals = np.pad(values.astype(np.float64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    return sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]


def _shown(
    data: Dataset,
    methods: Sequence[Method],
    chosen: list[int],
    reasons: list[str],
    crops: list[tuple[int, int, int, int]],
    tasks: Tasks,
) -> Gallery:
    """Put frames together, filled by every method; by a network's first seed."""
    part = data.select(chosen)
    images = whole_frames(part)
    nothing = np.float32(np.nan)
    # Where there is nothing to show no method is asked.
    fillers = [method.fillers[0] for method in methods]
    fills = list(tasks(partial(_frames, images), fillers)) if chosen else [images.measured] * len(methods)
    return Gallery(
        names=list(part.names),
        categories=list(part.categories),
        reasons=reasons,
        methods=[method.name for method in methods],
        crops=np.array(crops, np.int64).reshape(-1, 4),
        input=np.where(part.observed, part.measured, nothing),
        truth=np.where(part.valid, part.truth, nothing),
        filled=np.stack(fills, axis=1),
    )


def _frames(images: Images, filler: Filler) -> Floats:
    return filler.frames(images)
