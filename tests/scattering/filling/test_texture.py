"""The surroundings of a pixel, against torch's own average."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from scattering.filling.texture import SMALLEST_CONTRAST, surroundings, texture


@pytest.mark.parametrize("shape", [(1, 1, 40, 30), (3, 2, 5, 64), (2, 1, 1, 1)])
def test_surroundings_are_the_mean_over_nine_by_nine_pixels(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    expected = F.avg_pool2d(image, 9, stride=1, padding=4, count_include_pad=False)
    torch.testing.assert_close(surroundings(image), expected, rtol=1e-6, atol=1e-6)


def test_a_flat_image_has_no_texture() -> None:
    detail, contrast = texture(torch.full((1, 1, 30, 30), 0.7))
    assert detail.abs().max() < 1e-6
    torch.testing.assert_close(contrast, torch.full_like(contrast, SMALLEST_CONTRAST))
