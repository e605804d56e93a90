"""What rings say of a gap: laws of the estimate, and of how far it is trusted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from scattering.calibration import Calibration
from scattering.filling.interpolation import linear
from scattering.filling.rings import APART, Estimates, Rings, along, beside

SHAPE = (96, 90)
BEAM = Calibration(0.5, 0.0505, 0.0432, 0.0, 0.0, 0.0, 1e-3, 1e-3, 1e-10)
TILTED = BEAM._replace(rot1=0.15, rot2=-0.1, rot3=0.3)
OBLONG = BEAM._replace(pixel1=1.2e-3)


def rings_of(calibration: Calibration, shape: tuple[int, int] = SHAPE, apart: float = 9) -> np.ndarray:
    """A frame that depends on the scattering angle alone: rings of so many pixels from one to the next."""
    radius = calibration.polar(shape)[0].reshape(shape)
    return (0.4 + 0.1 * np.cos(radius * 2 * np.pi / apart) - 0.002 * radius).astype(np.float32)


def gaps(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    observed = np.ones(shape, bool)
    observed[20:24] = observed[66:70] = observed[:, 60:63] = False
    return observed


def estimates(values: np.ndarray, observed: np.ndarray, calibration: Calibration) -> tuple[Estimates, Tensor]:
    seen = torch.from_numpy(observed)
    wanted = beside(seen)
    return Rings(calibration, wanted).estimate(torch.from_numpy(values), seen), wanted


def filled(values: np.ndarray, observed: np.ndarray, calibration: Calibration) -> np.ndarray:
    fill = estimates(values, observed, calibration)[0].fill
    return along(fill, torch.from_numpy(values), torch.from_numpy(observed)).numpy()


@pytest.mark.parametrize("calibration", [BEAM, TILTED, OBLONG])
@pytest.mark.parametrize(("apart", "usual"), [(9, 5e-4), (25, 6e-5)])
def test_a_pattern_of_rings_is_continued_across_gaps(calibration: Calibration, apart: float, usual: float) -> None:
    truth, observed = rings_of(calibration, apart=apart), gaps()
    found, wanted = estimates(np.where(observed, truth, 0).astype(np.float32), observed, calibration)
    far = wanted & torch.from_numpy(calibration.polar(SHAPE)[0].reshape(SHAPE) > 6)
    errors = (found.near - torch.from_numpy(truth)).abs()[far]
    assert errors.median() < usual
    assert errors.mean() < 3 * usual
    assert found.spread[far].median() < 0.01  # of a pattern that varies by 0.07


def test_a_pattern_without_curvature_is_continued_exactly() -> None:
    radius = BEAM.polar(SHAPE)[0].reshape(SHAPE)
    truth, observed = (0.5 - 0.004 * radius).astype(np.float32), gaps()
    found, wanted = estimates(np.where(observed, truth, 0).astype(np.float32), observed, BEAM)
    far = wanted & torch.from_numpy(radius > 6)
    assert (found.near - torch.from_numpy(truth)).abs()[far].max() < 1e-4


@pytest.mark.parametrize("calibration", [BEAM, TILTED])
def test_rings_are_filled_better_than_by_lines(calibration: Calibration) -> None:
    truth, observed = rings_of(calibration), gaps()
    seen = np.where(observed, truth, 0).astype(np.float32)
    lines = linear(torch.from_numpy(seen), torch.from_numpy(observed)).numpy()
    errors = [np.abs(fill - truth)[~observed].mean() for fill in (filled(seen, observed, calibration), lines)]
    assert errors[0] < errors[1] / 10


def test_what_has_no_rings_is_filled_as_without() -> None:
    columns = np.sin(np.arange(SHAPE[1]) * 0.9) * 0.1 + 0.4
    truth, observed = np.broadcast_to(columns, SHAPE).astype(np.float32), gaps()
    observed[:, 60:63] = True
    seen = np.where(observed, truth, 0).astype(np.float32)
    assert np.abs(filled(seen, observed, BEAM) - truth)[~observed].mean() < 0.02 * 0.1


def test_a_measured_pixel_is_predicted_from_others_that_are_far_enough() -> None:
    truth, observed = rings_of(BEAM), gaps()
    row, column = 25, 30  # one below a gap
    assert observed[row, column]
    other = truth.copy()
    rows, columns = np.indices(SHAPE)
    near = np.hypot(rows - row, columns - column) < APART - 1  # a bin reaches 1.25 pixels to either side
    other[near] = 0.9
    before, _ = estimates(np.where(observed, truth, 0).astype(np.float32), observed, BEAM)
    after, _ = estimates(np.where(observed, other, 0).astype(np.float32), observed, BEAM)
    assert abs(float(before.near[row, column] - after.near[row, column])) < 2e-3  # by way of the ring's mean alone
    assert abs(float(before.near[row, column]) - truth[row, column]) < 2e-3


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turning_frame_and_geometry_together_changes_nothing(turns: int) -> None:
    rng = np.random.default_rng(0)
    shape = (80, 80)
    values = rng.random(shape, np.float32)
    observed = gaps(shape)
    row, column = 31.3, 44.8
    calibrations = []
    for _ in range(4):
        calibrations.append(BEAM._replace(poni1=(row + 0.5) * 1e-3, poni2=(column + 0.5) * 1e-3))
        row, column = shape[0] - 1 - column, row  # np.rot90
    seen = np.where(observed, values, 0).astype(np.float32)
    plain, _ = estimates(seen, observed, calibrations[0])
    turned, _ = estimates(
        np.ascontiguousarray(np.rot90(seen, turns)), np.ascontiguousarray(np.rot90(observed, turns)),
        calibrations[turns],
    )  # fmt: skip
    for one, other in zip(plain, turned, strict=True):
        back = torch.from_numpy(np.rot90(other.numpy(), -turns).copy())
        close = torch.isclose(one, back, atol=1e-4, equal_nan=True).float().mean()
        assert close > 0.99  # rounding moves single pixels to the next bin


def test_shifting_frame_and_geometry_together_changes_nothing() -> None:
    values, observed = rings_of(BEAM, (96, 96)), gaps((96, 96))
    whole, _ = estimates(np.where(observed, values, 0).astype(np.float32), observed, BEAM)
    hidden = observed.copy()
    hidden[:8] = hidden[:, :8] = False  # as in the part that is cut out
    rest, _ = estimates(np.where(hidden, values, 0).astype(np.float32), hidden, BEAM)
    moved = BEAM._replace(poni1=BEAM.poni1 - 8e-3, poni2=BEAM.poni2 - 8e-3)
    part = np.ascontiguousarray(np.where(observed, values, 0).astype(np.float32)[8:, 8:])
    cut, wanted = estimates(part, np.ascontiguousarray(observed[8:, 8:]), moved)
    for one, other in zip(rest, cut, strict=True):
        close = torch.isclose(one[8:, 8:][wanted], other[wanted], atol=1e-4, equal_nan=True).float().mean()
        assert close > 0.99
    assert whole.near.isfinite().any()


def test_nothing_is_said_where_there_is_no_ring() -> None:
    nothing = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, bool)
    found, _ = estimates(*nothing, BEAM)
    assert all(part.isnan().all() for part in found)
    assert not filled(*nothing, BEAM).any()
    # A detector that looks sideways: rings beyond 80 degrees have no radius.
    aside = BEAM._replace(rot1=1.5)
    radius = aside.polar(SHAPE)[0].reshape(SHAPE)
    assert np.isnan(radius).any()
    found, wanted = estimates(rings_of(BEAM), gaps(), aside)
    assert found.near[wanted & torch.from_numpy(np.isnan(radius))].isnan().all()
