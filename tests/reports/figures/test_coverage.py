import dataclasses

from reports.figures import coverage
from reports.folder import read


def plain(text: str) -> str:
    return text.replace("\N{NARROW NO-BREAK SPACE}", "")


def test_intervals_that_hold_are_said_to_and_their_shares_are_told(make_coverage):
    text = plain(coverage.sentence(make_coverage(-0.01)))
    assert text.startswith("The intervals hold. Within them lie in horizontal gaps 67.0 % of the truth where 68 % is")
    assert "and 94.0 % of the truth where 95 % is stated; in vertical gaps 67.0 %" in text
    assert "fail" not in text


def test_shares_by_brightness_stand_in_a_table_too(make_coverage):
    html = plain(coverage.html(make_coverage(), 3))
    assert '<th scope="row">10–100</th><td>67.0 %</td><td>1.3</td><td>9000</td>' in html


def test_too_narrow_and_too_wide_intervals_are_called_so(make_coverage):
    assert coverage.sentence(make_coverage(-0.04)).startswith("The intervals are too narrow")
    assert coverage.sentence(make_coverage(0.04)).startswith("The intervals are wider than they need be")


def test_one_kind_of_gap_that_is_short_outweighs_another_that_is_not(make_coverage):
    both = [row for row in make_coverage(0.04) if row.kind == "horizontal"]
    both += [row for row in make_coverage(-0.04) if row.kind == "vertical"]
    assert coverage.sentence(both).startswith("The intervals are too narrow")


def test_the_brightness_at_which_they_fail_is_named(make_coverage):
    rows = make_coverage()
    spoilt = [
        dataclasses.replace(row, found=0.3)
        if (row.by, row.kind, row.level, row.start) == ("counts", "vertical", 0.68, 1000)
        else row
        for row in rows
    ]
    text = plain(coverage.sentence(spoilt))
    assert "where the fill has ≥ 1k counts, in vertical gaps: 30 % of the truth there, where 68 % is stated." in text
    assert "They are 10.0 % of the pixels." in text


def test_lines_run_from_faint_to_bright_whatever_their_order(make_coverage):
    narrow, wide = coverage.lines(make_coverage()[::-1], "vertical")
    assert (narrow.level, wide.level) == (0.68, 0.95)
    assert narrow.counts == ["0–1", "1–10", "10–100", "100–1k", "≥ 1k"]
    assert narrow.half_widths == sorted(narrow.half_widths)
    chart = coverage.figure([narrow, wide])
    assert [trace.y[0] for trace in chart.data] == [67.0, 94.0]
    assert [shape.y0 for shape in chart.layout.shapes] == [68.0, 95.0]


def test_each_kind_of_gap_is_in_the_table_and_has_a_figure(make_coverage):
    html = plain(coverage.html(make_coverage(), 3, "a-"))
    assert 'id="a-coverage-horizontal"' in html and 'id="a-coverage-vertical"' in html
    assert "the 3 models of the ensemble disagree" in html
    assert html.partition("In numbers")[0].count("<td>67.0 %</td>") == 2 and html.count("<td>55–75%</td>") == 2
    assert "models of the ensemble" not in coverage.html(make_coverage(), 0)


def test_one_kind_alone_is_drawn_alone_and_one_brightness_makes_no_line(make_coverage):
    rows = [row for row in make_coverage() if row.kind == "vertical" and (row.by != "counts" or row.start == 1)]
    html = coverage.html(rows, 0)
    assert "Vertical gaps" in html and "Horizontal" not in html and "plotly" not in html


def test_runs_without_intervals_have_no_such_section(run):
    from reports import page

    assert 'id="coverage"' in page.html(read(run))
    (run / "coverage.csv").unlink()
    assert coverage.html([], 3) == ""
    assert "How sure a fill is" not in page.html(read(run))
