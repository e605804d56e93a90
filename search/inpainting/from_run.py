"""The model file of a run: the networks that fill users' frames, with all that was found out about them."""

from __future__ import annotations

from datetime import UTC, datetime

from scattering.dataset import Dataset
from search.evaluation.evaluate import best
from search.evaluation.methods import BIHARMONIC
from search.evaluation.models import ENSEMBLE, chosen, titles
from search.inpainting import model_file
from search.inpainting.familiarity import ranges, traits
from search.inpainting.model_file import Description, MemberInfo
from search.inpainting.uncertainty import Uncertainty
from search.provenance import versions
from search.records import MethodScore, RunInfo, Trial, read_json, read_table
from search.settings import Settings
from trainables.models import load

SCORES = ("horizontal_l1", "horizontal_cc", "vertical_l1", "vertical_cc")


def write_model(settings: Settings, train: Dataset) -> None:
    """Write `model.safetensors` of a run that was evaluated; none where its errors could not be calibrated."""
    folder = settings.folder
    path = folder / f"model{model_file.SUFFIX}"
    models, known = chosen(folder), folder / "uncertainty.json"
    if not models or not known.exists():
        path.unlink(missing_ok=True)
        return
    info = read_json(folder / "run.json", RunInfo)
    description = Description(
        run=info.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        members=tuple(
            MemberInfo(
                model.winner.network,
                model.winner.config,
                settings.implementation,
                model.winner.trial,
                model.end.seed,
                model.end.val_gap_l1,
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
        uncertainty=read_json(known, Uncertainty),
        data=info.data,
        scores=_scores(settings),
        versions=versions(),
    )
    model_file.write(path, description, train.gap, [load(model.path)[0] for model in models])
