import torch
from hypothesis import given
from hypothesis import strategies as st

from trainables.losses import absolute_error


def test_error_is_summed_over_scored_pixels():
    prediction, truth = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 4.0, 3.0])
    error, pixels = absolute_error(prediction, truth, torch.tensor([True, True, False]))
    assert (error.item(), pixels.item()) == (2.5, 2)


def test_no_scored_pixel_is_no_error_and_no_division_by_zero():
    error, pixels = absolute_error(torch.ones(3), torch.zeros(3), torch.zeros(3, dtype=torch.bool))
    assert (error / pixels).item() == 0


@given(st.integers(0, 1000))
def test_loss_ignores_pixels_outside_scored(seed):
    generator = torch.Generator().manual_seed(seed)
    truth, scored = torch.rand(4, 5, generator=generator), torch.rand(4, 5, generator=generator) > 0.5
    other = torch.where(scored, truth, 1000 * torch.rand(4, 5, generator=generator))
    results = []
    for target in (truth, other):
        prediction = torch.linspace(0, 1, 20).reshape(4, 5).requires_grad_()
        error, pixels = absolute_error(prediction, target, scored)
        (error / pixels).backward()
        results.append((error.item(), prediction.grad))
    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1], results[1][1])
    assert not results[0][1][~scored].any()
