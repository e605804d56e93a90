import base64
import csv
import io
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.cells import Number, places, plain
from reports.downloads import MARK, as_csv, as_latex, as_markdown
from reports.markup import duration, number, percent, significant, table

COLUMNS = ["method", "L1 (10<sup>−3</sup>)", "time", "note<small>of us</small>"]
GROUPS = [
    ("Finished <small>2</small>", [["a &amp; b", number(1.23456789e-3, 2, 1e3), duration(61.25), "x_1 | 100 %"]]),
    ("", [["c", Number("–", None), duration(None), "–"], ["d", Number("7", 7.0, sd=0.5), number(2), "~^\\"]]),
]


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_csv_holds_full_numbers_units_groups_and_nothing_for_what_is_not_known():
    assert read(as_csv(COLUMNS, GROUPS)) == [
        ["group", "method", "L1 (10^-3)", "L1 (10^-3), sd", "time (s)", "note of us"],
        ["Finished 2", "a & b", "1.23456789", "", "61.25", "x_1 | 100 %"],
        ["", "c", "", "", "", ""],
        ["", "d", "7", "0.5", "2", "~^\\"],
    ]


def test_markdown_has_as_many_cells_in_every_line():
    lines = as_markdown(COLUMNS, GROUPS).splitlines()
    assert {line.count("|") for line in lines} == {len(COLUMNS) + 1}
    assert len(lines) == 2 + 1 + 3
    assert "| 1.23 | 1 min 01 s |" in lines[3]


def test_latex_escapes_and_keeps_powers():
    text = as_latex("All <strong>50 %</strong>.", COLUMNS, GROUPS)
    assert r"\caption{All 50 \%.}" in text
    assert "$^{-3}$" in text
    assert r"a \& b & 1.23 & 1 min 01 s & x\_1 \textbar{} 100 \%" in text
    assert r"\textasciitilde{}\textasciicircum{}\textbackslash{}" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(COLUMNS) - 1}
    assert not re.search(r"(?<!\\)[#%_](?! \\usepackage)", text)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on PATH")
def test_latex_compiles(tmp_path):
    body = as_latex("All 50 % & more_", COLUMNS, GROUPS)
    (tmp_path / "t.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + body + "\\end{document}\n"
    )
    subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True)


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), max_size=20))
def test_a_column_of_numbers_sorts_by_their_values_not_by_what_is_shown(values):
    found = places([number(value, 0) for value in values])
    for value, place in zip(values, found, strict=True):
        assert (place is None) == (value is None)
        for other, beside in zip(values, found, strict=True):
            if value is not None and other is not None:
                assert (value < other) == (place < beside)


def test_texts_sort_with_their_numbers_and_dashes_have_no_place():
    assert places(["trial 10", "trial 9", "–", "", "Trial 2"]) == [2, 1, None, None, 0]
    assert places(["1e-05", "0.001", "1e-04"]) == [0, 2, 1]
    assert places([duration(3700), duration(59), duration(None), percent(0.5)]) == [2, 1, None, 0]
    assert places(["12 <strong class='winner'>winner</strong>", "3"]) == [1, 0]


def test_numbers_have_as_many_digits_as_asked_and_no_minus_before_zero():
    assert [significant(value, scale=1e3) for value in (4.1059e-3, 0.09996, 9.996e-3, 22.5e-3, 0.0, None)] == [
        "4.11",
        "100",
        "10.0",
        "22.5",
        "0.00",
        "–",
    ]
    assert [number(-0.3), percent(-0.001), number(-0.6)] == ["0", "0 %", "−1"]


def test_plain_text_has_no_tags_and_no_notes_for_screen_readers():
    assert plain("<strong>4.1</strong><span class='hidden'> (best)</span> &lt; −5") == "4.1 < -5"


def test_a_table_carries_its_files_and_the_place_of_every_row():
    html = table("Methods. All of them.", COLUMNS, GROUPS, "methods wide")
    saved = dict(re.findall(r'download="methods\.(\w+)" href="data:[^,]*;base64,([^"]*)"', html))
    assert list(saved) == ["csv", "md", "tex"]
    assert base64.b64decode(saved["csv"]).decode() == MARK + as_csv(COLUMNS, GROUPS)
    assert 'data-places="0,,1"' in html
    assert html.count('<th scope="col" data-places=') == len(COLUMNS)
    assert 'aria-label="CSV: Methods"' in html
    assert 'role="group" aria-label="Methods"' in html


def test_names_in_a_table_stay_text():
    hostile = "&lt;/table&gt;&quot;&lt;script&gt;"
    html = table(hostile, [hostile], [(hostile, [[hostile]])], "t")
    assert "<script" not in html
    assert html.count("</table>") == 1
