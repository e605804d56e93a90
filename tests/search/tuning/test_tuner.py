"""The search inside a running Ray: what goes wrong in a trial stays there, and test frames never enter."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import ray

from records.files import read_lines
from records.networks import TITLES
from records.tables import Ladder, Trial
from scattering.dataset import Dataset, RawFrame
from scattering.detectors import Detector
from scattering.split import split
from search import experiment
from search.machines.resources import places, resources
from search.retrain import retrain
from search.settings import UNLIMITED, Budget, Settings, resolve
from search.tuning import watchdog
from search.tuning.halving import SuccessiveHalving
from search.tuning.tuner import search
from search.winners import choose
from spaces import DEFAULTS
from spaces.paper import POINTS
from trainables.batches import Part, count_windows

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
    """Ladders in epochs of the training frames, with a rung after each second one; kept in the run as well."""
    windows = count_windows(data.select(split(data.groups, 0)[0]))
    epochs, first = run.epochs or 1, 2 * windows if run.proposes else 0
    made = [Ladder(s.name, s.network, windows, epochs * windows, windows, first) for s in run.studies]
    run.files.ladders.write(made)
    return {ladder.study: ladder for ladder in made}


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


def test_a_loss_that_is_not_finite_fails_the_trial_alone(frames: Dataset) -> None:
    truth = frames.truth.copy()
    truth[0] = np.nan
    run = settings("nan")
    trials = search(run, parts(replace(frames, truth=truth)), ladders(run, frames), resources())
    assert {trial.state for trial in trials} == {"failed"}
    assert {trial.error for trial in trials} == {"the loss is not finite in epoch 1"}
    assert choose(run, trials) == []
    assert "not finite" in experiment._nothing(trials)


def test_a_trial_that_crashes_leaves_its_reason_and_the_others_alone(frames: Dataset) -> None:
    """A checkpoint that cannot be read is such a crash; it is not tried again."""
    run = settings("crash", trials=2, epochs=2)
    (run.folder / "trials").mkdir()
    (run.folder / "trials" / "0000.pt").write_bytes(b"not a checkpoint")
    trials = {trial.trial: trial for trial in search(run, parts(frames), ladders(run, frames), resources())}
    assert trials[0].state == "failed"
    assert trials[0].error
    assert (run.folder / "trials" / "0000.log").read_text().count("Traceback") == 1
    assert trials[1].state == "finished"


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


# Ray Train reads settings of Ray Data that are on their way out.
@pytest.mark.filterwarnings("ignore:.* is deprecated.*:DeprecationWarning")
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
def test_a_full_disk_ends_the_retraining_as_it_ends_a_search(
    frames: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the command then says in one line, with how to go on."""
    monkeypatch.setattr("search.retrain.RETRIES", 0)
    run = settings("full", epochs=2)
    ladders(run, frames)
    (run.folder / "models").write_text("in the way")
    winner = Trial(7, "tunet", "finished", 2, 0.1, 0.9, 0.1, 0.1, 1, 1.0, {**DEFAULTS["tunet"], "base_channels": 4})
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        retrain(run, [(winner, 0)], parts(frames), places(1, resources()), UNLIMITED)


def test_a_search_whose_time_is_over_does_not_wait_for_machines(
    frames: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "ROOM", 2.0)
    run = settings("waits", trials=1, epochs=1)
    taken = ray.remote(num_cpus=resources().parallel)(lambda: time.sleep(30)).remote()
    began = time.monotonic()
    (trial,) = search(run, parts(frames), ladders(run, frames), resources(), Budget(seconds=4.0))
    assert time.monotonic() - began < 25
    assert (trial.state, trial.epochs) == ("interrupted", 0)
    ray.cancel(taken, force=True)


def test_time_ends_a_search(frames: Dataset) -> None:
    run = settings("time", trials=50, epochs=500)
    trials = search(run, parts(frames), ladders(run, frames), resources(), Budget(seconds=20.0))
    assert {trial.state for trial in trials} <= {"interrupted", "stopped"}
    assert 2 <= len(trials) < 50


def test_all_networks_are_searched_side_by_side(frames: Dataset) -> None:
    run = settings("all", trials=1, epochs=1, network="all")
    trials = search(run, parts(frames), ladders(run, frames), resources())
    assert {trial.trial: trial.network for trial in trials} == dict(enumerate(TITLES))
    assert {trial.state for trial in trials} == {"finished"}


def test_trials_that_find_no_room_say_so(
    frames: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tune would wait without a word."""
    monkeypatch.setattr(watchdog, "ROOM", 2.0)
    run = settings("room", trials=1, epochs=1)
    # Two places at a time where one is taken for 15 s.
    taken = ray.remote(num_cpus=resources().parallel)(lambda: time.sleep(15)).remote()
    (trial,) = search(run, parts(frames), ladders(run, frames), resources())
    assert trial.state == "finished"
    assert "no machine has had room for a trial (CPU cores: 1, GPUs: 0)" in capsys.readouterr().out
    ray.get(taken)


def test_the_papers_points_are_trained_to_their_end(frames: Dataset) -> None:
    """Without early stopping, however they compare; here for fewer epochs and on tiny frames."""
    run = settings("paper", epochs=2, network="msdnet", points="paper")
    trials = search(run, parts(frames), ladders(run, frames), resources())
    assert {trial.trial: trial.config for trial in trials} == dict(enumerate(p.config for p in POINTS["msdnet"]))
    assert {(trial.state, trial.epochs) for trial in trials} == {("finished", 2)}
    assert sorted(trial.parameters or 0 for trial in trials) == [11_577, 45_652, 45_652, 181_302, 181_302]


def test_a_trial_on_a_warm_worker_costs_less_than_three_seconds(
    frames: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is not training, over 27 epochs: less than 5 % of a trial of a minute. It begins within 2 s.

    Times of the trials' logs; with a single place at a time nothing else runs between two ends.
    """
    monkeypatch.setattr(SuccessiveHalving, "record", lambda *_: False)
    run = settings("warm", trials=3, epochs=27)
    trials = {trial.trial: trial for trial in search(run, parts(frames), ladders(run, frames), resources(parallel=1))}
    times = {}
    for number in trials:
        lines = (run.folder / "trials" / f"{number:04d}.log").read_text().splitlines()
        times[number] = [datetime.strptime(lines[at][:23], "%Y-%m-%d %H:%M:%S,%f") for at in (0, -1)]
    for number in (1, 2):
        ended, began = times[number - 1][1], times[number][0]
        assert (began - ended).total_seconds() < 2
        took = (times[number][1] - ended).total_seconds()
        assert trials[number].epochs == 27
        assert took - trials[number].seconds < 3
