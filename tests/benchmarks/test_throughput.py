import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import throughput
from benchmarks.throughput import OURS, Case, Cost, Kernel, Limits, Plan, PreparedWindows, cost, main
from trainables import NETWORKS, precision
from trainables.batches import WindowSet
from trainables.msdnet import MSDNet

pytestmark = pytest.mark.slow

TRAINING = {"task": "blind", "batch_size": 4, "learning_rate": 5e-3}
PCONV = Case("pconv", {**TRAINING, "depth": 2, "base_channels": 4}, {}, {})
TUNET = Case(
    "tunet",
    {**TRAINING, "depth": 2, "base_channels": 4, "growth_rate": 2.0},
    {"up_kernel": 2},
    {"dlsia": {"normalization": None}},
)
TINY = Plan(
    kernels=(Kernel(3, 2, (1, 1, 12, 8)),),
    steps=2,
    repeats=1,
    size=64,
    frames=(4, 2),
    epochs=3,
    seeds=2,
    cases=(TUNET, PCONV),
)


def needs_dlsia(test):
    absent = importlib.util.find_spec("dlsia") is None
    # Met when its files are compiled on import.
    test = pytest.mark.filterwarnings("ignore:.*invalid escape sequence")(test)
    return pytest.mark.dlsia(pytest.mark.skipif(absent, reason="dlsia is not installed")(test))


@needs_dlsia
def test_a_tiny_run_prints_what_it_writes(monkeypatch, tmp_path, capsys, data):
    """In this process: every other one would import dlsia for seconds."""
    # On CPUs with units for half precision ours would use them, and round differently.
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    monkeypatch.setattr(throughput, "process", lambda: ThreadPoolExecutor(1))
    monkeypatch.setattr(throughput, "PLANS", {"cpu": TINY})
    monkeypatch.setattr(throughput, "limits_of", lambda _: Limits({torch.float32: 1e11}, 1e10))
    monkeypatch.setattr(throughput, "detector", lambda _: None)
    monkeypatch.setattr(throughput, "simulated", lambda *_, **__: data)
    assert main(["--output", str(tmp_path / "a.md")]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "a.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in printed.splitlines() if " | dlsia | " in line]
    kernel, tunet = rows
    assert all(float(difference) < 1e-5 for difference in kernel[-2:])
    # Same windows in the same order from the same weights: the same network, but for rounding.
    assert abs(float(tunet[-1].split()[0])) <= 0.01


def test_a_network_is_trained_in_a_process_of_its_own(data):
    with throughput.process() as pool:
        parts = data.select(range(4)), data.select(range(4, 6))
        trained = pool.submit(throughput.train, OURS, PCONV, 3, "cpu", parts, 0).result()
    assert trained.rate > 0
    assert 0 < trained.gap_l1 < 1
    assert trained.memory > data.truth.nbytes


def test_without_dlsia_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "dlsia", None)
    assert main([]) == 2
    assert "pip install -e '.[pymsdtorch]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("tunet", {"depth": 3, "base_channels": 4, "growth_rate": 1.5}),
        ("tunet", {"depth": 2, "base_channels": 4, "growth_rate": 2, "up_kernel": 2}),
        ("autoencoder", {"depth": 1, "base_channels": 4, "latent_dimension": 8}),
        ("pconv", {"depth": 2, "base_channels": 4}),
    ],
)
def test_operations_are_those_that_pytorch_counts(name, settings):
    network = NETWORKS[name](**settings)
    window = torch.ones(2, 1, 32, 16)
    inputs = (window, window > 0) if name == "pconv" else (window,)
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    assert cost(network, *inputs).operations == 3 * counter.get_total_flops()


def test_msdnet_is_counted_as_convolutions_of_all_earlier_maps():
    network, window = MSDNet(num_layers=5, max_dilation=2, in_channels=2), torch.zeros(3, 2, 8, 6)
    with FlopCounterMode(display=False) as counter:
        for layer in (*network.layers, network.head):
            layer(torch.zeros(3, layer.in_channels, 8, 6))
    assert cost(network, window) == Cost(3 * counter.get_total_flops(), 6 * 6 * 3 * 8 * 6)


def test_traffic_is_that_of_every_map_in_three_passes():
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(4, 2, 2, stride=2))
    assert cost(network, torch.zeros(1, 1, 8, 8)).values == 3 * 2 * (4 * 8 * 8 + 2 * 16 * 16)


def test_the_limit_is_the_one_that_is_met_first():
    limits = Limits({torch.float32: 100e9}, bandwidth=8e9)
    assert limits.share(Cost(operations=400e9, values=2e9), 8.0, torch.float32) == "50 % of 100 GFLOP/s"
    assert limits.share(Cost(operations=100e9, values=4e9), 8.0, torch.float32) == "25 % of 8 GB/s"


def test_prepared_windows_keep_their_gaps(data):
    windows = PreparedWindows(data, torch.device("cpu"))
    every, none = torch.arange(len(windows)), torch.full((len(windows),), -1)
    first, again = windows.batch(every, none), windows.batch(every.flip(0), windows.drawn)
    assert torch.equal(first.measured, again.measured.flip(0))
    as_drawn = WindowSet(data, torch.device("cpu")).batch(every, windows.drawn)
    assert torch.equal(first.measured, as_drawn.measured)


def test_networks_that_differ_are_refused():
    one, other = torch.ones(3), torch.tensor([1.0, 1.0, 1.1])
    assert throughput.check((one, one), (one, one), "cpu") == [0, 0]
    with pytest.raises(ArithmeticError, match="must differ by at most"):
        throughput.check((one, one), (one, other), "cpu")


def test_every_network_is_trained_on_every_device():
    for plan in throughput.PLANS.values():
        assert [case.network for case in plan.cases] == list(NETWORKS)
        assert plan.epochs % 3 == 0
        assert OURS not in {side for case in plan.cases for side in case.peers}
