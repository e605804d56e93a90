import numpy as np
import pytest
import torch
from torch import Tensor

from scattering.filling.interpolation import biharmonic, linear, slanted

SHAPE = (40, 48)
ROWS, COLUMNS = torch.meshgrid(*(torch.arange(size, dtype=torch.float32) for size in SHAPE), indexing="ij")
SLOPES = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)


def stripes(rows: slice | None, columns: slice | None) -> Tensor:
    observed = torch.ones(SHAPE, dtype=torch.bool)
    if rows is not None:
        observed[rows] = False
    if columns is not None:
        observed[:, columns] = False
    return observed


GAPS = {
    "horizontal": stripes(slice(15, 20), None),
    "vertical": stripes(None, slice(22, 25)),
    "crossing": stripes(slice(15, 20), slice(22, 25)),
}


def noise(seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(SHAPE, np.float32))


@pytest.mark.parametrize("gap", GAPS)
def test_linear_is_exact_on_planes(gap):
    plane = 0.3 + 0.01 * ROWS - 0.02 * COLUMNS
    observed = GAPS[gap]
    torch.testing.assert_close(linear(plane * observed, observed), plane, rtol=0, atol=1e-6)


@pytest.mark.parametrize("gap", GAPS)
def test_linear_keeps_observed_pixels_bit_for_bit_and_ignores_the_others(gap):
    observed = GAPS[gap]
    filled = linear(noise() * observed, observed)
    assert torch.equal(filled[observed], noise()[observed])
    assert torch.equal(linear(torch.where(observed, noise(), 1e9), observed), filled)


def test_the_short_way_across_a_gap_decides():
    observed = stripes(slice(10, 12), None)
    observed[:, :2] = observed[:, -2:] = True
    values = torch.where(torch.arange(SHAPE[1]) < 2, 1.0, 0.0).expand(SHAPE) * observed
    # Across two rows all is 0; across 44 columns the 1 at the left counts for (3 / 45)^2 at most.
    assert linear(values, observed)[10:12, 2:].max() < 0.01


def test_linear_carries_the_nearest_pixel_to_an_open_edge():
    observed = stripes(slice(0, 6), None)
    filled = linear(noise() * observed, observed)
    torch.testing.assert_close(filled[:6], noise()[6].expand(6, -1), rtol=0, atol=1e-6)


def test_one_observed_pixel_fills_the_frame():
    observed = torch.zeros(SHAPE, dtype=torch.bool)
    observed[7, 30] = True
    torch.testing.assert_close(linear(0.25 * observed, observed), torch.full(SHAPE, 0.25))


def test_frames_without_an_observed_pixel_stay_zero():
    nothing = torch.zeros((2, 1, *SHAPE))
    unobserved = torch.zeros(nothing.shape, dtype=torch.bool)
    assert torch.equal(linear(nothing, unobserved), nothing)
    assert torch.equal(slanted(nothing, unobserved, SLOPES), torch.zeros(2, len(SLOPES), *SHAPE))
    assert not biharmonic(np.zeros(SHAPE, np.float32), np.zeros(SHAPE, bool)).any()


def test_frames_of_a_batch_do_not_mix():
    observed = torch.stack(list(GAPS.values()))[:, None]
    values = torch.stack([noise(seed) for seed in range(3)])[:, None] * observed
    together = linear(values, observed)
    slopes = slanted(together, observed, SLOPES)
    for number in range(3):
        alone = linear(values[number], observed[number])
        assert torch.equal(together[number], alone)
        assert torch.equal(slopes[number], slanted(alone[None], observed[number][None], SLOPES)[0])


def follow(slope: float, gap: str, pattern) -> tuple[Tensor, Tensor, Tensor]:
    """Pattern constant along lines of a slope across a gap; the true frame, its linear fill, what is observed."""
    across = ROWS if gap == "horizontal" else COLUMNS
    along = COLUMNS if gap == "horizontal" else ROWS
    frame = pattern(along - slope * across)[None, None]
    observed = GAPS[gap][None, None]
    return frame, linear(frame * observed, observed), observed


INSIDE = (slice(None), slice(None), slice(12, -12), slice(12, -12))
"""Where lines of slope 2 across five pixels do not leave the frame."""


@pytest.mark.parametrize("gap", ["horizontal", "vertical"])
@pytest.mark.parametrize("slope", [-2.0, -1.0, 1.0, 2.0])
def test_slanted_is_exact_on_waves_along_whole_slopes(gap, slope):
    frame, start, observed = follow(slope, gap, lambda phase: 0.5 + 0.4 * torch.cos(1.1 * phase))
    correction = slanted(start, observed, (slope,))
    torch.testing.assert_close((start + correction)[INSIDE], frame[INSIDE], rtol=0, atol=1e-6)
    assert (start - frame)[INSIDE].abs().max() > 0.1


@pytest.mark.parametrize("gap", ["horizontal", "vertical"])
@pytest.mark.parametrize("slope", SLOPES)
def test_slanted_is_exact_on_ramps_along_every_slope(gap, slope):
    frame, start, observed = follow(slope, gap, lambda phase: 0.5 + 0.01 * phase)
    chosen = slanted(start, observed, SLOPES)[:, [SLOPES.index(slope)]]
    torch.testing.assert_close((start + chosen)[INSIDE], frame[INSIDE], rtol=0, atol=1e-6)


@pytest.mark.parametrize("gap", GAPS)
def test_slanted_is_zero_where_pixels_are_observed(gap):
    observed = GAPS[gap][None, None]
    directions = slanted(linear(noise()[None, None] * observed, observed), observed, SLOPES)
    assert not directions[observed.expand(directions.shape)].any()
    assert directions.any()


@pytest.mark.parametrize("gap", GAPS)
def test_biharmonic_is_skimages(gap):
    from skimage.restoration import inpaint_biharmonic

    observed = GAPS[gap].numpy()
    frame = np.cos(0.2 * ROWS.numpy() + 0.1 * COLUMNS.numpy()).astype(np.float32)
    filled = biharmonic(np.where(observed, frame, np.float32(np.nan)), observed)
    expected = inpaint_biharmonic(frame * observed, ~observed)
    np.testing.assert_array_equal(filled[observed], frame[observed])
    np.testing.assert_allclose(filled[~observed], expected[~observed], rtol=0, atol=1e-6)


def test_where_a_gap_crosses_a_beamstop_arm_its_sides_decide_not_its_far_end() -> None:
    """The arm runs from a bright centre to the frame's edge: straight along it lies only the bright end."""
    values = torch.full((1, 1, 40, 40), 0.1)
    values[..., :10, :] = 0.9
    observed = torch.ones_like(values, dtype=torch.bool)
    observed[..., 10:, 19:22] = False
    observed[..., 25:28, :] = False
    filled = linear(values * observed, observed)
    assert (filled[..., 12:, :] - 0.1).abs().max() < 0.02
