import importlib.util
import json
import pickle
import random
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.testing import assert_close

from scattering.errors import InputError
from tests.courses import in_epochs
from tests.effort import SEED, tries
from trainables import models, pymsdtorch
from trainables.models import count_parameters
from trainables.msdnet import MSDNet
from trainables.training import fit
from trainables.tunet import TUNet

CONFIGURATIONS = range(SEED, SEED + tries(6, 500))
SMALL = {
    "tunet": {"depth": 2, "base_channels": 4, "growth_rate": 1.5},
    "msdnet": {"num_layers": 5, "max_dilation": 3},
}
EQUAL = {
    "tunet": lambda: TUNet(**SMALL["tunet"], up_kernel=2, normalization="batch", in_channels=2),
    "tunet without normalisation": lambda: TUNet(**SMALL["tunet"], up_kernel=2, in_channels=2),
    "msdnet": lambda: MSDNet(**SMALL["msdnet"], in_channels=2),
}


def needs_dlsia(test):
    """Run a test by `make test-pymsdtorch`; elsewhere where dlsia is installed."""
    absent = importlib.util.find_spec("dlsia") is None
    # Met when its files are compiled on import.
    test = pytest.mark.filterwarnings("ignore:.*invalid escape sequence")(test)
    return pytest.mark.dlsia(pytest.mark.skipif(absent, reason="dlsia is not installed")(test))


def theirs(normalization=None, **settings) -> nn.Module:
    """A network as dlsia's users make it."""
    from dlsia.core.networks import msdnet, tunet

    kind = tunet.TUNet if "depth" in settings else msdnet.MixedScaleDenseNetwork
    return kind(out_channels=1, normalization=normalization, **settings)


def randomized(network: nn.Module, seed: int) -> nn.Module:
    """Draw what starts as zeros and ones: biases, and scales and statistics of normalisations."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2, generator=generator)
        elif value.is_floating_point() and value.ndim == 1:
            value.uniform_(-0.5, 0.5, generator=generator)
    return network


def random_tunet(seed: int) -> tuple[dict, random.Random]:
    rng = random.Random(seed)
    settings = {
        "depth": rng.randint(2, 5),
        "base_channels": rng.randint(1, 6),
        "growth_rate": rng.choice((1, 1.3, 1.5, 2, 2.5)),
        "in_channels": rng.randint(1, 4),
    }
    return settings, rng


def image_of(channels: int, shape: tuple[int, int], seed: int) -> Tensor:
    return torch.rand(2, channels, *shape, generator=torch.Generator().manual_seed(seed))


def everything(network: nn.Module, image: Tensor, names: dict[str, str] | None = None) -> dict[str, Tensor]:
    """Output, gradients of the input and of every parameter, statistics; under dlsia's names."""
    image = image.clone().requires_grad_()
    output = network(image)
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(0)).to(output.dtype)
    parameters = dict(network.named_parameters())
    gradients = torch.autograd.grad((output * weights).sum(), [image, *parameters.values()])
    named = dict(zip(parameters, gradients[1:], strict=True)) | dict(network.named_buffers())
    return {(names or {}).get(name, name): value for name, value in named.items()} | {
        "output": output.detach(),
        "input": gradients[0],
    }


def assert_equal(ours: nn.Module, other: nn.Module, image: Tensor, relative: float) -> None:
    """All within `relative` of the largest value of each tensor."""
    expected = {name.removeprefix("network."): value for name, value in everything(other, image).items()}
    given = everything(ours, image, pymsdtorch.names(ours))
    assert given.keys() == expected.keys()
    for name, value in expected.items():
        scale = value.abs().max().item()
        assert_close(given[name], value, rtol=0, atol=relative * scale, msg=lambda text, name=name: f"{name}: {text}")


@needs_dlsia
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("normalization", ["batch", "none"])
@pytest.mark.parametrize("seed", CONFIGURATIONS)
def test_tunet_and_its_gradients_are_dlsias(seed, normalization, training):
    """In float32: both do the same operations in the same order."""
    settings, rng = random_tunet(seed)
    multiple = 2 ** (settings["depth"] - 1)
    shape = (multiple * rng.randint(1, 4), multiple * rng.randint(1, 4))
    layer = nn.BatchNorm2d if normalization == "batch" else None
    other = randomized(theirs(layer, image_shape=shape, **settings), seed).train(training)
    ours = TUNet(**settings, up_kernel=2, normalization=normalization).train(training)
    pymsdtorch.copy_weights(ours, other.state_dict())
    assert count_parameters(ours) == count_parameters(other)
    assert_equal(ours, other, image_of(settings["in_channels"], shape, seed), 1e-5)


@needs_dlsia
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("seed", CONFIGURATIONS)
def test_tunet_of_any_size_is_ours(seed, training):
    """dlsia's own takes one size, and floors where ours pads: the padding around it is compared."""
    settings, rng = random_tunet(seed)
    other = randomized(pymsdtorch.NETWORKS["tunet"](**settings), seed).train(training)
    ours = TUNet(**settings, up_kernel=2, normalization="batch").train(training)
    pymsdtorch.copy_weights(ours, other.network.state_dict())
    image = image_of(settings["in_channels"], (rng.randint(1, 40), rng.randint(1, 40)), seed)
    assert_equal(ours, other, image, 1e-5)


@needs_dlsia
@pytest.mark.parametrize("seed", CONFIGURATIONS)
def test_msdnet_and_its_gradients_are_dlsias(seed):
    """In float64: ours adds in another order, which in float32 moves gradients by up to 2e-5."""
    rng = random.Random(seed)
    settings = {
        "num_layers": rng.randint(1, 30),
        "max_dilation": rng.randint(1, 12),
        "in_channels": rng.randint(1, 4),
    }
    other = randomized(theirs(**settings), seed).double()
    ours = MSDNet(**settings).double()
    pymsdtorch.copy_weights(ours, other.state_dict())
    assert count_parameters(ours) == count_parameters(other)
    shape = (rng.randint(1, 40), rng.randint(1, 40))
    assert_equal(ours, other, image_of(settings["in_channels"], shape, seed).double(), 1e-10)


@needs_dlsia
def test_networks_are_dlsias_with_its_defaults():
    tunet = pymsdtorch.NETWORKS["tunet"](depth=4, base_channels=32, growth_rate=2)
    assert count_parameters(tunet) == 1_927_841
    msdnet = pymsdtorch.NETWORKS["msdnet"](num_layers=50, max_dilation=10)
    # 11 577 of the convolutions; scale and offset of each of 2 to 51 maps.
    assert count_parameters(msdnet) == 11_577 + 2 * sum(range(2, 52))
    assert msdnet(torch.rand(2, 1, 9, 7)).shape == (2, 1, 9, 7)


@needs_dlsia
@pytest.mark.parametrize("kind", EQUAL)
def test_dlsia_reads_what_we_write(tmp_path, kind):
    from dlsia.core.networks import msdnet, tunet

    network = randomized(EQUAL[kind](), 1).eval()
    pymsdtorch.write(tmp_path / "a.pt", network)
    reader = msdnet.MSDNetwork_from_file if kind == "msdnet" else tunet.TUNetwork_from_file
    image = image_of(2, (24, 16), 0)
    assert_close(reader(tmp_path / "a.pt").eval()(image), network(image), rtol=0, atol=1e-6)


@needs_dlsia
@pytest.mark.parametrize("kind", EQUAL)
def test_we_read_what_dlsia_writes(tmp_path, kind):
    network = kind.partition(" ")[0]
    shape = {"image_shape": (24, 16)} if network == "tunet" else {}
    layer = nn.BatchNorm2d if kind == "tunet" else None
    other = randomized(theirs(layer, **SMALL[network], **shape, in_channels=2), 1).eval()
    other.save_network_parameters(tmp_path / "a.pt")
    image = image_of(2, (24, 16), 0)
    assert_close(pymsdtorch.read(tmp_path / "a.pt").eval()(image), other(image), rtol=0, atol=1e-6)


@needs_dlsia
@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({**SMALL["msdnet"], "normalization": nn.BatchNorm2d}, "normalization must be None .* got BatchNorm2d"),
        ({**SMALL["msdnet"], "layer_width": 2}, "layer_width must be 1 .* got 2"),
        ({**SMALL["msdnet"], "final_layer": nn.ReLU()}, "final_layer must be None .* got ReLU"),
        ({**SMALL["tunet"], "image_shape": (24, 17)}, r"multiples of 2 px.* got \(24, 17\)"),
        ({**SMALL["tunet"], "image_shape": (8, 8), "hidden_rate": 2}, "hidden_rate must be 1 .* got 2"),
        ({**SMALL["tunet"], "image_shape": (8, 8), "activation": nn.ELU()}, "got torch.nn.modules.activation.ELU"),
    ],
)
def test_networks_of_dlsia_that_none_of_ours_equals_are_refused(tmp_path, settings, named):
    theirs(**settings, in_channels=1).save_network_parameters(tmp_path / "a.pt")
    with pytest.raises(InputError, match=named):
        pymsdtorch.read(tmp_path / "a.pt")


@needs_dlsia
@pytest.mark.parametrize("task", ["blind", "residual"])
@pytest.mark.parametrize("name", SMALL)
def test_networks_of_dlsia_train_and_are_saved(tmp_path, window_set, name, task):
    config = {**SMALL[name], "task": task}
    network, posed = models.build(name, config, implementation="pymsdtorch")
    before = [parameter.clone() for parameter in network.parameters()]
    course = in_epochs(1, window_set, batch_size=4, learning_rate=1e-3, schedule="step", seed=0)
    (progress,) = fit(network, posed, window_set, window_set, course)
    assert progress.metrics["epoch"] == 1
    assert not all(torch.equal(one, other) for one, other in zip(before, network.parameters(), strict=True))
    models.save(tmp_path / "a.safetensors", network, name, config, "pymsdtorch")
    loaded, _ = models.load(tmp_path / "a.safetensors")
    image = image_of(posed.in_channels, (17, 16), 0)
    assert torch.equal(loaded.eval()(image), network.eval()(image))


@pytest.fixture
def no_dlsia(monkeypatch):
    for module in ("dlsia", "dlsia.core", "dlsia.core.networks"):
        monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize("name", SMALL)
def test_without_dlsia_its_networks_say_how_to_get_it(no_dlsia, name):
    config = {**SMALL[name], "task": "blind"}
    with pytest.raises(InputError, match=r"dlsia.*pip install -e '\.\[pymsdtorch\]'") as caught:
        models.build(name, config, implementation="pymsdtorch")
    assert "\n" not in str(caught.value)


def test_models_of_dlsias_networks_say_how_to_get_it(no_dlsia, tmp_path):
    config = {**SMALL["tunet"], "task": "blind"}
    models.save(tmp_path / "a.safetensors", TUNet(**SMALL["tunet"]), "tunet", config, "pymsdtorch")
    with pytest.raises(InputError, match=r"a\.safetensors.*pip install -e '\.\[pymsdtorch\]'"):
        models.load(tmp_path / "a.safetensors")


def test_models_without_an_implementation_are_ours(tmp_path):
    config = {**SMALL["tunet"], "task": "blind"}
    weights = models.build("tunet", config)[0].state_dict()
    metadata = {"network": "tunet", "config": json.dumps(config)}
    save_file({name: weight.contiguous() for name, weight in weights.items()}, tmp_path / "a.safetensors", metadata)
    assert isinstance(models.load(tmp_path / "a.safetensors")[0], TUNet)


@pytest.mark.parametrize(
    ("name", "changes", "named"),
    [
        ("tunet", {"depth": 1}, "depth=1"),
        ("tunet", {"base_channels": 0}, "base_channels=0"),
        ("tunet", {"growth_rate": float("inf")}, "growth_rate=inf"),
        ("msdnet", {"num_layers": 0}, "num_layers=0"),
    ],
)
def test_settings_that_no_network_has_are_named(name, changes, named):
    with pytest.raises(ValueError, match=named):
        pymsdtorch.NETWORKS[name](**{**SMALL[name], **changes})


@pytest.mark.parametrize("kind", EQUAL)
def test_checkpoints_keep_the_network(tmp_path, kind):
    network = randomized(EQUAL[kind](), 1)
    pymsdtorch.write(tmp_path / "made" / "a.pt", network)
    pymsdtorch.write(tmp_path / "made" / "a.pt", network)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["a.pt"]
    again = pymsdtorch.read(tmp_path / "made" / "a.pt")
    assert type(again) is type(network)
    assert_close(again.state_dict(), network.state_dict(), rtol=0, atol=0)


def test_checkpoints_hold_a_growth_rate_of_the_same_channels():
    rng = random.Random(0)
    for _ in range(300):
        rate = rng.choice((rng.uniform(0.5, 3), 1.5, 1.75, 2, 2.5))
        channels = [rng.randint(16, 64)]
        for _ in range(rng.randint(1, 4)):
            channels.append(int(channels[-1] * rate))
        found = pymsdtorch.growth_rate(channels)
        assert [int(kept * found) for kept in channels[:-1]] == channels[1:], (rate, channels)


@pytest.mark.parametrize(("channels", "rate"), [([16, 32, 64], 2), ([5, 7, 10], 1.5), ([16, 28, 49, 85], 1.75)])
def test_growth_rates_in_checkpoints_are_round(channels, rate):
    assert pymsdtorch.growth_rate(channels) == rate


@pytest.mark.parametrize(
    ("network", "named"),
    [
        (lambda: TUNet(depth=2, base_channels=4, growth_rate=2), "got up_kernel=3: train with up_kernel=2"),
        (lambda: TUNet(depth=1, base_channels=4, growth_rate=2, up_kernel=2), "got depth=1"),
        (lambda: nn.Conv2d(1, 1, 3), "got Conv2d"),
    ],
)
def test_networks_that_none_of_dlsias_equals_are_not_written(tmp_path, network, named):
    with pytest.raises(InputError, match=named):
        pymsdtorch.write(tmp_path / "a.pt", network())
    assert not list(tmp_path.iterdir())


def saved(kind: str) -> dict:
    """What a checkpoint of ours holds."""
    network = EQUAL[kind]()
    weights = network.state_dict()
    state = {name: weights[ours] for ours, name in pymsdtorch.names(network).items()}
    return {"topo_dict": pymsdtorch.topology(network), "state_dict": state}


def changed(kind: str, **settings):
    def write(path: Path) -> None:
        content = saved(kind)
        content["topo_dict"] |= settings
        torch.save(content, path)

    return write


def without(part: str, key: str):
    def write(path: Path) -> None:
        content = saved("tunet")
        del content[part][key]
        torch.save(content, path)

    return write


def truncated(path: Path) -> None:
    torch.save(saved("tunet"), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {
    "missing": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("weights\n1 2 3\n"),
    "truncated": truncated,
    "pickle": lambda path: path.write_bytes(pickle.dumps(saved("tunet")["topo_dict"])),
    "safetensors": lambda path: save_file({"a": torch.zeros(1)}, path),
    "a tensor": lambda path: torch.save(torch.zeros(3), path),
    "a list": lambda path: torch.save([1, 2], path),
    "weights alone": lambda path: torch.save(saved("tunet")["state_dict"], path),
    "settings are a list": lambda path: torch.save({"topo_dict": [1], "state_dict": {}}, path),
    "weights are numbers": lambda path: torch.save({**saved("tunet"), "state_dict": {"a": 1}}, path),
    "weights are none": lambda path: torch.save({**saved("tunet"), "state_dict": None}, path),
    "a weight missing": without("state_dict", "Step Up 0.bias"),
    "a setting missing": without("topo_dict", "hidden_rate"),
    "a setting more": changed("tunet", carryover_channels=4),
    "another network": changed("tunet", num_layers=4),
    "another depth": changed("tunet", depth=3),
    "no depth": changed("tunet", depth=0),
    "depth of another type": changed("tunet", depth="2"),
    "shape of another type": changed("tunet", image_shape=8),
    "endless growth": changed("tunet", growth_rate=float("inf")),
    "another normalisation": changed("tunet", normalization=nn.Conv2d),
    "more layers": changed("msdnet", num_layers=6),
    "no dilation": changed("msdnet", max_dilation=0),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_files_that_are_no_checkpoint_are_named_in_one_line(tmp_path, damage):
    DAMAGES[damage](tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"cannot read .*a\.pt as a TUNet or MSDNet of dlsia: .") as caught:
        pymsdtorch.read(tmp_path / "a.pt")
    assert "\n" not in str(caught.value)


def test_nothing_is_unpickled_freely(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({**saved("tunet"), "extra": Trap()}, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"got .*open"):
        pymsdtorch.read(tmp_path / "a.pt")
    assert not (tmp_path / "sprung").exists()
