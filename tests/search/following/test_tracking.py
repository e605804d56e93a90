"""A search that is tracked, and one whose trial crashes, inside a running Ray: what they write and print."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from records.files import read_lines
from records.tables import Trial
from scattering.dataset import Dataset, RawFrame
from scattering.detectors import Detector
from scattering.split import split
from search import run
from search.following.display import choose
from search.settings import Settings, resolve
from tests.courses import of_epochs
from tests.search.conftest import ONE_CORE
from trainables.batches import Part

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    choose()


@pytest.fixture(scope="module")
def frames(
    prepare: Callable[..., Dataset], raw_frames: Callable[..., list[RawFrame]], tiny_detector: Detector
) -> Dataset:
    return prepare(raw_frames(24, (140, 150), tiny_detector))


def searched(name: str, frames: Dataset, **changes: Any) -> tuple[Settings, list[Trial]]:
    """A search of three trials, the first of which crashes: its checkpoint cannot be read."""
    import ray

    from search.tuning.tuner import search

    given = {"detector": "tiny", "trials": 3, "epochs": 2, "task": "residual"}
    settings = replace(resolve("tunet", name, "quick", given), **changes)
    (settings.folder / "trials").mkdir(parents=True)
    (settings.folder / "trials" / "0000.pt").write_bytes(b"not a checkpoint")
    (settings.folder / "run.json").touch()
    train, validation, _ = (frames.select(part) for part in split(frames.groups, 0))
    shared = ray.put((Part(train), Part(validation)))
    return settings, search(settings, shared, of_epochs(settings, train), ONE_CORE)


def scalars(folder: Path, tag: str) -> dict[int, float]:
    """Read the values of a tag by step from event files: length, its checksum, event, its checksum."""
    from tensorboardX.proto.event_pb2 import Event

    events = []
    for path in folder.glob("events.*"):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            events.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return {event.step: value.simple_value for event in events for value in event.summary.value if value.tag == tag}


def test_a_search_with_a_crash_is_tracked_and_told(
    ray_session: None, frames: Dataset, capfd: pytest.CaptureFixture[str]
) -> None:
    choose(as_json=True)
    settings, trials = searched("tracked", frames, track="tensorboard")
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    ends = {event["trial"]: event for event in events if event["event"] == "ended"}
    assert {number: end["state"] for number, end in ends.items()} == {trial.trial: trial.state for trial in trials}
    assert (ends[0]["state"], ends[0]["epochs"], bool(ends[0]["error"])) == ("failed", 0, True)
    assert (settings.folder / "trials" / "0000.log").read_text().count("Traceback") == 1
    # TensorBoard has every report, and what Tune wrote is gone.
    reports = read_lines(settings.folder / "progress.jsonl")
    assert reports
    for trial in trials:
        for tag in ("val_gap_l1", "train_loss"):
            known = {report.windows: getattr(report, tag) for report in reports if report.trial == trial.trial}
            assert scalars(settings.folder / "tensorboard" / f"{trial.trial:04d}", tag) == pytest.approx(known)
    assert not (settings.folder / "tune").exists()


def test_mlflow_that_is_not_there_is_said_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.session.find_spec", lambda name: None)
    assert run.main(["tunet", "--track", "mlflow"]) == 2
    assert (
        capsys.readouterr().err == "error: --track mlflow needs MLflow, which is not installed: pip install mlflow\n"
    )
    assert not Path("runs").exists()
