"""Importances of searched parameters: Optuna's functional ANOVA (Hutter et al. 2014) over the trials of a study."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from records.tables import Importance
from search.settings import Settings, Study
from search.tuning.sampler import Sampler
from search.tuning.studies import open_studies

FEWEST = 10
"""Trials below which a forest of trees tells nothing."""


def importances(settings: Settings) -> list[Importance]:
    """Return the importance of each parameter of each study of a run; nothing of one with too few trials.

    Trials are compared after equal windows: the most that enough of them have seen.
    """
    ladders = settings.ladders()
    return [
        row
        for study, sampler in zip(settings.studies, open_studies(settings, ladders).values(), strict=True)
        for row in _of(study, sampler, ladders[study.name].epoch, settings.seed)
    ]


def _of(study: Study, sampler: Sampler, epoch: int, seed: int) -> list[Importance]:
    trials = sampler.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    windows = most_common([list(trial.intermediate_values) for trial in trials])
    if windows is None:
        return []
    compared = optuna.create_study(direction="minimize")
    for trial in trials:
        if windows in trial.intermediate_values:
            value = trial.intermediate_values[windows]
            compared.add_trial(
                optuna.create_trial(params=trial.params, distributions=trial.distributions, value=value)
            )
    values = {trial.value for trial in compared.trials}
    searched = [
        key for key, distribution in sampler.space.items()
        if not distribution.single() and len({trial.params[key] for trial in compared.trials}) > 1
    ]  # fmt: skip
    if len(values) < 2 or not searched:
        return []
    shares = get_param_importances(compared, evaluator=FanovaImportanceEvaluator(seed=seed), params=searched)
    known = len(compared.trials), windows / epoch, study.task or ""
    return [Importance(study.network, key, share, *known) for key, share in shares.items()]


def most_common(reports: Sequence[Sequence[int]]) -> int | None:
    """Return the most windows after which `FEWEST` trials have reported; None where so many never did."""
    reached = sorted((max(known) for known in reports if known), reverse=True)
    return reached[FEWEST - 1] if len(reached) >= FEWEST else None
