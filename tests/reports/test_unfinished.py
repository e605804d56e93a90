"""The page of a run that has measured nothing on test frames yet, with the files of each stage."""

import dataclasses
import re
import time

import pytest

from records import files
from records import tables as records
from records.folder import RunFolder
from reports import page
from search.following.preview import preview
from tests.reports.test_page import Outline

LATER = ("leaderboard.csv", "evaluation.json", "scores.csv", "gallery.npz")


def epoch(trial, number, l1=6e-3):
    return records.Interim(trial, number, number, 0.02, 0.02, l1, 0.99, 1e-3, 10.0 * number)


def again(number, seed):
    return records.RetrainInterim(**vars(epoch(1, number)), seed=seed, devices=1)


@pytest.fixture
def begun(run):
    """A search that has come to no end of an epoch."""
    for path in run.iterdir():
        if path.name != "run.json":
            path.unlink()
    return run


def searching(run):
    """Trials 0 and 3 have ended, trial 1 goes on since, trial 2 began later."""
    ended = records.Trial(0, "tunet", "stopped", 1, 8e-3, 0.9, 0.1, 0.1, 99, 10.0, {"depth": 2})
    waits = records.Trial(1, "tunet", "interrupted", 0, None, None, None, None, None, 0.0, {"depth": 3})
    finished = records.Trial(3, "tunet", "finished", 3, 9e-3, 0.9, 0.1, 0.1, 99, 30.0, {"depth": 4})
    files.write_table(run / "trials.csv", [finished, ended, waits])
    for line in (epoch(0, 1, 8e-3), epoch(1, 1, 7e-3), epoch(1, 2, 4.25e-3), epoch(2, 1, 9e-3)):
        files.append_line(run / "progress.jsonl", line)


def text_of(run):
    """The page without its scripts and styles, one line."""
    body = page.write(run).read_text(encoding="utf-8").partition("<body>")[2]
    return " ".join(re.sub(r"<script.*?</script>|<[^>]+>", " ", body, flags=re.DOTALL).split())


def cells(run, trial):
    """The cells of a trial in the table, as text."""
    html = page.html(page.read(run))
    row = re.search(rf'<tr><th scope="row">{trial}</th>(.*?)</tr>', html)
    assert row
    return re.findall(r"<td>(.*?)</td>", row[1])


def test_before_the_first_epoch_there_is_no_figure_and_no_number(begun):
    text = text_of(begun)
    assert "not finished" in text
    assert "no trial has reported yet" in text
    assert "Best so far" not in text
    assert not any(name.startswith("learning-curves") for name in Outline(page.html(page.read(begun))).ids)


def test_a_search_shows_what_it_has(begun):
    searching(begun)
    text = text_of(begun)
    assert "Not finished: 2 trials have ended, 2 not yet." in text
    assert "Best so far 4.25 Validation gap L1 (10 −3 ) of trial 1, tunet, epoch 2." in text
    assert "1 finished, 1 stopped early, 2 not over yet" in text.lower()
    # Nobody has won yet.
    assert "class='winner'" not in page.html(page.read(begun))
    outline = Outline(page.html(page.read(begun)))
    assert "learning-curves-0" in outline.ids
    assert not {"comparison", "gallery", "retraining"} & set(outline.ids)
    found = cells(begun, 1)
    assert (found[:3], found[-2:]) == (["–", "4.25", "0.9900"], ["2", "20.0 s"])


def test_a_trial_of_a_network_not_known_yet_is_named_without_it(begun):
    files.append_line(begun / "progress.jsonl", epoch(0, 1))
    assert "of trial 0, epoch 1." in text_of(begun)


def test_what_was_not_run_is_a_dash_and_no_zero(begun):
    searching(begun)
    (begun / "progress.jsonl").unlink()
    assert cells(begun, 1) == ["–", "–", "–", "–", "–", "–", "3", "–", "–"]


def test_after_the_search_the_winner_is_named(begun):
    searching(begun)
    trials = [dataclasses.replace(t, state="finished") for t in RunFolder(begun).trials_so_far()]
    files.write_table(begun / "trials.csv", trials)
    files.write_table(begun / "winners.csv", [t for t in trials if t.trial == 1])
    assert "its winner is trained again: tunet (trial 1, not begun)" in text_of(begun)
    for number in (1, 2):
        files.append_line(begun / "retraining.jsonl", again(number, seed=0))
    assert "tunet (trial 1, 2 epochs done)" in text_of(begun)
    assert "retraining" in Outline(page.html(page.read(begun))).ids
    files.append_line(begun / "retraining.jsonl", again(1, seed=1))
    assert "tunet (trial 1, training 2, 1 epoch done)" in text_of(begun)
    files.write_table(begun / "winners.csv", [dataclasses.replace(trials[0], trial=k) for k in range(5)])
    assert "its 5 winners are trained again, 1 of them so far" in text_of(begun)


def test_a_line_that_is_being_written_is_not_read_yet(begun):
    searching(begun)
    before = text_of(begun)
    with (begun / "progress.jsonl").open("a") as file:
        file.write('{"trial": 2, "ep')
    assert re.sub(r"As it stood on \S+ at \S+ UTC", "", text_of(begun)) == re.sub(
        r"As it stood on \S+ at \S+ UTC", "", before
    )


def test_it_says_when_it_stood_so(begun):
    searching(begun)
    assert re.search(r"As it stood on \d{4}-\d\d-\d\d at \d\d:\d\d UTC", text_of(begun))


def test_a_finished_run_is_not_called_unfinished(run):
    text = text_of(run)
    assert "not finished" not in text.lower()
    assert "As it stood" not in text


def test_a_hostile_state_stays_text(begun):
    searching(begun)
    hostile = "<img src=x onerror=alert(1)>"
    trials = [dataclasses.replace(t, network=hostile, state=hostile) for t in RunFolder(begun).trials_so_far()]
    files.write_table(begun / "trials.csv", trials)
    assert not Outline(page.html(page.read(begun))).handlers
    files.write_table(begun / "winners.csv", trials[:1])
    assert not Outline(page.html(page.read(begun))).handlers


@pytest.fixture
def hasty(monkeypatch):
    """Pages may take all the time there is."""
    monkeypatch.setattr("search.following.preview.SHARE", 1.0)


def wait_for(path, seconds=20.0):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"no {path} after {seconds} s"
        time.sleep(0.02)


def test_a_running_search_writes_its_page_anew(begun, hasty):
    written = begun / "report" / "index.html"
    with preview(begun, pause=0.05):
        wait_for(written)
        assert "no trial has reported" in written.read_text()
        searching(begun)
        written.unlink()
        wait_for(written)
    assert "2 trials have ended" in written.read_text()


def test_a_page_that_fails_is_said_once_and_ends_nothing(begun, hasty, capsys):
    (begun / "trials.csv").write_text("trial,nonsense\n1,2\n")
    with preview(begun, pause=0.01):
        for number in range(5):
            time.sleep(0.1)
            (begun / "winners.csv").write_text("trial\n" * number)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "cannot be kept up to date" in out
    with pytest.raises(ZeroDivisionError), preview(begun, pause=0.01):
        raise ZeroDivisionError
