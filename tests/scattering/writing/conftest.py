"""Real frames, as the tests of reading have them."""

from tests.scattering.reading.conftest import real as real
from tests.scattering.reading.conftest import rewritten as rewritten
