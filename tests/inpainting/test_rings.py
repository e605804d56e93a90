"""A model that looks at rings: the same fill for users as in the evaluation, and honest where it knows of none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inpainting import model_file
from inpainting.model import Model, load
from inpainting.model_file import Description, MemberInfo
from scattering.calibration import Calibration
from scattering.dataset import Dataset, RawFrame
from search.evaluation.methods import network_filler
from tests.models import CONFIG
from trainables.images import whole_frames
from trainables.models import build

WITH = CONFIG | {"geometry": "yes"}
BEAM = Calibration(2.0, 0.4 * 140 * 172e-6, 0.55 * 150 * 172e-6, 0, 0, 0, 172e-6, 172e-6, 1e-10)


@pytest.fixture(scope="module")
def raw(raw_frames, tiny_detector) -> RawFrame:
    return raw_frames(1, tiny_detector.gap.shape, tiny_detector)[0]._replace(calibration=BEAM)


@pytest.fixture(scope="module")
def looking(tmp_path_factory: pytest.TempPathFactory, description: Description, data: Dataset) -> Model:
    """A model of a network that was not trained: rules of filling do not depend on it."""
    wider = replace(
        description.uncertainty, factors=[[2 * x for x in row] for row in description.uncertainty.factors]
    )
    told = replace(description, members=(MemberInfo("tunet", WITH, "gapsearch", 0, 0, 0.01),), unlocated=wider)
    path: Path = tmp_path_factory.mktemp("rings") / "model.safetensors"
    model_file.write(path, told, data.gap, [build("tunet", WITH)[0]])
    return load(path, "cpu")


def test_a_frame_is_filled_along_its_rings_as_in_the_evaluation(looking: Model, raw: RawFrame, prepare) -> None:
    few: Dataset = prepare([raw])
    filler = network_filler([build("tunet", WITH)])
    expected = filler.frames(whole_frames(few))[0]
    working = looking._resized(raw.truth, raw.observed, 0.0)
    calibration = BEAM.resized(raw.truth.shape, working.measured.shape)
    np.testing.assert_allclose(looking._predict(working, calibration).mean, expected, atol=2e-6)
    without = filler.frames(whole_frames(replace(few, calibration=None)))[0]
    np.testing.assert_allclose(looking._predict(working).mean, without, atol=2e-6)
    assert np.abs(without - expected)[~working.observed].mean() > 1e-4


def test_where_the_geometry_is_unknown_the_intervals_are_those_of_such_frames(looking: Model, raw: RawFrame) -> None:
    counts = np.where(raw.observed, raw.truth, -1).astype(np.float32)
    fill, report = looking.fill_frame(counts, calibration=BEAM, max_uncertainty=1e6)
    other, blind = looking.fill_frame(counts, max_uncertainty=1e6)
    assert (report.rings, blind.rings) == (True, False)
    missing = counts < 0
    assert np.nanmedian(other.uncertainty[missing]) > 1.5 * np.nanmedian(fill.uncertainty[missing])
    assert not np.array_equal(fill.counts[missing], other.counts[missing])
    np.testing.assert_array_equal(fill.counts[~missing], counts[~missing])


def test_a_model_that_does_not_look_at_rings_fills_the_same_with_geometry(model: Model, raw: RawFrame) -> None:
    counts = np.where(raw.observed, raw.truth, -1).astype(np.int32)
    fill, report = model.fill_frame(counts, calibration=BEAM)
    assert not report.rings
    np.testing.assert_array_equal(fill.counts, model.fill(counts).counts)


def test_what_is_known_of_unlocated_frames_goes_with_the_file(looking: Model) -> None:
    told = looking.description
    assert told.unlocated is not None
    assert told.uncertainty_of(rings=False) == told.unlocated
    assert told.uncertainty_of(rings=True) == told.uncertainty
