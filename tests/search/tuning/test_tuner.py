"""The search inside a running Ray: what goes wrong in a trial stays there, and test frames never enter."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import ray

from records.files import read_lines, read_retraining
from records.tables import Ladder, Trial
from scattering.dataset import Dataset, RawFrame
from scattering.detectors import Detector
from scattering.split import split
from search.machines.resources import Places, places, resources
from search.retrain import retrain
from search.settings import UNLIMITED, Budget, Settings, resolve
from search.tuning import watchdog
from search.tuning.tuner import search
from spaces import DEFAULTS
from tests.courses import of_epochs
from tests.processes import descendants
from trainables.batches import Part

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_session")]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield


@pytest.fixture(scope="module")
def frames(
    prepare: Callable[..., Dataset], raw_frames: Callable[..., list[RawFrame]], tiny_detector: Detector
) -> Dataset:
    return prepare(raw_frames(24, (140, 150), tiny_detector))


def settings(name: str, trials: int = 3, epochs: int = 3, network: str = "tunet", points: str = "search") -> Settings:
    given = {"detector": "tiny", "epochs": epochs, "points": points}
    given |= {"trials": trials, "task": "residual"} if points == "search" else {}
    made = resolve(network, name, "quick", given)
    made.folder.mkdir(parents=True)
    (made.folder / "run.json").touch()
    return made


def parts(data: Dataset) -> ray.ObjectRef[tuple[Part, Part]]:
    train, validation, _ = split(data.groups, 0)
    return ray.put((Part(data.select(train)), Part(data.select(validation))))


def ladders(run: Settings, data: Dataset) -> dict[str, Ladder]:
    return of_epochs(run, data.select(split(data.groups, 0)[0]))


def test_truth_of_test_frames_changes_nothing_in_the_search(frames: Dataset) -> None:
    """The search is deterministic for equal data: only then can it be said that nothing else entered."""
    test = split(frames.groups, 0)[2]
    truth = frames.truth.copy()
    truth[test] = np.random.default_rng(0).random(truth[test].shape)
    outcomes = []
    for name, data in (("as it is", frames), ("test spoilt", replace(frames, truth=truth))):
        run = settings(name.replace(" ", "-"), trials=2, epochs=2)
        search(run, parts(data), ladders(run, data), resources())
        outcomes.append(
            {(e.trial, e.epoch): (e.train_loss, e.val_gap_l1) for e in read_lines(run.folder / "progress.jsonl")}
        )
    assert len(outcomes[0]) >= 3
    common = outcomes[0].keys() & outcomes[1].keys()  # ASHA may stop the later one of two at a rung
    assert {key: outcomes[0][key] for key in common} == {key: outcomes[1][key] for key in common}
    assert len(common) >= 3


def test_a_full_disk_ends_the_search_and_blames_no_trial(frames: Dataset) -> None:
    run = settings("full", trials=3, epochs=2)
    # A file where the folder of checkpoints should be: no checkpoint can be written.
    (run.folder / "trials").write_text("in the way")
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        search(run, parts(frames), ladders(run, frames), resources())
    (run.folder / "trials").unlink()
    trials = search(run, parts(frames), ladders(run, frames), resources())
    assert [trial.state for trial in trials if trial.state == "failed"] == []
    assert sorted(trial.trial for trial in trials) == [0, 1, 2]


def test_a_retraining_that_diverges_says_so_and_leaves_no_model(frames: Dataset) -> None:
    truth = frames.truth.copy()
    truth[0] = np.nan
    run = settings("diverge", epochs=2)
    winner = Trial(7, "tunet", "finished", 2, 0.1, 0.9, 0.1, 0.1, 1, 1.0, {**DEFAULTS["tunet"], "base_channels": 4})
    ladders(run, frames)
    broken = parts(replace(frames, truth=truth))
    assert retrain(run, [(winner, 0)], broken, places(1, resources()), UNLIMITED) == [False]
    assert not list(run.folder.glob("models/*"))


# Ray Train reads settings of Ray Data that are on their way out.
@pytest.mark.filterwarnings("ignore:.* is deprecated.*:DeprecationWarning")
def test_a_retraining_comes_to_the_same_when_it_is_killed_and_when_it_is_shared(frames: Dataset) -> None:
    """Shared as by several GPUs: each worker sees a part of each batch, gradients are averaged."""
    winner = Trial(7, "tunet", "finished", 1, 0.1, 0.9, 0.1, 0.1, 1, 1.0, {**DEFAULTS["tunet"], "base_channels": 4})
    reports = {}
    for name, workers in (("whole", 1), ("killed", 1), ("shared", 2)):
        run = settings(name, epochs=1)
        ladders(run, frames)
        if name == "killed":
            killer = Thread(target=kill_task, args=(run.files.retraining.path,), daemon=True)
            killer.start()
        assert retrain(run, [(winner, 0)], parts(frames), Places(1, workers, 1, 0), UNLIMITED) == [True]
        assert not (run.folder / "retrain").exists()
        reports[name] = [replace(report, seconds=0.0) for report in run.files.retraining.read()]
        assert {report.devices for report in reports[name]} == {workers}
    assert not killer.is_alive()
    assert reports["killed"] == reports["whole"]
    errors = {name: [report.val_gap_l1 for report in known] for name, known in reports.items()}
    assert errors["shared"] == pytest.approx(errors["whole"], rel=0.02)


def kill_task(retraining: Path) -> None:
    """Kill the process of a retraining after some reports."""
    while len(read_retraining(retraining)) < 3:
        time.sleep(0.01)
    for process in descendants(os.getpid()):
        with suppress(OSError):
            if Path(f"/proc/{process}/cmdline").read_text().startswith("ray::_do"):
                os.kill(process, signal.SIGKILL)


def test_a_full_disk_ends_the_retraining_as_it_ends_a_search(
    frames: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the command then says in one line, with how to go on."""
    monkeypatch.setattr("search.machines.tasks.RETRIES", 0)
    run = settings("full", epochs=2)
    ladders(run, frames)
    (run.folder / "models").write_text("in the way")
    winner = Trial(7, "tunet", "finished", 2, 0.1, 0.9, 0.1, 0.1, 1, 1.0, {**DEFAULTS["tunet"], "base_channels": 4})
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        retrain(run, [(winner, 0)], parts(frames), places(1, resources()), UNLIMITED)


def test_trials_that_find_no_room_say_so_and_a_search_whose_time_is_over_does_not_wait(
    frames: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tune would wait without a word."""
    monkeypatch.setattr(watchdog, "ROOM", 2.0)
    run = settings("room", trials=1, epochs=1)
    taken = ray.remote(num_cpus=resources().parallel)(lambda: time.sleep(60)).remote()
    began = time.monotonic()
    (trial,) = search(run, parts(frames), ladders(run, frames), resources(), Budget(seconds=8.0))
    assert time.monotonic() - began < 40
    assert (trial.state, trial.epochs) == ("interrupted", 0)
    assert "no machine has had room for a trial (CPU cores: 1, GPUs: 0)" in capsys.readouterr().out
    ray.cancel(taken, force=True)
