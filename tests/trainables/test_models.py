import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from scattering.errors import InputError
from trainables.models import build, count_parameters, load, save
from trainables.tasks import TASKS

CONFIG = {
    "depth": 2,
    "base_channels": 4,
    "growth_rate": 1.5,
    "task": "residual",
    "batch_size": 8,
    "learning_rate": 1e-3,
}


def initial_weights() -> dict[str, torch.Tensor]:
    """Weights as safetensors takes them."""
    return {name: weight.contiguous() for name, weight in build("tunet", CONFIG)[0].state_dict().items()}


@pytest.fixture
def model(tmp_path):
    network, _ = build("tunet", CONFIG, seed=3)
    path = tmp_path / "models" / "tunet.safetensors"
    save(path, network, "tunet", CONFIG)
    return path


def rewritten(path, network="tunet", **changes) -> None:
    """The same weights under other metadata."""
    weights = initial_weights()
    save_file(weights, path, metadata={"network": network, "config": json.dumps({**CONFIG, **changes})})


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_a_loaded_network_gives_the_same_output_bit_for_bit(tmp_path, task, normalization):
    config = {**CONFIG, "task": task, "normalization": normalization}
    network, posed = build("tunet", config, seed=3)
    image = torch.rand(2, posed.in_channels, 16, 16, generator=torch.manual_seed(0))
    network(image)  # moves the statistics of the normalisation
    save(tmp_path / "a.safetensors", network, "tunet", config)
    loaded, loaded_task = load(tmp_path / "a.safetensors")
    assert loaded_task is posed
    assert torch.equal(loaded.eval()(image), network.eval()(image))


def test_networks_trained_channels_last_are_saved_whole(tmp_path):
    network, _ = build("tunet", CONFIG, seed=3)
    network.to(memory_format=torch.channels_last)
    save(tmp_path / "a.safetensors", network, "tunet", CONFIG)
    for one, other in zip(network.parameters(), load(tmp_path / "a.safetensors")[0].parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_model_file_replaces_the_old_one_and_leaves_nothing_beside_it(model):
    save(model, build("tunet", CONFIG, seed=4)[0], "tunet", CONFIG)
    assert list(model.parent.iterdir()) == [model]


def test_only_learnable_parameters_are_counted():
    network = build("tunet", {**CONFIG, "normalization": "batch"})[0]
    everything = count_parameters(network)
    network.head.weight.requires_grad_(False)
    assert count_parameters(network) == everything - network.head.weight.numel()


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def short(path):
    path.write_bytes(path.read_bytes()[:5])


def text(path):
    path.write_text("weights\n1 2 3\n")


def pickled(path):
    path.write_bytes(pickle.dumps({"network": "tunet", "weights": [1, 2]}))


def torch_saved(path):
    torch.save(build("tunet", CONFIG)[0].state_dict(), path)


def without_metadata(path):
    save_file(initial_weights(), path)


def without_a_weight(path):
    weights = initial_weights()
    weights.pop("head.bias")
    save_file(weights, path, metadata={"network": "tunet", "config": json.dumps(CONFIG)})


def with_raw_config(config):
    def damage(path):
        save_file({"a": torch.zeros(1)}, path, metadata={"network": "tunet", "config": config})

    return damage


DAMAGES = {
    "truncated": truncated,
    "five bytes": short,
    "empty": lambda path: path.write_bytes(b""),
    "text": text,
    "pickle": pickled,
    "torch.save": torch_saved,
    "missing": lambda path: path.unlink(),
    "no metadata": without_metadata,
    "a weight missing": without_a_weight,
    "config is no JSON": with_raw_config("{depth"),
    "config is a list": with_raw_config("[1, 2]"),
    "config is a number": with_raw_config("3"),
    "config is empty": with_raw_config("{}"),
    "another network": lambda path: rewritten(path, network="perceptron"),
    "another task": lambda path: rewritten(path, task="denoise"),
    "another shape": lambda path: rewritten(path, base_channels=5),
    "another depth": lambda path: rewritten(path, depth=3),
    "no depth": lambda path: rewritten(path, depth=0),
    "depth of another type": lambda path: rewritten(path, depth="2"),
    "endless growth": lambda path: rewritten(path, growth_rate=float("inf")),
    "no growth": lambda path: rewritten(path, growth_rate=float("nan")),
    "unknown setting": lambda path: rewritten(path, dropout=0.5),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_files_that_are_no_model_are_named_in_one_line(model, damage):
    DAMAGES[damage](model)
    with pytest.raises(InputError, match=r"cannot read .*tunet\.safetensors as a model") as caught:
        load(model)
    assert "\n" not in str(caught.value)


def test_nothing_is_unpickled(model, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    model.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError):
        load(model)
    assert not (tmp_path / "sprung").exists()
