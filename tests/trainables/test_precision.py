"""Training in bfloat16 as GPUs do it, tried out on a CPU."""

import pytest
import torch

from trainables import NETWORKS, training
from trainables.models import build
from trainables.precision import mixed_precision
from trainables.training import fit


def bfloat16(_: torch.device) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def test_a_cpu_computes_in_single_precision():
    with mixed_precision(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize("task", ["blind", "residual"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_layer_rounds_nothing_to_eight_bits(small, name, task):
    torch.manual_seed(0)
    network, posed = build(name, small(name, task))
    measured = torch.rand(2, 1, 32, 16)
    observed = measured > 0.1
    measured = measured * observed
    with torch.no_grad(), bfloat16(measured.device):
        output = posed.predict(network, measured, observed)[~observed]
    assert output.dtype == torch.float32
    # By chance one value in 2^16 has its last 16 bits all 0.
    assert (output != output.bfloat16().float()).float().mean() > 0.9


@pytest.mark.parametrize("name", NETWORKS)
def test_speed_costs_no_quality(small, name, window_set, monkeypatch):
    """After equal epochs the error in bfloat16 is that in float32, within a tenth of what was learnt."""

    def learnt() -> tuple[float, float]:
        network, task = build(name, small(name, "residual"))
        epochs = fit(
            network, task, window_set, window_set,
            epochs=12, batch_size=4, learning_rate=5e-3, schedule="cosine", seed=0,
        )  # fmt: skip
        errors = [progress.metrics["val_gap_l1"] for progress in epochs]
        return errors[0], errors[-1]

    first, single = learnt()
    monkeypatch.setattr(training, "mixed_precision", bfloat16)
    _, mixed = learnt()
    assert single < first
    assert mixed - single < 0.1 * (first - single) + 0.02 * single
