import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from reports import page
from search.records import Epoch, Trial, append_line, read_table

PROBE = """<script>
const errors = [];
addEventListener("error", event => errors.push(event.message || "a resource failed"), true);
addEventListener("securitypolicyviolation", event => errors.push(event.violatedDirective + " " + event.blockedURI));
console.error = (...values) => errors.push(values.join(" "));
console.warn = console.error;
addEventListener("load", () => setTimeout(() => parent.postMessage({
  errors,
  asked: innerWidth,
  width: document.documentElement.scrollWidth,
  empty: [...document.querySelectorAll(".plotly-graph-div")].filter(e => !e.querySelector(".main-svg .trace")).length,
  figures: document.querySelectorAll(".plotly-graph-div").length,
  narrow: [...document.querySelectorAll(".main-svg")].filter(e => e.clientWidth > innerWidth).length,
  broken: [...document.images].filter(image => !image.naturalWidth).length,
  hacked: window.hacked === true,
}, "*"), 500));
</script>"""
WRAPPER = """<iframe src="page.html" style="width: {width}px; height: 900px; border: 0"></iframe>
<script>addEventListener("message", e => {{
  const result = document.createElement("pre"); result.id = "result";
  result.textContent = JSON.stringify(e.data); document.body.append(result);
}});</script>"""


def open_page(text: str, width: int, folder: Path) -> dict:
    """Open a page in a frame of a width and tell what a probe inside it saw."""
    (folder / "page.html").write_text(text.replace("<script>", PROBE + "<script>", 1), encoding="utf-8")
    (folder / "wrapper.html").write_text(WRAPPER.format(width=width), encoding="utf-8")
    quiet = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    quiet += "--disable-component-update --disable-sync --virtual-time-budget=8000 --window-size=1700,900 --dump-dom"
    command = [
        "chromium",
        *quiet.split(),
        f"--user-data-dir={folder / 'profile'}",
        (folder / "wrapper.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    return json.loads(unescape(found[1]))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on PATH")
@pytest.mark.parametrize("width", [360, 1600])
def test_a_browser_draws_the_page_without_error_or_sideways_scrolling(make_run, tmp_path, width):
    run = make_run(tmp_path / "run", name="<img src=x onerror=window.hacked=true>")
    seen = open_page(page.write(run).read_text(encoding="utf-8"), width, tmp_path)
    assert seen["errors"] == []
    assert seen["asked"] == width
    assert seen["width"] <= width
    assert (seen["figures"], seen["empty"], seen["narrow"], seen["broken"]) == (3, 0, 0, 0)
    assert not seen["hacked"]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on PATH")
@pytest.mark.parametrize("width", [390, 1600])
def test_a_browser_draws_the_page_of_a_run_under_way(make_run, tmp_path, width):
    run = make_run(tmp_path / "run")
    for name in ("leaderboard.csv", "evaluation.json", "scores.csv", "gallery.npz"):
        (run / name).unlink()
    (winner,) = read_table(run / "winners.csv", Trial)
    for number in range(1, 4):
        append_line(
            run / "retraining.jsonl", Epoch(winner.trial, number, 0.02, 0.02, 6e-3 / number, 0.99, 1e-3, 9.0 * number)
        )
    seen = open_page(page.write(run).read_text(encoding="utf-8"), width, tmp_path)
    assert seen["errors"] == []
    assert seen["width"] <= width
    # The learning curves of the search and of the retraining.
    assert (seen["figures"], seen["empty"], seen["narrow"], seen["broken"]) == (2, 0, 0, 0)
