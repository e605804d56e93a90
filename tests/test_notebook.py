"""The notebook in the docs runs from its first cell to its last."""

import json
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_notebook_runs_and_its_claims_hold(monkeypatch, capsys):
    matplotlib.use("Agg")
    monkeypatch.chdir(ROOT)
    notebook = json.loads((ROOT / "docs" / "filling.ipynb").read_text(encoding="utf-8"))
    names: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "docs/filling.ipynb", "exec"), names)
            plt.close("all")
    assert "measured pixels unchanged: True" in capsys.readouterr().out
    before, after = names["holes"]
    assert after < before / 2
    profiles = names["profiles"]
    truth = profiles["no gaps, no noise"].intensity
    bright = truth > np.median(truth)
    # The median: around the beamstop, where q is small, next to nothing is measured.
    filled, measured = (
        np.median(np.abs(profiles[name].intensity - truth)[bright] / truth[bright])
        for name in ("filled", "measured pixels alone")
    )
    assert filled < 0.05
    assert filled < measured
