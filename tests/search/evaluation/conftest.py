"""The shared frames, with the geometry that they would have if the beam hit them near their middle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scattering.calibration import Calibration
from scattering.dataset import Dataset


@pytest.fixture(scope="session")
def calibrated(data: Dataset) -> Dataset:
    beam = Calibration(0.3, 0.0132, 0.0117, 0.0, 0.0, 0.0, 3.76e-4, 4.03e-4, 1e-10)
    return replace(data, calibration=np.array([beam] * len(data)))
