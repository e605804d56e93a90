import pytest
import torch
from torch import Tensor, nn

from scattering.filling.interpolation import linear
from scattering.filling.texture import SMALLEST_CONTRAST
from trainables.tasks import TASKS, fill


class Fixed(nn.Module):
    """Gives noise whatever it sees, and remembers what it saw."""

    def forward(self, image: Tensor) -> Tensor:
        self.seen = image
        return torch.randn((image.shape[0], 1, *image.shape[2:]), generator=torch.Generator().manual_seed(0))


class Constant(nn.Module):
    """Gives one number everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, image: Tensor) -> Tensor:
        return torch.full_like(image[:, :1], self.value)


@pytest.fixture(scope="module")
def batch(window_set):
    return window_set.batch(torch.arange(len(window_set)), window_set.fixed_patterns())


@pytest.mark.parametrize("task", TASKS)
def test_filling_keeps_observed_pixels_bit_for_bit(task, batch):
    filled = fill(TASKS[task], Fixed(), batch.measured, batch.observed)
    assert torch.equal(filled[batch.observed], batch.measured[batch.observed])


@pytest.mark.parametrize("task", TASKS)
def test_filled_intensity_is_not_negative(task, batch):
    assert fill(TASKS[task], Constant(-1000), batch.measured, batch.observed).min() >= 0
    assert TASKS[task].predict(Constant(-1000), batch.measured, batch.observed).min() < 0


@pytest.mark.parametrize("task", TASKS)
def test_networks_get_the_channels_that_the_task_announces(task, batch):
    network = Fixed()
    TASKS[task].predict(network, batch.measured, batch.observed)
    assert network.seen.shape[1] == TASKS[task].in_channels


def test_residual_networks_see_nothing_of_what_is_not_observed(batch):
    networks = Fixed(), Fixed()
    disturbed = torch.where(batch.observed, batch.measured, torch.rand_like(batch.measured))
    outputs = [
        TASKS["residual"].predict(network, measured, batch.observed)
        for network, measured in zip(networks, (batch.measured, disturbed), strict=True)
    ]
    assert torch.equal(networks[0].seen, networks[1].seen)
    assert torch.equal(*outputs)


def test_blind_networks_see_zeros_in_gaps_and_paint_everything(batch):
    network = Fixed()
    painted = TASKS["blind"].predict(network, batch.measured, batch.observed)
    assert not network.seen[~batch.observed].any()
    assert torch.equal(network.seen, batch.measured)
    assert torch.equal(painted, Fixed()(batch.measured))


def around(image: Tensor, row: int, column: int) -> Tensor:
    """9 x 9 pixels, fewer at the edges."""
    return image[..., max(row - 4, 0) : row + 5, max(column - 4, 0) : column + 5]


def local_contrast(start: Tensor, row: int, column: int) -> Tensor:
    """Root mean square, around a pixel, of the difference from the surroundings' mean."""
    means = torch.empty_like(start)
    for r in range(row - 4, row + 5):
        for c in range(column - 4, column + 5):
            means[..., r, c] = around(start, r, c).mean(dim=(-1, -2))
    return around(start - means, row, column).square().mean(dim=(-1, -2)).sqrt()


def test_residual_networks_correct_a_linear_fill_in_gaps_alone(batch):
    predict = TASKS["residual"].predict
    start = linear(batch.measured, batch.observed)
    assert torch.equal(predict(Constant(0), batch.measured, batch.observed), start)
    corrected = predict(Fixed(), batch.measured, batch.observed)
    assert torch.equal(corrected[batch.observed], batch.measured[batch.observed])
    assert (corrected != start)[~batch.observed].all()


def test_corrections_are_in_units_of_the_local_contrast(batch):
    start, place = linear(batch.measured, batch.observed), (slice(None), 0, 21, 8)
    assert not batch.observed[place].any()
    for size in (1, -2):
        corrected = TASKS["residual"].predict(Constant(size), batch.measured, batch.observed)
        expected = size * (local_contrast(start, 21, 8)[:, 0] + SMALLEST_CONTRAST)
        torch.testing.assert_close(corrected[place] - start[place], expected, rtol=1e-3, atol=1e-6)


def test_residual_networks_are_told_where_the_gaps_are(batch):
    network = Fixed()
    TASKS["residual"].predict(network, batch.measured, batch.observed)
    gap = (~batch.observed).float()
    assert any(torch.equal(network.seen[:, [channel]], gap) for channel in range(network.seen.shape[1]))


def test_inputs_of_residual_networks_stay_near_1_for_faint_and_bright_frames(batch):
    for factor in (1e-3, 1, 3):
        network = Fixed()
        TASKS["residual"].predict(network, factor * batch.measured, batch.observed)
        assert network.seen.isfinite().all()
        assert network.seen.square().mean(dim=(0, 2, 3)).sqrt().max() < 5


def test_blind_is_scored_wherever_the_truth_is_known_and_residual_in_gaps(batch):
    assert torch.equal(TASKS["blind"].scored(batch), batch.valid)
    assert torch.equal(TASKS["residual"].scored(batch), batch.valid & ~batch.observed)


@pytest.mark.parametrize("task", TASKS)
def test_a_window_without_an_observed_pixel_is_filled_with_numbers(task):
    nothing = torch.zeros(1, 1, 32, 16)
    filled = fill(TASKS[task], Fixed(), nothing, torch.zeros(1, 1, 32, 16, dtype=torch.bool))
    assert filled.isfinite().all()
