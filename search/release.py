"""The model file of a run: the networks that fill users' frames, with all that was found out about them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from inpainting import model_file
from inpainting.familiarity import ranges, traits
from inpainting.model_file import Description, MemberInfo
from records.folder import RunFolder
from scattering.dataset import Dataset
from scattering.provenance import versions
from search.evaluation.methods import BIHARMONIC
from search.evaluation.models import ENSEMBLE, Model, chosen, trained
from search.settings import Settings
from trainables.models import load

SCORES = ("horizontal_l1", "horizontal_cc", "vertical_l1", "vertical_cc")


def write_model(settings: Settings, train: Dataset) -> None:
    """Write `model.safetensors` of a run that was evaluated; none where its errors could not be calibrated."""
    run = settings.files
    uncertainty = run.uncertainty.read_if_there()
    if uncertainty is None:
        return
    models = chosen(trained(run))
    info = run.info.read()
    description = Description(
        run=info.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        members=tuple(
            MemberInfo(
                model.winner.network,
                model.winner.config,
                settings.implementation,
                model.winner.trial,
                model.member.seed,
                model.val_gap_l1,
            )
            for model in models
        ),
        detector=str(train.settings["detector"]),
        native=tuple(train.settings["native"]),
        working=(train.gap.shape[0], train.gap.shape[1]),
        full_scale=train.full_scale,
        familiar=ranges(
            traits(measured, observed, train.gap)
            for measured, observed in zip(train.measured, train.observed, strict=True)
        ),
        uncertainty=uncertainty,
        data=info.data,
        scores=_scores(run, models),
        versions=versions(),
        unlocated=run.unlocated.read_if_there(),
    )
    model_file.write(run.model_file.path, description, train.gap, [load(model.path)[0] for model in models])


def _scores(run: RunFolder, models: Sequence[Model]) -> dict[str, Any]:
    """Return the errors on test frames of what fills, and biharmonic's."""
    name = ENSEMBLE if len(models) > 1 else None
    rows = run.leaderboard.read()
    own = next(row for row in rows if row.method == name or (name is None and row.trial == models[0].winner.trial))
    return {
        row.method: {score: getattr(row, score) for score in SCORES}
        for row in (own, *(row for row in rows if row.method == BIHARMONIC))
    }
