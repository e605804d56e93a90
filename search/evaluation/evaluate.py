"""The held-out test set, touched once: every method on the same pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from inpainting.uncertainty import ENOUGH
from records.folder import RunFolder
from records.tables import DistanceScore, Evaluation, FrameScore, Gallery, Latent, MethodScore
from scattering.arrays import Floats
from scattering.dataset import Dataset
from search.evaluation.coverage import calibrate, coverage
from search.evaluation.latent import FEWEST, latent_space
from search.evaluation.methods import CLASSICAL, FLOOR, FRIEDEL, NOISE_FLOOR, PYFAI, RINGS, Filler, Method
from search.evaluation.models import ENSEMBLE, MEMBER_SHARE, Model, chosen, retrained, trained
from search.evaluation.pictures import Failures, gallery
from search.evaluation.pyfai import tuned_pyfai
from search.evaluation.scores import (
    Filled,
    Targets,
    Tasks,
    distance_rows,
    fill_gaps,
    frame_rows,
    row,
    score,
    targets,
    with_recovered,
)
from search.following.display import status
from search.settings import Settings
from trainables.images import whole_frames


class Result(NamedTuple):
    """Everything the test set says."""

    test_set: Evaluation
    leaderboard: list[MethodScore]
    frames: list[FrameScore]
    distances: list[DistanceScore]
    gallery: Gallery
    failures: Gallery
    kept: list[Filled]
    """The test set as those fillers fill it that were asked for."""


class Workers(NamedTuple):
    """Functions that do jobs as `map` does, perhaps many at once: of classical methods, and of networks."""

    classical: Tasks = map
    networks: Tasks = map


HERE = Workers()
"""One job after another, in this process."""


def evaluate(settings: Settings, validation: Dataset, test: Dataset, workers: Workers = HERE) -> None:
    """Measure the retrained winners of a run, their ensemble and the classical methods; write what comes out."""
    run = settings.files
    own = trained(run)
    models, members = retrained(run, own)
    with status(f"tuning pyFAI on {len(validation)} validation frames"):
        classical, notes = classical_methods(validation, test, workers.classical)
    if members:
        notes.append(
            f"The {ENSEMBLE} averages {len(members)} of {len(own)} models: those whose validation error is within "
            f"{MEMBER_SHARE:.0%} of the lowest."
        )
    notes += _moved(test)
    used = chosen(own)
    fillers = [model.filler for model in used]
    with status(f"measuring on {len(test)} test frames") as how_far:
        result = measure([*models, *classical], test, notes, workers, keep=fillers, progress=how_far)
    if len(test) < FEWEST:
        few = f"The latent-space analysis needs {FEWEST} test frames, there are {len(test)}: it was not done."
        result.test_set.notes.append(few)
        run.latent.remove()
    else:
        run.latent.write(_latent(settings, [*models, *classical], result, test))
    _uncertainty(run, used, validation, targets(test), result.kept, result.test_set.notes, workers)
    run.evaluation.write(result.test_set)
    run.ensemble.write(members)
    run.scores.write(result.frames)
    run.distances.write(result.distances)
    run.gallery.write(result.gallery)
    run.failures.write(result.failures)
    # Last: its presence says that the evaluation is complete.
    run.leaderboard.write(result.leaderboard)


def _moved(test: Dataset) -> list[str]:
    """Say how many frames are scored in gaps that were laid once more: `scattering.artificial`."""
    held_out = test.valid & ~test.observed & ~test.windows.vertical
    moved = sum(bool((frame & ~test.gap).sum() > (frame & test.gap).sum()) for frame in held_out)
    if not moved:
        return []
    return [
        f"{moved} of {len(test)} test frames are of one exposure: nobody knows what lies in their horizontal gaps. "
        "They are scored in the same gaps laid once more, moved along the columns."
    ]


def _latent(settings: Settings, methods: Sequence[Method], result: Result, test: Dataset) -> Latent:
    """Compare the neighbours of frames as the best network fills them."""
    name = best(result.leaderboard)
    filler = next(method for method in methods if method.name == name).fillers[0]
    with status(f"latent spaces of {len(test)} test frames, filled by {name}"):
        return latent_space(name, filler.frames(whole_frames(test)), test, settings.seed)


def _uncertainty(
    run: RunFolder,
    models: Sequence[Model],
    validation: Dataset,
    test: Targets,
    kept: Sequence[Filled],
    notes: list[str],
    workers: Workers,
) -> None:
    """Calibrate the uncertainty of what fills users' frames on validation frames, and count how often it holds.

    The model file of an earlier evaluation goes with what it says.
    """
    for earlier in (run.uncertainty, run.unlocated, run.coverage, run.model_file):
        earlier.remove()
    if not models:
        return
    fillers = [model.filler for model in models]
    with status(f"uncertainty on {len(validation)} validation frames"):
        filled = list(fill_gaps(fillers, validation, workers.networks))
        found = calibrate(filled, targets(validation))
        if found is None:
            notes.append(
                f"Fills have no uncertainty: to calibrate one takes {ENOUGH} scored pixels of validation frames at "
                "one distance from measured pixels."
            )
            return
        run.coverage.write(coverage(kept, found, test))
        if any(model.looks_at_rings for model in models):
            hidden = replace(validation, calibration=None)
            without = calibrate(list(fill_gaps(fillers, hidden, workers.networks)), targets(hidden))
            # As many pixels at the same distances.
            assert without is not None
            run.unlocated.write(without)
        run.uncertainty.write(found)


def classical_methods(validation: Dataset, test: Dataset, tasks: Tasks = map) -> tuple[list[Method], list[str]]:
    """Return the methods that need no training, and sentences on what was tuned or left out."""
    unknown = test.calibrations.count(None)
    if unknown or None in validation.calibrations:
        note = (
            "pyFAI's and Friedel-symmetric fills and errors of I(q) are not given: they need to know where the beam "
            "hits every frame (--poni or --beam)."
        )
        if unknown == len(test):
            return list(CLASSICAL), [note]
        some = f"Where the beam hits is known of {len(test) - unknown} of {len(test)} test frames."
        return [*CLASSICAL, RINGS], [note, some]
    tuned, note = tuned_pyfai(validation, tasks)
    law = "Friedel's law is that of transmission: frames at grazing incidence are not symmetric about the beam."
    return [*CLASSICAL, RINGS, PYFAI, tuned, FRIEDEL], [note, law]


def measure(
    methods: Sequence[Method],
    test: Dataset,
    notes: Sequence[str] = (),
    workers: Workers = HERE,
    *,
    keep: Sequence[Filler] = (),
    progress: Callable[[str], None] = lambda how_far: None,
) -> Result:
    """Fill the gaps of every test frame by every method and score them; give back what the fillers to `keep` gave.

    Horizontal gaps are scored on whole frames, vertical ones on windows with an artificial gap, both where
    the truth is known. The noise floor is the error of the simulator's noise-free intensity.
    """
    known = targets(test)
    failures = Failures(known)
    leaderboard: list[MethodScore] = []
    frames: list[FrameScore] = []
    distances: list[DistanceScore] = []
    kept: dict[Filler, Filled] = {}
    every = [*methods, FLOOR] if test.clean is not None else methods
    for method, fills in zip(every, _fills(every, test, workers, progress), strict=True):
        seeds = []
        for filler, filled in zip(method.fillers, fills, strict=True):
            seeds.append(score(filled, known))
            if filler in keep:
                kept[filler] = filled
            if method.kind != "limit" and filler is method.fillers[0]:
                failures.add(filled.horizontal)
        leaderboard.append(row(method, seeds))
        frames += frame_rows(method, seeds, test)
        distances += distance_rows(method, seeds, known)
    return Result(
        test_set=_describe(known, leaderboard, notes),
        leaderboard=with_recovered(leaderboard),
        frames=frames,
        distances=distances,
        gallery=gallery(test, methods, frames, best(leaderboard), workers.classical),
        failures=failures.gallery(methods, workers.classical),
        kept=[kept[filler] for filler in keep],
    )


def _fills(
    methods: Sequence[Method], test: Dataset, workers: Workers, progress: Callable[[str], None]
) -> Iterator[Iterator[Filled]]:
    """Yield for each method what its fillers give, in their order; methods of a kind are at work together."""
    total, done = len(test) * sum(len(method.fillers) for method in methods), 0

    def count(fills: int) -> None:
        nonlocal done
        done += fills
        progress(f"{done} of {total} fills")

    kinds = {True: workers.networks, False: workers.classical}
    fills = {
        trained: fill_gaps(
            [filler for method in methods if method.trained is trained for filler in method.fillers],
            test,
            tasks,
            count,
        )
        for trained, tasks in kinds.items()
    }
    for method in methods:
        yield islice(fills[method.trained], len(method.fillers))


def _describe(known: Targets, leaderboard: list[MethodScore], notes: Sequence[str]) -> Evaluation:
    floor = next((row for row in leaderboard if row.method == NOISE_FLOOR), None)
    horizontal, vertical = known.horizontal, known.vertical
    return Evaluation(
        frames=len(known.data),
        groups=len(set(known.data.groups)),
        horizontal_pixels=int(horizontal.scored.sum()),
        vertical_pixels=int(vertical.scored.sum()),
        horizontal_mean=_mean(horizontal.truth[horizontal.scored]),
        vertical_mean=_mean(vertical.truth[vertical.scored]),
        horizontal_floor_l1=floor.horizontal_l1 if floor else None,
        vertical_floor_l1=floor.vertical_l1 if floor else None,
        notes=list(notes),
    )


def best(leaderboard: list[MethodScore]) -> str:
    """Name of the best network, or of the best method without any."""

    def key(row: MethodScore) -> tuple[bool, float]:
        return row.kind != "network", math.prod(x for x in (row.horizontal_l1, row.vertical_l1) if x is not None)

    return min((row for row in leaderboard if row.kind != "limit"), key=key).method


def _mean(values: Floats) -> float | None:
    return float(values.mean(dtype=np.float64)) if values.size else None
