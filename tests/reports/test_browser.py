"""The page in a browser: drawn, sorted, and checked by axe-core, at the width of a phone and of a screen."""

import json
import re
import shutil
import subprocess
from html import unescape
from importlib.resources import files
from pathlib import Path

import pytest

from records.files import append_line, read_table
from records.tables import RetrainInterim, Trial
from reports import page

PROBE = r"""<script>
const errors = [];
addEventListener("error", event => errors.push(event.message || "a resource failed"), true);
addEventListener("securitypolicyviolation", event => errors.push(event.violatedDirective + " " + event.blockedURI));
console.error = (...values) => errors.push(values.join(" "));
console.warn = console.error;

// The first number that a cell shows; null where it shows none.
const shown = cell => {
  const copy = cell.cloneNode(true);
  for (const hidden of copy.querySelectorAll(".hidden")) hidden.remove();
  const text = copy.textContent.replaceAll("\u202f", "").replaceAll("−", "-").replaceAll("+", "");
  if (/\d (s|h|min)\b/.test(text)) {
    const units = {s: 1, min: 60, h: 3600};
    return [...text.matchAll(/([\d.]+) (s|h|min)\b/g)].reduce((sum, part) => sum + part[1] * units[part[2]], 0);
  }
  const found = text.match(/-?\d+(\.\d+)?(e-?\d+)?/);
  return found ? Number(found[0]) : null;
};

const sorting = () => {
  const wrong = [];
  let columns = 0;
  for (const table of document.querySelectorAll("table")) {
    const heads = [...table.tHead.rows[0].cells];
    for (const [place, head] of heads.entries()) {
      for (const direction of ["ascending", "descending"]) {
        head.querySelector("button").click();
        const name = `${table.caption.textContent.slice(0, 40)}: ${head.textContent}, ${direction}`;
        if (head.getAttribute("aria-sort") !== direction) wrong.push(`${name}: aria-sort`);
        if (table.querySelectorAll("[aria-sort]").length !== 1) wrong.push(`${name}: two columns at once`);
        for (const body of table.tBodies) {
          const cells = [...body.rows].filter(row => !row.matches(".group")).map(row => row.cells[place]);
          const texts = cells.map(cell => cell.textContent.trim());
          const values = cells.map(shown);
          const gap = texts.findIndex(text => text === "–" || text === "");
          if (gap >= 0 && texts.slice(gap).some(text => text !== "–" && text !== "")) wrong.push(`${name}: gaps`);
          if (place === 0 || values.some((value, k) => value === null && texts[k] !== "–")) continue;
          columns += 1;
          const known = values.filter(value => value !== null);
          const sign = direction === "ascending" ? 1 : -1;
          if (known.some((value, k) => k && sign * (value - known[k - 1]) < 0)) wrong.push(`${name}: ${known}`);
        }
      }
    }
  }
  return {wrong, columns};
};

addEventListener("load", () => setTimeout(async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  const drawn = [...document.querySelectorAll(".plotly-graph-div")];
  const seen = selector => [...document.querySelectorAll(selector)].filter(one => one.getClientRects().length).length;
  const stills = () => [seen(".still"), seen(".plotly-graph-div")];
  const print = () => {
    const rules = [...document.styleSheets].flatMap(sheet => [...sheet.cssRules]);
    for (const rule of rules) if (rule.media?.mediaText === "print") rule.media.mediaText = "all";
  };
  const covered = () => [...document.querySelectorAll(".picture img[style]")]
    .filter(image => getComputedStyle(image).objectPosition === "50% 50%").length;
  parent.postMessage({
    asked: innerWidth,
    width: document.documentElement.scrollWidth,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    figures: drawn.length,
    empty: drawn.filter(figure => !figure.querySelector(".main-svg .trace")).length,
    unnamed: drawn.filter(figure => !figure.closest('[role="img"]')?.getAttribute("aria-label")).length,
    narrow: [...document.querySelectorAll(".main-svg")].filter(figure => figure.clientWidth > innerWidth).length,
    broken: [...document.images].filter(image => !image.naturalWidth).length,
    hacked: window.hacked === true,
    violations: found.violations.map(rule => `${rule.id}: ${rule.nodes.map(node => node.html.slice(0, 200))}`),
    checked: found.passes.map(rule => rule.id),
    sorting: sorting(),
    errors,
    covered: [covered(), (document.querySelectorAll(".toggle input").forEach(box => box.click()), covered())],
    screen: stills(),
    unscripted: (document.documentElement.className = "", stills()),
    paper: (document.documentElement.className = "scripted", print(), stills()),
  }, "*");
}, 500));
</script>"""
WRAPPER = """<iframe src="page.html" style="width: {width}px; height: 900px; border: 0"></iframe>
<script>addEventListener("message", e => {{
  const result = document.createElement("pre"); result.id = "result";
  result.textContent = JSON.stringify(e.data); document.body.append(result);
}});</script>"""
DARK = "--blink-settings=preferredColorScheme=0"


def open_page(text: str, width: int, folder: Path, *flags: str) -> dict:
    """Open a page in a frame of a width and tell what a probe inside it saw."""
    axe = files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    probe = f"<script>{axe}</script>{PROBE}"
    (folder / "page.html").write_text(text.replace("<script>", probe + "<script>", 1), encoding="utf-8")
    (folder / "wrapper.html").write_text(WRAPPER.format(width=width), encoding="utf-8")
    quiet = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    quiet += "--disable-component-update --disable-sync --virtual-time-budget=8000 --window-size=1700,900 --dump-dom"
    profile = f"--user-data-dir={folder / 'profile'}"
    command = ["chromium", *quiet.split(), *flags, profile, (folder / "wrapper.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    return json.loads(unescape(found[1]))


def check(seen: dict, width: int, figures: int) -> None:
    """What must hold for every page."""
    assert seen["errors"] == []
    assert seen["asked"] == width
    assert seen["width"] <= width
    assert (seen["figures"], seen["empty"], seen["unnamed"], seen["narrow"], seen["broken"]) == (figures, 0, 0, 0, 0)
    assert seen["violations"] == []
    assert {"color-contrast", "heading-order", "link-name", "button-name", "region"} <= set(seen["checked"])
    assert seen["sorting"]["wrong"] == []
    assert seen["sorting"]["columns"] > 20
    assert not seen["hacked"]
    # Each figure is a still picture without scripts and on paper, and nothing waits in its place.
    assert (seen["screen"], seen["unscripted"], seen["paper"]) == ([0, figures], [figures, 0], [figures, 0])
    # Before instead of after.
    assert seen["covered"][1] == 0


browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on PATH")


@pytest.mark.slow
@browser
@pytest.mark.parametrize("flags", [(), (DARK,)], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1600])
def test_a_browser_draws_and_sorts_the_page_and_axe_finds_no_fault(make_run, tmp_path, width, flags):
    run = make_run(tmp_path / "run", name="<img src=x onerror=window.hacked=true>")
    seen = open_page(page.write(run).read_text(encoding="utf-8"), width, tmp_path, *flags)
    assert seen["dark"] == bool(flags)
    check(seen, width, figures=20)


@pytest.mark.slow
@browser
@pytest.mark.parametrize(("width", "flags"), [(360, (DARK,)), (1600, ())], ids=["phone-dark", "wide-light"])
def test_a_browser_draws_the_page_of_several_runs(make_run, tmp_path, width, flags):
    runs = [make_run(tmp_path / "a"), make_run(tmp_path / "b", better=0.9), make_run(tmp_path / "c", seed=8)]
    text = page.write(*runs).read_text(encoding="utf-8")
    check(open_page(text, width, tmp_path, *flags), width, figures=60)


@pytest.mark.slow
@browser
@pytest.mark.parametrize("width", [390, 1600])
def test_a_browser_draws_the_page_of_a_run_under_way(make_run, tmp_path, width):
    run = make_run(tmp_path / "run")
    for name in ("leaderboard.csv", "evaluation.json", "scores.csv", "coverage.csv"):
        (run / name).unlink()
    for path in run.glob("*.npz"):
        path.unlink()
    winner, *_ = read_table(run / "winners.csv", Trial)
    for number in range(1, 4):
        line = RetrainInterim(winner.trial, number, number, 0.02, 0.02, 6e-3 / number, 0.99, 1e-3, 9.0 * number, 0, 1)
        append_line(run / "retraining.jsonl", line)
    seen = open_page(page.write(run).read_text(encoding="utf-8"), width, tmp_path)
    # The learning curves of the search and of the retraining.
    check(seen, width, figures=8)
