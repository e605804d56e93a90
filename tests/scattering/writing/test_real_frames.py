"""Every source of real frames: filled in its gaps, written, read again; and through the formats of its kind."""

import h5py
import numpy as np
import pytest

from scattering.reading.stacks import open_stacks, read
from scattering.writing.filled import Filled
from scattering.writing.stacks import output_paths, write_filled
from tests.scattering.reading.conftest import *  # noqa: F403 - its fixtures
