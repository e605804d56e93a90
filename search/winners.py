"""The choice of the trials that are trained again at full length."""

from __future__ import annotations

from collections.abc import Sequence

from records.networks import TITLES
from records.tables import Trial
from search.settings import Settings, Study


def choose(settings: Settings, trials: Sequence[Trial], given_up: Sequence[Trial] = ()) -> list[Trial]:
    """Return the best `top` trials of each study, and the best of the paper's points where they were tried.

    Those `given_up` could not be trained at full length: the next best takes the place.
    """
    lost = {trial.trial for trial in given_up}
    chosen: dict[int, Trial] = {}
    for study in settings.studies:
        ranks = [trial for trial in ranked(trials, study) if trial.trial not in lost]
        points = [trial for trial in ranks if trial.point is not None]
        chosen.update({trial.trial: trial for trial in (*ranks[: settings.top], *points[:1])})
    return list(chosen.values())


def ranked(trials: Sequence[Trial], study: Study) -> list[Trial]:
    """Return the trials of a study that have a result, best first.

    Finished or cut short: what is better after fewer epochs is better. Were finished ones first, a search on many
    workers that is ended soon would take the first to finish, which is the cheapest (benchmarks/LOG.md).
    """
    places = [
        (trial.val_gap_l1, trial.trial, trial)
        for trial in trials
        if trial.network == study.network
        and study.task in (None, trial.config.get("task"))
        and trial.state in ("finished", "interrupted", "stopped")
        and trial.val_gap_l1 is not None
    ]
    return [trial for *_, trial in sorted(places)]


def summary(trials: Sequence[Trial], study: Study) -> str:
    """Say in one line which trial of a study won."""
    name = TITLES[study.network] + (f", {study.task}" if study.task else "")
    count = sum(trial.network == study.network and study.task in (None, trial.config.get("task")) for trial in trials)
    ranks = ranked(trials, study)
    if not ranks:
        return f"{name}: none of {count} trials has a result"
    best = ranks[0]
    config = ", ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
                       for key, value in best.config.items())  # fmt: skip
    assert best.val_gap_l1 is not None
    score = f"{best.val_gap_l1 * 1e3:.2f}e-3"
    return f"{name}: best of {count} is trial {best.trial}, validation gap L1 {score} ({config})"
