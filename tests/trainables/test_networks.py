"""What holds for every network that can be searched."""

from itertools import cycle

import pytest
import torch
from torch import Tensor, nn

from trainables import NETWORKS
from trainables.models import build, load, save
from trainables.tasks import TASKS


@pytest.fixture(params=list(NETWORKS))
def name(request):
    return request.param


def window(height: int, width: int, count: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Smooth images (count, 1, height, width), the same with a gap, and what is observed."""
    rows, columns = torch.arange(height)[:, None] / 16, torch.arange(width) / 16
    phase = torch.arange(count)[:, None, None] * 1.3
    truth = (0.5 + 0.25 * torch.sin(3 * rows + phase) * torch.cos(2 * columns))[:, None]
    observed = torch.ones_like(truth, dtype=torch.bool)
    observed[..., height // 2 : height // 2 + 2, :] = False
    observed[..., width // 3] = False
    return truth, truth * observed, observed


@pytest.mark.parametrize(("size", "task"), list(zip([(32, 16), (33, 17), (13, 9), (2, 41)], cycle(TASKS))))
def test_any_size_is_kept(small, name, size, task):
    network, posed = build(name, small(name, task))
    _, measured, observed = window(*size)
    assert posed.predict(network, measured, observed).shape == (2, 1, *size)


@pytest.mark.parametrize("task", TASKS)
def test_every_parameter_learns(small, name, task):
    network, posed = build(name, small(name, task))
    truth, measured, observed = window(32, 16)
    (posed.predict(network, measured, observed) - truth).abs().sum().backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    # A map of an MSDNet may be born dead (ReLU of nothing but negative values): its filter then has no gradient.
    silent = [name for name, gradient in gradients.items() if not gradient.any()]
    assert len(silent) <= (len(gradients) / 5 if name == "msdnet" else 0), silent


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_one_batch_is_overfitted(small, name, task):
    torch.manual_seed(0)
    network, posed = build(name, small(name, task))
    truth, _, observed = window(16, 16)
    # Noise: what lies in the gaps can be remembered, but not worked out.
    truth = (truth + 0.1 * torch.randn(truth.shape)).clamp(min=0)
    measured = truth * observed
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for step in range(300):
        for group in optimizer.param_groups:
            group["lr"] = 5e-3 * (1 - step / 300)
        loss = (posed.predict(network, measured, observed) - truth)[~observed].abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.5 * 0.08  # the mean size of the noise


@pytest.mark.parametrize("task", TASKS)
def test_a_loaded_network_gives_the_same_output_bit_for_bit(tmp_path, small, name, task):
    network, posed = build(name, small(name, task), seed=3)
    _, measured, observed = window(33, 17)
    save(tmp_path / "a.safetensors", network, name, small(name, task))
    loaded, loaded_task = load(tmp_path / "a.safetensors")
    assert loaded_task is posed
    assert torch.equal(posed.predict(loaded, measured, observed), posed.predict(network, measured, observed))


def test_what_is_not_observed_is_not_seen(small, name):
    """Whatever stands in the gaps: the residual task starts from observed pixels alone, the blind one from zeros."""
    network, posed = build(name, small(name, "residual"))
    _, measured, observed = window(32, 16)
    other = torch.where(observed, measured, torch.rand(measured.shape))
    assert torch.equal(
        posed.predict(network, measured, observed)[~observed], posed.predict(network, other, observed)[~observed]
    )


class Wrapped(nn.Module):
    """What DistributedDataParallel makes of a network."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor:
        output: Tensor = self.module(*inputs)
        return output


@pytest.mark.parametrize("task", TASKS)
def test_a_wrapped_network_is_given_the_same(small, name, task):
    network, posed = build(name, small(name, task))
    _, measured, observed = window(32, 16)
    expected = posed.predict(network, measured, observed)
    assert torch.equal(posed.predict(Wrapped(network), measured, observed), expected)
