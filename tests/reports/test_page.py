import dataclasses
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from records import files
from records import tables as records
from reports import page
from reports.__main__ import main
from scattering.errors import InputError

HOSTILE = "</script></title><img src=x onerror=alert(1)>\"'&"


class Outline(HTMLParser):
    """What the page loads, links and is made of."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.addresses += [value for name, value in attrs if name in {"src", "href", "srcset", "data", "action"}]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def rewrite(path, kind, **changes):
    """Change columns of all rows of a table."""
    files.write_table(path, [dataclasses.replace(row, **changes) for row in files.read_table(path, kind)])


def test_the_same_run_gives_the_same_bytes(run):
    first = page.write(run).read_bytes()
    assert page.write(run).read_bytes() == first
    assert not [path for path in (run / "report").iterdir() if path.name != "index.html"]


def test_every_figure_has_a_still_picture_and_no_button_waits_for_a_script(run):
    text = page.write(run).read_text(encoding="utf-8")
    assert text.count('class="plotly-graph-div"') == text.count('class="still"') > 10
    assert "<button" not in text.partition("<body>")[2]


def test_no_line_is_fainter_than_its_colour(run):
    """Their colours stand out on light and dark pages (test_drawing): seen through, they would not."""
    assert not re.search(r'"opacity":\s*0?\.\d', page.html(page.read(run)).partition("<body>")[2])


def test_the_page_loads_nothing_from_a_network(run):
    text = page.write(run).read_text(encoding="utf-8")
    outline = Outline(text)
    assert outline.addresses
    assert all(address.startswith(("data:", "#")) for address in outline.addresses)
    style = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert all(url.startswith("data:") for url in re.findall(r"url\((.*?)\)", style))
    assert "@import" not in style
    assert "default-src 'none'" in text


def test_names_from_the_run_folder_stay_text(run):
    info = files.read_json(run / "run.json", records.RunInfo)
    changed = {"name": HOSTILE, "command": HOSTILE, "settings": {HOSTILE: HOSTILE}, "data": {"title": HOSTILE}}
    plain = Outline(page.html(page.read(run)))
    files.write_json(
        run / "run.json", dataclasses.replace(info, **changed, network=HOSTILE, versions={HOSTILE: HOSTILE})
    )
    rewrite(run / "leaderboard.csv", records.MethodScore, method=HOSTILE)
    rewrite(
        run / "trials.csv", records.Trial, state=HOSTILE, error=HOSTILE, network=HOSTILE, config={HOSTILE: HOSTILE}
    )
    rewrite(run / "scores.csv", records.FrameScore, method=HOSTILE, category=HOSTILE, frame=HOSTILE, group=HOSTILE)
    rewrite(run / "ensemble.csv", records.Member, network=HOSTILE)
    test = files.read_json(run / "evaluation.json", records.Evaluation)
    files.write_json(run / "evaluation.json", dataclasses.replace(test, notes=[HOSTILE]))
    pictures = files.read_arrays(run / "gallery.npz", records.Gallery)
    frames, methods = len(pictures.names), len(pictures.methods)
    names = {name: [HOSTILE] * frames for name in ("names", "categories", "reasons")}
    files.write_arrays(run / "gallery.npz", dataclasses.replace(pictures, **names, methods=[HOSTILE] * methods))
    for text, runs in ((page.html(page.read(run)), 1), (page.html(page.read(run), page.read(run)), 2)):
        outline = Outline(text)
        assert not outline.handlers
        assert all(address.startswith(("data:", "#")) for address in outline.addresses)
        assert outline.tags.count("img") == runs * plain.tags.count("img")
        drawn = outline.ids.count("learning-curves-0") + outline.ids.count("run-1-learning-curves-0")
        assert drawn == 1
        assert outline.tags.count("script") - plain.tags.count("script") <= (runs - 1) * plain.tags.count("script")


def test_ids_are_unique_and_sections_come_in_order(run):
    outline = Outline(page.write(run).read_text(encoding="utf-8"))
    assert len(outline.ids) == len(set(outline.ids))
    sections = ["summary", "comparison", "tests", "frames", "gallery", "trials", "measured", "provenance"]
    assert [name for name in outline.ids if name in sections] == sections


def test_simulated_frames_are_named_in_the_title_and_only_then(run):
    assert "<title>demo (simulated frames)" in page.html(page.read(run))
    info = files.read_json(run / "run.json", records.RunInfo)
    files.write_json(run / "run.json", dataclasses.replace(info, data={"title": "beamline frames"}))
    assert "simulated frames</span>" not in page.html(page.read(run))


def test_a_search_under_way_shows_what_there_is(run):
    for path in run.iterdir():
        if path.name not in {"run.json", "progress.jsonl"}:
            path.unlink()
    outline = Outline(page.write(run).read_text(encoding="utf-8"))
    assert "learning-curves-0" in outline.ids
    assert not {"comparison", "gallery"} & set(outline.ids)


def test_a_run_that_has_just_begun_has_a_page(run):
    for path in run.iterdir():
        if path.name != "run.json":
            path.unlink()
    text = page.write(run).read_text(encoding="utf-8")
    assert "no trial has reported yet" in text
    assert "Trials</h2>" not in text


def test_every_line_of_the_contents_leads_somewhere(run, make_run, tmp_path):
    for runs in ([run], [run, make_run(tmp_path / "other")]):
        outline = Outline(page.html(*map(page.read, runs)))
        anchors = [address[1:] for address in outline.addresses if address.startswith("#")]
        assert len(anchors) > 8
        assert set(anchors) <= set(outline.ids)
        assert len(outline.ids) == len(set(outline.ids))


def test_headings_skip_no_level(run, make_run, tmp_path):
    for runs in ([run], [run, make_run(tmp_path / "other")]):
        outline = Outline(page.html(*map(page.read, runs)))
        levels = [int(tag[1]) for tag in outline.tags if tag in {"h1", "h2", "h3", "h4", "h5"}]
        assert levels[0] == 1
        assert all(below - above <= 1 for above, below in pairwise(levels))


def test_the_page_of_several_runs_is_the_same_twice_and_lies_beside_the_first(run, make_run, tmp_path, capsys):
    other = make_run(tmp_path / "other", name="other")
    assert main([str(run), str(other)]) == 0
    written = tmp_path / "report.html"
    assert capsys.readouterr().out.strip() == str(written)
    first = written.read_bytes()
    assert main([str(run), str(other), "-o", str(tmp_path / "deep" / "page.html")]) == 0
    assert (tmp_path / "deep" / "page.html").read_bytes() == first
    assert not (run / "report").exists()


def test_all_runs_of_a_folder_are_compared_twice_also_with_one_under_way(make_run, tmp_path, capsys):
    for name in ("a", "b", "live"):
        make_run(tmp_path / name, name=name)
    for path in (tmp_path / "live").iterdir():
        if path.name not in {"run.json", "progress.jsonl", "trials.csv"}:
            path.unlink()
    for _ in range(2):
        assert main([str(path) for path in sorted(tmp_path.iterdir())]) == 0
        assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "3 runs compared" in text and "Not finished: live." in text


def test_the_pictures_of_several_runs_do_not_mix(run, make_run, tmp_path):
    runs = page.read(run), page.read(make_run(tmp_path / "other"))
    first, _, second = page.html(*runs).partition('<article id="run-2"')
    # Each run has its own inputs below its own pictures.
    assert first.count("--frame-A: url(") == second.count("--frame-A: url(") == 1


def test_the_title_says_which_frames_are_simulated(run, make_run, tmp_path):
    other = page.read(make_run(tmp_path / "other"))
    measured = dataclasses.replace(other, info=dataclasses.replace(other.info, data={"title": "beamline frames"}))
    assert "<title>2 runs compared (simulated frames)" in page.html(page.read(run), other)
    assert "<title>2 runs compared (simulated and measured frames)" in page.html(page.read(run), measured)
    assert "<title>2 runs compared · " in page.html(measured, measured)


def test_the_command_prints_the_path(run, capsys):
    assert main([str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report" / "index.html")


def test_a_page_that_cannot_be_written_gives_one_line_and_code_2(run, tmp_path, capsys):
    assert main([str(run), "-o", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path) in error
    assert error.count("\n") == 1


def test_a_folder_that_is_no_run_gives_one_line_and_code_2(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path) in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["run.json", "trials.csv", "progress.jsonl", "gallery.npz", "evaluation.json", "latent.npz"]
)
def test_a_damaged_file_is_an_error_of_the_input(run, name):
    (run / name).write_text("trial,nonsense\n1,2\n")
    with pytest.raises(InputError, match="a run folder holds only"):
        page.write(run)


def test_reports_need_neither_torch_nor_ray():
    code = "import sys, reports.__main__; sys.exit(bool({'torch', 'ray'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_file_that_vanishes_while_the_folder_is_read_is_no_error(run, monkeypatch):
    """Temporary files of a live run do so: here between being found and being asked for their time."""
    (run / ".scores.7.csv").touch()
    is_file = Path.is_file

    def vanishes(path, **options):
        found = is_file(path, **options)
        if path.name.startswith("."):
            path.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Path, "is_file", vanishes)
    assert page.read(run).scores


def test_errors_and_ctrl_c_end_it_as_they_end_every_command(run, tmp_path, capsys, monkeypatch):
    assert main([str(tmp_path / "nothing")]) == 2
    assert re.fullmatch(r"error: a run folder holds run\.json, .*\n", capsys.readouterr().err)
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("error: ")

    def pressed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("reports.__main__.write", pressed)
    assert main([str(run)]) == 130
    assert capsys.readouterr().err == "\nstopped\n"


def test_a_page_takes_the_place_of_a_page_and_of_nothing_else(run, tmp_path, capsys):
    notes = tmp_path / "notes.html"
    notes.write_text("<p>mine</p>")
    assert main([str(run), "-o", str(notes)]) == 2
    assert "not replaced" in capsys.readouterr().err
    assert notes.read_text() == "<p>mine</p>"
    for options in (["--overwrite"], []):  # the second time it is its own
        assert main([str(run), "-o", str(notes), *options]) == 0
