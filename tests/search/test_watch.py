"""Following a run by its files: every stage, what the live display shows, a run that nobody writes to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from records.files import append_line, write_json, write_table
from records.folder import RunFolder
from records.tables import Interim, MethodScore, RetrainInterim, RunInfo, Trial
from search import watch
from search.following.display import SearchDisplay
from search.settings import resolve
from search.tuning.ledger import Ledger
from search.tuning.studies import open_studies
from tests.courses import ladders
from tests.search.conftest import COST, ONE_CORE
from trainables.messages import Reported

NOW = 2e9


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def begin(network: str = "tunet", **given: Any) -> Path:
    """A run that has only begun."""
    settings = resolve(network, "mine", "quick", {"trials": 3, "epochs": 3, **given})
    info = RunInfo("mine", "", network, "quick", 0, "2026-05-04T12:30:00+00:00", settings.as_dict(), {}, {}, {})
    write_json(settings.folder / "run.json", info)
    settings.files.ladders.write(list(ladders(settings).values()))
    return settings.folder


def epoch(trial: int, number: int, l1: float = 5e-3) -> Interim:
    return Interim(trial, number, number, 0.02, 0.02, l1, 0.99, 1e-3, 10.0 * number)


def trial(number: int, state: str, epochs: int = 3, l1: float | None = 5e-3) -> Trial:
    return Trial(number, "tunet", state, epochs, l1, 0.99, 0.02, 0.02, 99, 10.0 * epochs, {"depth": 2})


def once(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `--once` prints, on one line."""
    assert watch.main(["mine", "--once", *arguments]) == 0
    return " ".join(capsys.readouterr().out.split())


def finish(folder: Path) -> None:
    score = MethodScore("TUNet", "network", 3e-3, 0.99, 3e-3, 0.99, None, None, 1.0, 1.0, 99, 1.0, 1.0)
    write_table(folder / "leaderboard.csv", [score])


def test_each_stage_is_told_from_the_files_alone(capsys: pytest.CaptureFixture[str]) -> None:
    folder = begin()
    assert "mine: searching tunet · 0 of 3 ended" in once(capsys)
    # The log of a trial is there before its first epoch.
    (folder / "trials").mkdir()
    (folder / "trials" / "0000.log").touch()
    assert "1 running · 0 of 3 ended" in once(capsys)
    append_line(folder / "progress.jsonl", epoch(0, 1))
    append_line(folder / "progress.jsonl", epoch(1, 1, 4e-3))
    assert "2 running · 0 of 3 ended · best gap L1 4.00e-3 (trial 1)" in once(capsys)
    # As it is written when trial 1 ends; trial 0 goes on since.
    write_table(folder / "trials.csv", [trial(1, "stopped", 1, 4e-3), trial(0, "interrupted", 1)])
    append_line(folder / "progress.jsonl", epoch(0, 2, 3e-3))
    text = once(capsys)
    assert "1 running · 1 of 3 ended · 1 stopped early · best gap L1 3.00e-3 (trial 0)" in text
    assert "0 tunet 2/3 3.00 20 s running" in text
    # The search is over: what is interrupted now stays so.
    trials = [trial(0, "finished"), trial(2, "interrupted", 1), trial(1, "stopped", 1)]
    write_table(folder / "trials.csv", trials)
    write_table(folder / "winners.csv", trials[:1])
    assert [known.state for known in RunFolder(folder).trials_so_far()] == ["finished", "interrupted", "stopped"]
    assert "mine: retraining · 1 running · 0 of 1 ended" in once(capsys)
    append_line(folder / "retraining.jsonl", RetrainInterim(**asdict(epoch(0, 12, 2.5e-3)), seed=0, devices=1))
    assert "12/40 2.50" in once(capsys)
    RunFolder(folder).model(trials[0], 0).parent.mkdir()
    RunFolder(folder).model(trials[0], 0).touch()
    assert "mine: measuring on test frames · 1 of 1 ended" in once(capsys)
    finish(folder)
    assert once(capsys).endswith("leaderboard: runs/mine/report/index.html")


def test_it_shows_what_the_live_display_shows() -> None:
    """A search written down by its ledger, and the view of its display, after each event."""
    folder = begin("all", trials=2, minutes=None)
    settings = resolve("all", "mine", "quick", {"trials": 2, "epochs": 3, "minutes": None})
    ledger = Ledger(settings, ladders(settings), open_studies(settings, ladders(settings)), ONE_CORE)
    report = {"train_loss": 0.1, "val_loss": 0.1, "val_gap_cc": 0.9, "learning_rate": 1e-3}
    with SearchDisplay("mine", ledger.planned(), 1, [], None) as shown:
        ledger.display = shown
        for _ in range(8):
            proposal = ledger.propose()
            assert proposal is not None
            shown.started(proposal, ledger.network(proposal.trial))
            for number in range(1, 4):
                values = {"val_gap_l1": 1e-3 * (9 - proposal.trial) / number, "seconds": 5.0 * number}
                stops = ledger.record(
                    Reported(proposal.trial, COST, {"windows": number, "epoch": number, **report, **values})
                )
                if proposal.trial == 3 and number == 2:
                    break  # it goes on to the end of the search
                seen, live = watch.read(folder, NOW), shown.view
                assert seen.running == live.running
                assert seen.ended == live.ended
                assert (seen.total, seen.best) == (live.total, live.best)
                if stops:
                    break
            else:
                stops = True
            if stops:
                ledger.conclude(proposal.trial)
    assert len(watch.read(folder, NOW).ended) == 7
    assert set(watch.read(folder, NOW).running) == {3}


def test_a_line_that_is_being_written_is_not_read_yet() -> None:
    folder = begin()
    append_line(folder / "progress.jsonl", epoch(0, 1))
    with (folder / "progress.jsonl").open("a") as file:
        file.write('{"trial": 0, "epo')
    assert watch.read(folder, NOW).running[0].epoch == 1


@pytest.mark.parametrize("network", ["all", "tunet"])
def test_the_papers_points_have_no_known_number(network: str) -> None:
    folder = begin(network, points="paper", trials=None, epochs=None)
    append_line(folder / "progress.jsonl", epoch(5, 1))
    view = watch.read(folder, NOW)
    assert view.total is None
    assert view.running[5].epochs is None


def test_a_run_that_nobody_writes_to_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    folder = begin()
    append_line(folder / "progress.jsonl", epoch(0, 1))
    assert "quiet" not in once(capsys)
    last = time.time() - 3 * 3600
    for path in folder.iterdir():
        os.utime(path, (last, last))
    text = once(capsys)
    assert time.strftime("quiet since %Y-%m-%d %H:%M (3 h 00 min)", time.localtime(last)) in text
    assert "search.run tunet --name mine --resume" in text
    assert "left" not in text
    # Epochs that take an hour: three hours without a line are nothing unusual.
    append_line(folder / "progress.jsonl", Interim(0, 2, 2, 0.1, 0.1, 0.1, 0.9, 0.1, 7600.0))
    os.utime(folder / "progress.jsonl", (last, last))
    assert "quiet" not in once(capsys)


def test_no_such_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert watch.main(["yours"]) == 2
    assert (
        capsys.readouterr().err == "error: a run is a name under runs/ or a run folder, got 'yours'; runs: none yet\n"
    )
    begin()
    assert watch.main(["yours"]) == 2
    assert capsys.readouterr().err.endswith("runs: mine\n")


def test_a_damaged_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    folder = begin()
    (folder / "trials.csv").write_text("trial,nonsense\n1,2\n")
    assert watch.main(["mine", "--once"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_run_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    folder = begin()
    for name in ("mine", "runs/mine", str(tmp_path / "runs" / "mine")):
        assert watch.find(name).samefile(folder)


def test_it_needs_neither_torch_nor_ray_nor_optuna() -> None:
    folder = begin()
    append_line(folder / "progress.jsonl", epoch(0, 1))
    code = """
import sys, search.watch
assert search.watch.main(["mine", "--once"]) == 0
assert not {"torch", "ray", "optuna", "plotly", "pandas"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def start() -> subprocess.Popen[str]:
    """Follow the run from another process, as a log."""
    return subprocess.Popen(
        [sys.executable, "-m", "search.watch", "mine"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_it_ends_with_the_leaderboard() -> None:
    folder = begin()
    append_line(folder / "progress.jsonl", epoch(0, 1))
    with start() as process:
        time.sleep(2)
        append_line(folder / "progress.jsonl", epoch(0, 2))
        write_table(folder / "trials.csv", [trial(0, "stopped", 2)])
        time.sleep(2.5)
        finish(folder)
        out, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (0, "")
    assert out.splitlines()[0] == "  tunet trial 0 stopped early after 2 of 3 epochs, gap L1 5.00e-3 [1/3]"
    assert out.endswith("leaderboard: runs/mine/report/index.html\n")


@pytest.mark.slow
def test_ctrl_c_leaves() -> None:
    begin()
    with start() as process:
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=30)
    # Not 0: what waits for the end of the run must not take this for it.
    assert (process.returncode, out, error) == (130, "", "\nstopped\n")
