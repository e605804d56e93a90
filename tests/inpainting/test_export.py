import contextlib
import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from inpainting import model_file
from inpainting.model import Model, _Prediction
from scattering.errors import InputError
from search import export
from tests.trainables.test_pymsdtorch import needs_dlsia
from trainables import pymsdtorch
from trainables.models import build

DOCS = (Path(__file__).parents[2] / "docs" / "model_file.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_prediction_of_whole_frames_is_the_models(model, model_path, frame):
    working = model._resized(frame[0], frame[0] >= 0, 0.0)
    expected = model._predict(working)
    filler = export.frame_filler(model_file.read(model_path))
    filled, spread = filler(*(torch.from_numpy(array)[None, None] for array in working))
    np.testing.assert_allclose(filled[0, 0], expected.mean, rtol=0, atol=1e-6)
    np.testing.assert_allclose(spread[0, 0], expected.spread, rtol=0, atol=1e-6)
    assert expected.spread.any()


@pytest.fixture(scope="module")
def exported(model_path, tmp_path_factory) -> tuple[Path, str]:
    """The graph of a run's folder, and what the command said."""
    path = tmp_path_factory.mktemp("onnx") / "deep" / "model.onnx"
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert export.main([str(model_path.parent), "-o", str(path)]) == 0
    assert [entry.name for entry in path.parent.iterdir()] == ["model.onnx"]
    return path, said.getvalue()


@pytest.mark.slow
def test_a_frame_through_the_graph_is_the_models_fill(exported, model, model_path, frame, monkeypatch):
    path, said = exported
    assert re.search(
        r"model\.onnx: tunet of tiny \(2 members\), frames of 64 x 64 pixels, within \S+ of the model", said
    )
    session = onnxruntime.InferenceSession(path)

    def predict(self: Model, working, calibration):
        inputs = {name: array[None, None] for name, array in zip(("measured", "observed"), working, strict=True)}
        filled, spread = (output[0, 0] for output in session.run(None, inputs))
        np.testing.assert_array_equal(filled[working.observed], working.measured[working.observed])
        return _Prediction(filled, spread, *expected[2:])

    expected = model._predict(model._resized(frame[0], frame[0] >= 0, 0.0))
    counts, uncertainty = model.fill(frame[0].astype(np.float32))
    monkeypatch.setattr(Model, "_predict", predict)
    again = model.fill(frame[0].astype(np.float32))
    np.testing.assert_allclose(again.counts, counts, rtol=1e-4)
    np.testing.assert_allclose(again.uncertainty, uncertainty, rtol=1e-3)
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["format"] == export.FORMAT
    assert json.loads(metadata["description"]) == json.loads(json.dumps(dataclasses.asdict(model.description)))


@pytest.mark.slow
def test_the_example_of_the_docs_fills(exported, model, frame, monkeypatch):
    monkeypatch.chdir(exported[0].parent)
    working = model._resized(frame[0], frame[0] >= 0, 0.0)
    scale = np.log1p(model.description.full_scale)
    counts = np.where(working.observed, np.expm1(working.measured * scale), -1)
    np.save("frame.npy", counts)
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL) if "onnxruntime" in block)
    assert len(code.splitlines()) <= 20
    found: dict = {}
    exec(code, found)
    np.testing.assert_array_equal(found["result"][working.observed], counts[working.observed])
    expected = np.expm1(model._predict(working).mean.astype(np.float64) * scale)
    np.testing.assert_allclose(found["result"], expected, rtol=1e-4, atol=1e-3)


def model_of(path: Path, description, data, members) -> Path:
    """Write a model file of such (network, config, implementation)."""
    networks = [build(name, config, 0, implementation)[0] for name, config, implementation in members]
    infos = tuple(model_file.MemberInfo(*member, 0, 0, 0.01) for member in members)
    model_file.write(path, dataclasses.replace(description, members=infos), data.gap, networks)
    return path


DLSIAS = {"depth": 2, "base_channels": 4, "growth_rate": 2.0, "up_kernel": 2, "task": "residual"}
MSDNET = {"num_layers": 4, "max_dilation": 3, "task": "blind"}


@pytest.mark.parametrize("count", [1, 2])
def test_networks_that_are_pymsdtorchs_become_its_checkpoints(tmp_path, capsys, description, data, count):
    members = [("tunet", DLSIAS, "gapsearch"), ("msdnet", MSDNET, "gapsearch")][:count]
    path = model_of(tmp_path / "a.safetensors", description, data, members)
    assert export.main([str(path), "-o", str(tmp_path / "b.pt")]) == 0
    names = ["b.pt"] if count == 1 else ["b-0.pt", "b-1.pt"]
    said = [f"{tmp_path / 'b'}{names[0][1:]}: tunet, task residual", f"{tmp_path / 'b-1.pt'}: msdnet, task blind"]
    assert capsys.readouterr().out.splitlines() == said[:count]
    for name, (network, task) in zip(names, model_file.read(path).members, strict=True):
        again = pymsdtorch.read(tmp_path / name).eval()
        image = torch.rand(1, task.in_channels, 16, 24)
        torch.testing.assert_close(again(image), network(image), rtol=0, atol=1e-6)


@needs_dlsia
def test_networks_of_pymsdtorch_itself_become_its_checkpoints(tmp_path, description, data):
    from dlsia.core.networks import msdnet, tunet

    config = {key: value for key, value in DLSIAS.items() if key != "up_kernel"}
    members = [("tunet", config, "pymsdtorch"), ("msdnet", MSDNET, "pymsdtorch")]
    path = model_of(tmp_path / "a.safetensors", description, data, members)
    assert export.main([str(path), "-o", str(tmp_path / "b.pt")]) == 0
    readers = tunet.TUNetwork_from_file, msdnet.MSDNetwork_from_file
    for number, (reader, (network, task)) in enumerate(zip(readers, model_file.read(path).members, strict=True)):
        image = torch.rand(1, task.in_channels, 16, 24)
        again = reader(tmp_path / f"b-{number}.pt").eval()
        torch.testing.assert_close(again(image), network(image), rtol=0, atol=1e-6)


@needs_dlsia
@pytest.mark.slow
def test_networks_of_pymsdtorch_become_graphs(tmp_path, description, data):
    config = {key: value for key, value in DLSIAS.items() if key != "up_kernel"}
    members = [("tunet", config, "pymsdtorch"), ("msdnet", MSDNET, "pymsdtorch")]
    path = model_of(tmp_path / "a.safetensors", description, data, members)
    assert export.write_onnx(tmp_path / "a.onnx", model_file.read(path)) < 1e-5


def test_what_none_of_pymsdtorchs_equals_is_refused_before_anything_is_written(tmp_path, description, data):
    for other, named in (
        (("pconv", {"depth": 1, "base_channels": 2, "task": "blind"}, "gapsearch"), "PartialConvolutionNetwork"),
        (("tunet", DLSIAS | {"up_kernel": 3}, "gapsearch"), "up_kernel=3"),
    ):
        path = model_of(tmp_path / "a.safetensors", description, data, [("msdnet", MSDNET, "gapsearch"), other])
        with pytest.raises(InputError, match=named):
            export.write_checkpoints(tmp_path / "b.pt", model_file.read(path))
        assert [entry.name for entry in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["{model}", "-o", "a.txt"], "must end with .onnx or .pt, got a.txt"),
        (["{model}", "-o", "."], "it must name a file"),
        (["{model}"], "-o"),
        (["nothing", "-o", "a.onnx"], "got nothing: no such file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(model_path, monkeypatch, tmp_path, capsys, arguments, named):
    monkeypatch.chdir(tmp_path)
    assert export.main([argument.format(model=model_path) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert named in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_graph_that_differs_is_seen_and_not_kept(tmp_path, exported, description, data, monkeypatch):
    config = DLSIAS | {"up_kernel": 3}
    path = model_of(tmp_path / "a.safetensors", description, data, [("tunet", config, "gapsearch")])
    monkeypatch.setattr(export.onnx, "graph", lambda *_: exported[0].read_bytes())  # of other networks
    with pytest.raises(RuntimeError, match="differs from the model by"):
        export.write_onnx(tmp_path / "a.onnx", model_file.read(path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
def test_a_file_that_is_there_is_not_replaced(model_path, tmp_path, capsys, suffix):
    """Neither format bears a mark: nobody can tell whose it is."""
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"mine")
    assert export.main([str(model_path.parent), "-o", str(path)]) == 2
    assert "not replaced" in capsys.readouterr().err
    assert path.read_bytes() == b"mine"
