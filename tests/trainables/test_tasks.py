import pytest
import torch
from torch import Tensor, nn

from scattering.interpolation import linear
from trainables.tasks import TASKS, fill


class Fixed(nn.Module):
    """Gives noise whatever it sees, and remembers what it saw."""

    def forward(self, image: Tensor) -> Tensor:
        self.seen = image
        return torch.randn((image.shape[0], 1, *image.shape[2:]), generator=torch.Generator().manual_seed(0))


class Zero(Fixed):
    def forward(self, image: Tensor) -> Tensor:
        return torch.zeros_like(super().forward(image))


@pytest.fixture(scope="module")
def batch(window_set):
    return window_set.batch(torch.arange(len(window_set)), window_set.fixed_patterns())


@pytest.mark.parametrize("task", TASKS)
def test_filling_keeps_observed_pixels_bit_for_bit(task, batch):
    filled = fill(TASKS[task], Fixed(), batch.measured, batch.observed)
    assert torch.equal(filled[batch.observed], batch.measured[batch.observed])


@pytest.mark.parametrize("task", TASKS)
def test_filled_intensity_is_not_negative(task, batch):
    faint = batch.measured / 100
    assert fill(TASKS[task], Fixed(), faint, batch.observed).min() >= 0
    assert TASKS[task].predict(Fixed(), faint, batch.observed).min() < 0


@pytest.mark.parametrize("task", TASKS)
def test_networks_get_the_channels_that_the_task_announces(task, batch):
    network = Fixed()
    TASKS[task].predict(network, batch.measured, batch.observed)
    assert network.seen.shape[1] == TASKS[task].in_channels


@pytest.mark.parametrize("task", TASKS)
def test_what_is_not_observed_is_not_seen(task, batch):
    networks = Fixed(), Fixed()
    unseen = torch.where(batch.observed, batch.measured, torch.rand_like(batch.measured))
    TASKS[task].predict(networks[0], batch.measured, batch.observed)
    if task == "residual":
        TASKS[task].predict(networks[1], unseen, batch.observed)
        assert torch.equal(networks[0].seen, networks[1].seen)
    assert torch.equal(networks[0].seen[:, :1][batch.observed], batch.measured[batch.observed])


def test_blind_networks_see_zeros_in_gaps_and_paint_everything(batch):
    network = Fixed()
    painted = TASKS["blind"].predict(network, batch.measured, batch.observed)
    assert not network.seen[~batch.observed].any()
    assert torch.equal(network.seen, batch.measured)
    assert torch.equal(painted, Fixed()(batch.measured))


def test_residual_networks_correct_a_linear_fill_in_gaps_alone(batch):
    predict = TASKS["residual"].predict
    start = linear(batch.measured, batch.observed)
    assert torch.equal(predict(Zero(), batch.measured, batch.observed), start)
    corrected = predict(Fixed(), batch.measured, batch.observed)
    assert torch.equal(corrected[batch.observed], batch.measured[batch.observed])
    expected = start + 0.02 * Fixed()(start)
    torch.testing.assert_close(corrected[~batch.observed], expected[~batch.observed], rtol=0, atol=1e-7)


def test_residual_networks_see_fill_contrast_and_gap(batch):
    network = Fixed()
    TASKS["residual"].predict(network, batch.measured, batch.observed)
    start, contrast, gap = network.seen[:, :1], network.seen[:, 1:2], network.seen[:, 2:3]
    assert torch.equal(start, linear(batch.measured, batch.observed))
    mean = start[..., 16:25, 4:13].mean(dim=(-1, -2))
    torch.testing.assert_close(contrast[..., 20, 8], 20 * (start[..., 20, 8] - mean), rtol=0, atol=1e-5)
    assert torch.equal(gap, (~batch.observed).float())


def test_blind_is_scored_wherever_the_truth_is_known_and_residual_in_gaps(batch):
    assert torch.equal(TASKS["blind"].scored(batch), batch.valid)
    assert torch.equal(TASKS["residual"].scored(batch), batch.valid & ~batch.observed)


@pytest.mark.parametrize("task", TASKS)
def test_a_window_without_an_observed_pixel_is_filled_with_numbers(task):
    nothing = torch.zeros(1, 1, 32, 16)
    filled = fill(TASKS[task], Fixed(), nothing, torch.zeros(1, 1, 32, 16, dtype=torch.bool))
    assert filled.isfinite().all()
