import dataclasses
import json
import pickle
import random
import struct
import time

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from inpainting import model_file
from inpainting.model import load
from inpainting.model_file import read, write
from scattering.errors import InputError
from tests.effort import SEED, tries


def parts(path):
    """Tensors and description of a model file."""
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["description"])


def rewritten(path, model_path, change, form=model_file.FORMAT):
    """The model after `change(tensors, description)`."""
    tensors, description = parts(model_path)
    change(tensors, description)
    save_file(tensors, path, metadata={"format": form, "description": json.dumps(description)})
    return path


def test_what_is_written_is_read(model_path, description, data, trained):
    found = read(model_path)
    assert found.description == description
    np.testing.assert_array_equal(found.gap, data.gap)
    for (network, task), (expected, posed) in zip(found.members, trained, strict=True):
        assert task is posed
        for one, other in zip(network.parameters(), expected.parameters(), strict=True):
            assert torch.equal(one, other)
            assert not one.requires_grad


def test_equal_models_are_equal_files_and_nothing_is_left_beside(tmp_path, description, data, trained):
    paths = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for path in paths:
        write(path, description, data.gap, [network for network, _ in trained])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == paths


def test_a_run_is_read_by_its_folder(model_path, frame):
    one, other = load(model_path.parent, "cpu"), load(str(model_path), "cpu")
    np.testing.assert_array_equal(one.fill(frame[0]).counts, other.fill(frame[0]).counts)


HOSTILE = {
    "another format": (lambda t, d: None, "gapsearch model 9"),
    "no members": (lambda t, d: d.update(members=[]), model_file.FORMAT),
    "one member more": (lambda t, d: d["members"].append(d["members"][0]), model_file.FORMAT),
    "an unknown network": (lambda t, d: d["members"][0].update(network="os.system"), model_file.FORMAT),
    "a deep network": (lambda t, d: d["members"][0]["config"].update(depth=10**9), model_file.FORMAT),
    "a wide network": (lambda t, d: d["members"][0]["config"].update(base_channels=10**9), model_file.FORMAT),
    "a network that grows": (lambda t, d: d["members"][0]["config"].update(growth_rate=1e300), model_file.FORMAT),
    "a setting too many": (lambda t, d: d["members"][0]["config"].update(hook="x"), model_file.FORMAT),
    "a field too many": (lambda t, d: d.update(hook="x"), model_file.FORMAT),
    "a field too few": (lambda t, d: d.pop("native"), model_file.FORMAT),
    "a huge frame": (lambda t, d: d.update(working=[10**9, 10**9]), model_file.FORMAT),
    "no frame": (lambda t, d: d.update(native=[0, 0]), model_file.FORMAT),
    "half a pixel": (lambda t, d: d.update(native=[140.5, 150]), model_file.FORMAT),
    "text for a shape": (lambda t, d: d.update(native="64"), model_file.FORMAT),
    "no scale": (lambda t, d: d.update(full_scale=0), model_file.FORMAT),
    "NaN for a scale": (lambda t, d: d.update(full_scale=float("nan")), model_file.FORMAT),
    "ranges of one end": (lambda t, d: d.update(familiar={"median": [0]}), model_file.FORMAT),
    "no traits": (lambda t, d: d.update(familiar={}), model_file.FORMAT),
    "no intervals": (lambda t, d: d["uncertainty"].update(factors=[[], []]), model_file.FORMAT),
    "infinite intervals": (lambda t, d: d["uncertainty"].update(spread=float("inf")), model_file.FORMAT),
    "intervals of no distance": (
        lambda t, d: d["uncertainty"].update(distances=[], contrast=[], factors=[[], []], pixels=[]),
        model_file.FORMAT,
    ),
    "intervals out of order": (lambda t, d: d["uncertainty"]["distances"].reverse(), model_file.FORMAT),
    "distances of text": (lambda t, d: d["uncertainty"].update(distances=["a", "b"]), model_file.FORMAT),
    "a distance of 0": (lambda t, d: d["uncertainty"]["distances"].__setitem__(0, 0), model_file.FORMAT),
    "a distance twice": (lambda t, d: d["uncertainty"].update(distances=[1, 1]), model_file.FORMAT),
    "a scale beyond numbers": (lambda t, d: d.update(full_scale=10**400), model_file.FORMAT),
    "an infinite depth": (lambda t, d: d["members"][0]["config"].update(depth=float("inf")), model_file.FORMAT),
    "a number for the detector": (lambda t, d: d.update(detector=5), model_file.FORMAT),
    "NaN in the data": (lambda t, d: d["data"].update(x=float("nan")), model_file.FORMAT),
    "frames of few pixels, enlarged": (lambda t, d: d.update(working=[8192, 8192]), model_file.FORMAT),
    "text for the data": (lambda t, d: d.update(data="x"), model_file.FORMAT),
    "no gap": (lambda t, d: t.pop("gap"), model_file.FORMAT),
    "a short gap": (lambda t, d: t.update(gap=t["gap"][:-1].clone()), model_file.FORMAT),
    "a gap everywhere": (lambda t, d: t["gap"].fill_(255), model_file.FORMAT),
    "a weight that is missing": (lambda t, d: t.pop(sorted(t)[0]), model_file.FORMAT),
    "a weight too many": (lambda t, d: t.update({"7.x": torch.zeros(1)}), model_file.FORMAT),
    "a weight of another shape": (
        lambda t, d: t.update({"0.head.weight": torch.zeros(1, 5, 1, 1)}),
        model_file.FORMAT,
    ),
    "a weight of another type": (
        lambda t, d: t.update({"0.head.weight": t["0.head.weight"].double()}),
        model_file.FORMAT,
    ),
    "a weight that is NaN": (lambda t, d: t["0.head.weight"].fill_(float("nan")), model_file.FORMAT),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_models_are_refused_in_one_line(tmp_path, model_path, case):
    change, form = HOSTILE[case]
    path = rewritten(tmp_path / "model.safetensors", model_path, change, form)
    started = time.monotonic()
    with pytest.raises(InputError) as refused:
        load(path, "cpu")
    assert time.monotonic() - started < 5
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


def test_reading_leaves_the_callers_random_numbers_alone(model_path):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    read(model_path)
    assert torch.equal(torch.rand(3), expected)


class Bomb:
    def __reduce__(self):
        return (open, ("exploded", "w"))


def test_a_pickle_is_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, content in enumerate((pickle.dumps(Bomb()), b"", b"\0" * 100, struct.pack("<Q", 2**62) + b"{}")):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(content)
        with pytest.raises(InputError, match="cannot read"):
            load(path, "cpu")
    torch.save(Bomb(), tmp_path / "torch.safetensors")
    with pytest.raises(InputError, match="cannot read"):
        load(tmp_path / "torch.safetensors", "cpu")
    assert not (tmp_path / "exploded").exists()
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "nothing.safetensors", "cpu")


@pytest.mark.fuzz
def test_a_damaged_file_is_refused_or_reads_as_a_whole_model(tmp_path, model_path):
    content = model_path.read_bytes()
    path = tmp_path / "model.safetensors"
    rng = random.Random(SEED)
    for number in range(tries(60, 20_000)):
        damaged = bytearray(content)
        if number % 3 == 0:
            damaged = damaged[: rng.randrange(len(damaged))]
        else:
            for _ in range(rng.choice([1, 1, 4])):
                damaged[rng.randrange(len(damaged) if number % 3 == 1 else 4000)] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            found = read(path)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            for network, _ in found.members:
                assert all(bool(weight.isfinite().all()) for weight in network.state_dict().values())


def test_a_description_says_what_the_model_is(description):
    assert description.title == "tunet of tiny (2 members)"
    assert dataclasses.replace(description, members=description.members[:1]).title == "tunet of tiny"
