"""Fills around the beam, pyFAI's and ours, and I(q) against pyFAI's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from scattering.calibration import Calibration
from scattering.filling.interpolation import linear
from scattering.filling.polar import Bins, azimuthal_average, inpaint
from tests.scattering.filling.test_rings import filled as along_rings

SHAPE = (96, 96)
BEAM = Calibration(0.5, 0.0505, 0.0432, 0.0, 0.0, 0.0, 1e-3, 1e-3, 1e-10)
TILTED = BEAM._replace(rot1=0.15, rot2=-0.1)


def rings(calibration: Calibration) -> np.ndarray:
    """A frame that depends on q alone."""
    q = calibration.q(SHAPE)
    return (0.4 + 0.1 * np.cos(9 * q) - 0.02 * q).astype(np.float32)


def gaps() -> np.ndarray:
    observed = np.ones(SHAPE, bool)
    observed[20:26] = observed[66:72] = observed[:, 60:64] = False
    return observed


@pytest.mark.parametrize("calibration", [BEAM, TILTED])
@pytest.mark.parametrize("bins", [None, Bins(192, 180, 1)])
def test_rings_are_filled_better_than_by_lines(calibration: Calibration, bins: Bins | None) -> None:
    truth, observed = rings(calibration), gaps()
    seen = np.where(observed, truth, 0).astype(np.float32)
    errors = [
        np.abs(filled - truth)[~observed].mean()
        for filled in (inpaint(seen, observed, calibration, bins),
                       linear(torch.from_numpy(seen), torch.from_numpy(observed)).numpy())
    ]  # fmt: skip
    assert errors[0] < errors[1] / 3


@pytest.mark.parametrize("fill", [inpaint, along_rings])
def test_observed_pixels_stay_and_what_lies_under_gaps_is_not_seen(
    fill: Callable[[np.ndarray, np.ndarray, Calibration], np.ndarray],
) -> None:
    truth, observed = rings(BEAM), gaps()
    first, second = (
        fill(np.where(observed, truth, hidden).astype(np.float32), observed, BEAM) for hidden in (0.0, 0.9)
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first[observed], truth[observed])
    assert np.isfinite(first).all()


@pytest.mark.parametrize("calibration", [BEAM, TILTED])
def test_the_azimuthal_average_is_pyfais(calibration: Calibration) -> None:
    values, chosen = np.random.default_rng(0).poisson(20, SHAPE).astype(float), ~gaps()
    q = calibration.q(SHAPE)
    edges = np.linspace(q[chosen].min(), q[chosen].max(), 41)
    mean, pixels = azimuthal_average(values[chosen], q[chosen], edges)
    expected = calibration.integrator(SHAPE).integrate1d(
        values, 40, unit="q_nm^-1", method=("no", "histogram", "cython"), correctSolidAngle=False,
        mask=~chosen, radial_range=(edges[0], edges[-1]), dummy=np.nan,
    )  # fmt: skip
    assert pixels.sum() == chosen.sum()
    # pyFAI keeps q in float32: a pixel on an edge may fall on its other side.
    same = pixels == expected.count
    assert same.mean() > 0.9
    filled = same & (pixels > 0)
    np.testing.assert_allclose(mean[filled], expected.intensity[filled], rtol=1e-5)


def test_an_empty_bin_has_no_average() -> None:
    mean, pixels = azimuthal_average(np.array([1.0, 3.0]), np.array([0.1, 0.2]), np.array([0.0, 0.5, 1.0]))
    assert mean[0] == 2
    assert np.isnan(mean[1])
    assert pixels.tolist() == [2, 0]
