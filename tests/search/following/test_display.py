"""What a run shows: the picture of a view, lines of a log, JSON for scripts, nothing at all."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from records.files import append_line
from records.tables import Interim, RetrainInterim, Trial
from search import run
from search.following import display
from search.following.display import RetrainDisplay, SearchDisplay
from search.following.view import RUNNING_ROWS, Training, View, picture
from search.tuning.sampler import Proposal


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    yield
    display.choose()


def epoch(trial: int, number: int, l1: float = 5e-3, seconds: float = 60.0) -> Interim:
    return Interim(trial, number, number, 0.02, 0.02, l1, 0.99, 1e-3, seconds * number)


def drawn(view: View, width: int, now: float = 0.0) -> str:
    """The text of a picture, none of it wider than it may be."""
    console = Console(file=io.StringIO(), width=width, force_jupyter=False, record=True)
    console.print(picture(view, now, width))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    return text


def searching() -> View:
    """Five trials of eight: two run, one each finished, was stopped and failed."""
    view = View("mine: searching tunet, autoencoder", 8, deadline=600.0)
    ends = (("finished", ""), ("stopped", ""), ("failed", "RuntimeError: CUDA out of memory, and a " + "long " * 80))
    for trial, (state, error) in enumerate(ends):
        view = view.with_running(Training(trial, "autoencoder", 27).after(epoch(trial, 9, (5 + trial) * 1e-3)))
        view = view.with_ended(replace(view.running[trial], state=state, error=error))
    view = view.with_running(Training(3, "tunet", 27).after(epoch(3, 4, 4.56e-3, 600.0)))
    return view.with_running(Training(4, "tunet", 27))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_picture_has_trials_counts_and_the_best_at_any_width(width: int) -> None:
    text = drawn(searching(), width)
    flat = " ".join(text.split())
    assert "2 running · 3 of 8 ended · 1 finished · 1 stopped early · 1 failed" in flat
    assert "best gap L1 4.56e-3 (trial 3)" in flat
    rows = {line.split()[0]: line for line in text.splitlines() if line.split()[:1] and line.split()[0].isdigit()}
    assert set(rows) == {"0", "1", "2", "3", "4"}
    assert all("4/27" in rows["3"] and part in rows["3"] for part in ("4.56", "running"))
    assert "0/27" in rows["4"]
    assert "stopped early" in rows["1"]


def test_a_wide_picture_says_why_trials_ended_and_what_they_took() -> None:
    text = " ".join(drawn(searching(), 120).split())
    assert "stopped early: not in the best third" in text
    assert "failed: RuntimeError: CUDA out of memory" in text
    assert "autoencoder" in text
    assert "40.0 min" in text


def test_what_was_not_measured_is_blank() -> None:
    view = View("mine: searching tunet", None).with_running(Training(4, "tunet", None))
    row = drawn(view, 80).splitlines()[-1]
    assert row.split() == ["4", "tunet", "0", "running"]
    assert "left" not in drawn(view, 80)
    assert "best" not in drawn(view, 80)


def test_a_state_from_elsewhere_is_shown_as_it_is_called() -> None:
    row = Training(5, "msdnet", 27, "infeasible", error="needs 30 GB, the GPU has 24 GB")
    text = drawn(searching().with_ended(row), 100)
    assert "1 infeasible" in " ".join(text.split())
    assert "infeasible: needs 30 GB, the GPU has 24 GB" in text


def test_many_trials_are_counted_where_they_do_not_fit() -> None:
    view = View("mine: searching tunet", 100)
    for trial in range(RUNNING_ROWS + 7):
        view = view.with_running(Training(trial, "tunet", 27))
    assert "and 7 more running" in drawn(view, 80)


def test_the_best_is_of_trials_that_have_a_number() -> None:
    view = View("", None)
    assert view.best is None
    for trial, (state, l1) in enumerate(
        (("failed", 1e-3), ("finished", math.nan), ("stopped", 3e-3), ("running", 2e-3))
    ):
        row = Training(trial, "tunet", 9, state, gap_l1=l1)
        view = view.with_running(row) if state == "running" else view.with_ended(row)
    assert view.best == (2e-3, 3)


@pytest.mark.parametrize(("running", "spent"), [(1, 0.0), (2, 0.0), (2, 5.0), (4, 10.0)])
def test_the_time_left_is_that_of_the_trials_to_come_side_by_side(running: int, spent: float) -> None:
    """Trials that all last 10 s, of which `running` have had `spent` each: work left / workers."""
    view = View("", 20)
    for trial in range(4):
        view = view.with_ended(Training(trial, "tunet", 2, "finished", seconds=10.0))
    for trial in range(4, 4 + running):
        view = view.with_running(Training(trial, "tunet", 2, seconds=spent))
    expected = (10.0 * 16 - running * spent) / running
    assert view.seconds_left(now=1000.0) == pytest.approx(expected)
    assert replace(view, deadline=1000.0 + expected / 2).seconds_left(1000.0) == pytest.approx(expected / 2)
    assert replace(view, deadline=999.0).seconds_left(1000.0) == 0
    assert replace(view, total=None).seconds_left(1000.0) is None
    assert replace(view, quiet="quiet since noon").seconds_left(1000.0) is None


def test_a_trial_that_outlives_the_usual_is_taken_to_go_to_its_end() -> None:
    view = View("", 3).with_ended(Training(0, "tunet", 30, "stopped", epoch=1, seconds=2.0))
    view = view.with_running(Training(1, "tunet", 30).after(epoch(1, 10, seconds=2.0)))
    assert view.seconds_left(0.0) == pytest.approx(42.0)
    # The other one ends meanwhile.
    assert view.with_running(Training(2, "tunet", 30)).seconds_left(0.0) == pytest.approx(40.0)


def follow(planned: dict[str, int] | None = None, earlier: list[Trial] | None = None) -> SearchDisplay:
    """A search of three trials: one finishes, one is stopped, one fails before its first epoch."""
    with SearchDisplay("mine", planned or {"tunet": 3}, 1, earlier or [], 60.0) as shown:
        for trial in (0, 1):
            shown.started(Proposal(trial, {"depth": 2}, 3), "tunet")
        shown.interim(epoch(0, 1))
        shown.interim(epoch(1, 1, math.nan))
        shown.ended(1, "stopped", "")
        shown.started(Proposal(2, {"depth": 3}, 3), "tunet")
        shown.ended(2, "failed", "ValueError: [no] luck")
        for number in (2, 3):
            shown.interim(epoch(0, number, 4e-3))
        shown.ended(0, "finished", "")
    return shown


def test_a_log_has_one_line_for_each_trial_that_ends(capsys: pytest.CaptureFixture[str]) -> None:
    follow()
    assert capsys.readouterr().out.splitlines() == [
        "  tunet trial 1 stopped early after 1 of 3 epochs [1/3]",
        "  tunet trial 2 failed after 0 of 3 epochs (ValueError: [no] luck) [2/3]",
        "  tunet trial 0 finished after 3 of 3 epochs, gap L1 4.00e-3 [3/3]",
    ]


def test_trials_of_earlier_sessions_count() -> None:
    earlier = [Trial(trial, "tunet", "finished", 3, 3e-3, 0.9, 0.1, 0.1, 9, 9.0) for trial in (7, 8)]
    view = follow({"tunet": 5}, earlier).view
    assert len(view.ended) == 5
    assert view.best == (3e-3, 7)


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was printed, every line of it one JSON object without NaN."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return [json.loads(line, parse_constant=refuse) for line in capsys.readouterr().out.splitlines()]


def test_json_has_an_event_for_all_that_happens_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    display.choose(as_json=True)
    display.say("a [bracket]")
    with display.status("measuring"):
        follow()
    told = events(capsys)
    assert [(event["event"], event.get("trial")) for event in told] == [
        ("message", None), ("message", None), ("searching", None), ("started", 0), ("started", 1), ("interim", 0),
        ("interim", 1), ("ended", 1), ("started", 2), ("ended", 2), ("interim", 0), ("interim", 0), ("ended", 0),
    ]  # fmt: skip
    assert all(event["time"] > 1e9 for event in told)
    assert (told[0]["text"], told[1]["text"]) == ("a [bracket]", "measuring")
    assert told[2]["networks"] == {"tunet": 3}
    assert told[6]["val_gap_l1"] is None
    assert told[-1] | {"time": 0} == {
        "event": "ended", "time": 0, "trial": 0, "network": "tunet", "state": "finished", "epochs": 3,
        "val_gap_l1": 4e-3, "error": "",
    }  # fmt: skip


def test_every_event_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    display.choose(as_json=True)
    follow()
    for event in events(capsys):
        assert f"\n    {event['event']} " in (display.__doc__ or "")


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    display.choose(quiet=True)
    display.say("hello")
    with display.status("measuring"):
        follow()
    assert capsys.readouterr() == ("", "")


def test_an_error_is_said_to_people_and_to_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["tunnet", "--json"]) == 2
    out, error = capsys.readouterr()
    assert error.startswith("error: the network must be")
    assert json.loads(out)["event"] == "stopped"
    assert json.loads(out)["code"] == 2
    # In a notebook one process runs many commands.
    assert run.main(["--warp"]) == 2
    assert capsys.readouterr().out == ""
    assert run.main(["tunet", "--json", "--quiet"]) == 2
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("as_json", [True, False])
def test_a_reader_that_leaves_does_not_end_the_run(as_json: bool) -> None:
    """As in `... | head`."""
    code = f"""
from search.following import display
display.choose(as_json={as_json})
for number in range(20000):
    display.say("x" * 100)
import sys
sys.stderr.write("to the end")
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == "to the end"
    assert process.returncode == 0


def test_a_retraining_is_read_from_its_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    display.choose(as_json=True)
    records = tmp_path / "retraining.jsonl"
    winner = Trial(3, "tunet", "finished", 3, 5e-3, 0.9, 0.1, 0.1, 9, 9.0)

    def retrained(trial: int, number: int, seed: int) -> RetrainInterim:
        return RetrainInterim(**asdict(epoch(trial, number)), seed=seed, devices=1)

    append_line(records, retrained(3, 1, seed=7))
    append_line(records, retrained(3, 1, seed=8))
    append_line(records, retrained(3, 2, seed=8))
    append_line(records, retrained(4, 1, seed=7))
    with RetrainDisplay("mine", records, [(winner, 7)], {3: 40}, 90.0) as shown:
        assert shown.view.running[0].epoch == 1
        append_line(records, retrained(3, 2, seed=7))
    assert shown.view.ended[0].epoch == 2
    # What an earlier session did is not told again.
    assert [(e["event"], e["trial"], e.get("epoch")) for e in events(capsys)] == [
        ("retraining", 3, None),
        ("retrained", 3, 2),
    ]
