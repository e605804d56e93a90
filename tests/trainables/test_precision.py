"""Training in bfloat16 as GPUs do it, tried out on a CPU."""

import pytest
import torch
from torch import nn

from tests.courses import in_epochs
from trainables import NETWORKS, training
from trainables.models import build
from trainables.precision import FullPrecisionConv2d, mixed_precision
from trainables.training import fit


def bfloat16(network: nn.Module, device: torch.device) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def test_a_cpu_without_units_for_it_computes_in_single_precision(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True, "amx_bf16": False})
    with mixed_precision(FullPrecisionConv2d(1, 1, 1), torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_a_cpu_with_units_for_it_uses_them(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    ours = mixed_precision(FullPrecisionConv2d(1, 1, 1), torch.device("cpu"))
    assert isinstance(ours, torch.autocast)
    assert (ours.device, ours.fast_dtype) == ("cpu", torch.bfloat16)


@pytest.mark.filterwarnings("ignore:CUDA is not available")
def test_gpus_with_bfloat16_use_it_for_networks_that_are_made_for_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    ours = mixed_precision(nn.Sequential(nn.Conv2d(1, 1, 1), FullPrecisionConv2d(1, 1, 1)), torch.device("cuda"))
    assert isinstance(ours, torch.autocast)
    assert (ours.device, ours.fast_dtype) == ("cuda", torch.bfloat16)
    theirs = mixed_precision(nn.Sequential(nn.Conv2d(1, 1, 1)), torch.device("cuda"))
    assert not isinstance(theirs, torch.autocast)


@pytest.mark.parametrize("task", ["blind", "residual"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_layer_rounds_nothing_to_eight_bits(small, name, task):
    """Its product is that of single precision, of whatever features come in."""
    torch.manual_seed(0)
    network, posed = build(name, small(name, task))
    seen = {}
    for module in network.modules():
        if isinstance(module, FullPrecisionConv2d):
            module.register_forward_hook(lambda module, inputs, output: seen.update(last=(module, inputs[0], output)))
    measured = torch.rand(2, 1, 32, 16)
    observed = measured > 0.1
    measured = measured * observed
    with torch.no_grad(), bfloat16(network, measured.device):
        output = posed.predict(network, measured, observed)
    assert output.dtype == torch.float32
    with torch.no_grad():
        if name == "msdnet":  # single precision throughout
            assert torch.equal(output, posed.predict(network, measured, observed))
        else:
            module, features, product = seen["last"]
            assert product.dtype == torch.float32
            assert torch.equal(product, module(features))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_speed_costs_no_quality(small, name, window_set, monkeypatch):
    """After equal epochs the error in bfloat16 is that in float32, within a tenth of what was learnt."""

    def learnt() -> tuple[float, float]:
        network, task = build(name, small(name, "residual"))
        epochs = fit(
            network, task, window_set, window_set,
            in_epochs(12, window_set, batch_size=4, learning_rate=5e-3, schedule="cosine", seed=0),
        )  # fmt: skip
        errors = [progress.metrics["val_gap_l1"] for progress in epochs]
        return errors[0], errors[-1]

    first, single = learnt()
    monkeypatch.setattr(training, "mixed_precision", bfloat16)
    _, mixed = learnt()
    assert single < first
    assert mixed - single < 0.1 * (first - single) + 0.02 * single
