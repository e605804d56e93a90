"""The types of arrays, by what they hold."""

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.generic]
"""As a detector counts: any integer or floating-point type."""
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.floating]
