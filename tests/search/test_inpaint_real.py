"""Real frames of PILATUS and EIGER detectors: all that can be filled is, and nothing else changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import ndimage

from inpainting import model_file
from search import inpaint
from tests.search.conftest import SHARED_FRAMES

SCALE = 6.5
"""Detector pixels a working pixel, as from PILATUS 2M to 256 x 256: the small model's gaps are then wider than all
that are to be filled here."""

NEAR, FAR = 9, 40
"""Detector pixels from measured ones within which all are filled, half of a PILATUS gap; and beyond which none is."""

SOURCES = sorted(SHARED_FRAMES.glob("*.h5"))


def detector_of(path: Path) -> str:
    with h5py.File(path) as file:
        return str(file.attrs["detector"]).lower()


@pytest.fixture(scope="session")
def coarse_model(tmp_path_factory, description, data, trained) -> Path:
    """The small model, made for a larger detector."""
    path = tmp_path_factory.mktemp("coarse") / "model.safetensors"
    native = tuple(round(SCALE * size) for size in description.working)
    members = [network for network, _ in trained]
    model_file.write(path, dataclasses.replace(description, native=native), data.gap, members)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "source", [path for path in SOURCES if any(name in detector_of(path) for name in ("pilatus", "eiger"))],
    ids=lambda path: path.stem,
)  # fmt: skip
def test_every_frame_is_filled_and_measured_pixels_stay(coarse_model, source, tmp_path):
    options = ["-o", str(tmp_path), "--force", "--max-uncertainty", "1e9"]
    assert inpaint.main([str(coarse_model), str(source), *options]) == 0
    with h5py.File(source) as old, h5py.File(tmp_path / source.name) as new:
        assert new["frames"].dtype == old["frames"].dtype
        assert new["names"][:].tolist() == old["names"][:].tolist()
        told = new["gapsearch"]
        for number, missing in enumerate(old["invalid"][:] != 0):
            before, after = old["frames"][number], new["frames"][number]
            filled, uncertainty = told["filled"][number] != 0, told["uncertainty"][number]
            assert after[~filled].tobytes() == before[~filled].tobytes()
            assert not filled[~missing].any()
            assert np.isfinite(after[filled]).all()
            assert (after[filled] >= 0).all()
            assert (uncertainty[filled] > 0).all()
            np.testing.assert_array_equal(np.isnan(uncertainty), ~filled)
            distance = ndimage.distance_transform_edt(missing)
            assert filled[missing & (distance <= NEAR)].all()
            assert not filled[distance > FAR].any()
            # A hot pixel aside, a fill is not brighter than all that was measured.
            assert not filled.any() or after[filled].max() <= before[~missing].max()


@pytest.mark.slow
@pytest.mark.skipif(not SOURCES, reason="the real detector frames are not part of the repository")
def test_a_missing_module_stays_missing(coarse_model, tmp_path):
    source = SHARED_FRAMES / "mda_cms.h5"
    assert inpaint.main([str(coarse_model), str(source), "-o", str(tmp_path), "--force"]) == 0
    module = (slice(None), slice(660, None), slice(None, 440))
    with h5py.File(source) as old, h5py.File(tmp_path / source.name) as new:
        assert old["invalid"][module].all()
        np.testing.assert_array_equal(new["frames"][module], old["frames"][module])
        assert new["invalid"][module].all()
        # With the module goes a quarter of all pixels, beside it are the gaps.
        left = new["invalid"][:].mean(axis=(1, 2))
        assert (left > 0.15).all()
        assert (left < old["invalid"][:].mean(axis=(1, 2)) - 0.05).all()
