import re

import plotly.graph_objects as go
import pytest

from reports.figures.axes import axis
from reports.figures.still import svg


def drawn(*traces, log: bool = False) -> str:
    """A still of 300 x 200 pixels inside its margins."""
    chart = go.Figure(list(traces), {"height": 300, "margin": {"l": 80, "r": 60, "t": 40, "b": 60}})
    chart.update_yaxes(type="log" if log else "linear", range=[0, 2] if log else [1, 100], tickvals=[], ticktext=[])
    chart.update_xaxes(range=[0, 10], title="epoch, <b>10<sup>−3</sup></b>")
    return svg(chart)


def test_points_lie_where_plotly_has_them_also_on_logarithmic_axes():
    line = go.Scatter(x=[0, 5, 10], y=[1, 10, 100], mode="lines", line={"color": "#123456", "width": 2})
    assert 'd="M0.0 200.0L150.0 100.0L300.0 0.0"' in drawn(line, log=True)
    assert 'd="M0.0 200.0L150.0 181.8L300.0 0.0"' in drawn(line)


def test_steps_markers_and_dashes_are_drawn():
    line = {"color": "#123456", "width": 2, "shape": "hv", "dash": "dot"}
    text = drawn(go.Scatter(x=[0, 10], y=[1, 100], mode="lines+markers", line=line, marker={"symbol": "square-open"}))
    assert 'd="M0.0 200.0H300.0V0.0"' in text and 'stroke-dasharray="2 3"' in text
    assert text.count('fill="none" stroke="#123456" stroke-width="2"/>') == 2


def test_bars_have_their_names_and_numbers():
    chart = go.Figure(
        go.Bar(x=[2, 4], y=["a &lt; b", "c"], text=["2.0", "4.0"], orientation="h", marker_color="#123456")
    )
    chart.update_layout(height=300, margin={"l": 56, "r": 14, "t": 12, "b": 52})
    chart.update_xaxes(range=[0, 5])
    text = svg(chart)
    assert all(f">{label}</text>" in text for label in ("a &lt; b", "c", "2.0", "4.0"))
    # The longer bar ends at four fifths of 370 pixels.
    assert text.count('fill="#123456"') == 2 and "H296.0" in text


def test_violins_are_drawn_for_values_that_are_all_equal_too():
    for values in ([1.0, 2.0, 2.0, 5.0], [3.0, 3.0]):
        chart = go.Figure(go.Violin(y=values, name="masked", line_color="#123456"))
        chart.update_layout(height=300, margin={"l": 56, "r": 14, "t": 12, "b": 52})
        assert "<polygon" in svg(chart) and "nan" not in svg(chart)


def test_axes_have_their_values_and_names_as_text():
    chart = go.Figure(go.Scatter(x=[1, 2], y=[4, 40], mode="lines"), {"height": 300})
    chart.update_layout(margin={"l": 56, "r": 14, "t": 12, "b": 52})
    chart.update_yaxes(axis(4, 40), title="L1 (10<sup>−3</sup>)")
    text = svg(chart)
    assert ">L1 (10⁻³)</text>" in text and not re.search("<(b|sup)>", text)
    assert all(f">{value}</text>" in text for value in ("5", "10", "20"))


@pytest.mark.parametrize("reference", ["x domain", "paper"])
def test_lines_and_notes_may_span_the_axis(reference):
    chart = go.Figure(go.Scatter(x=[1, 2], y=[4, 40], mode="lines"), {"height": 300})
    chart.update_layout(margin={"l": 60, "r": 0, "t": 50, "b": 50})
    chart.update_yaxes(axis(4, 40))
    chart.add_shape(type="line", xref=reference, x0=0, x1=1, y0=4, y1=4, line={"color": "#123456", "width": 1})
    assert re.search(r'd="M0 (1\d\d\.\d)L380 \1"', svg(chart))
