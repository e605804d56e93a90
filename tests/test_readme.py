"""What the README says can be typed, and what it says is there, is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from scattering import look, merge, prepare, simulate
from search import export, inpaint, run, watch
from search.settings import resolve
from trainables import pymsdtorch

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCS = "".join(page.read_text(encoding="utf-8") for page in PAGES)
COMMANDS = [
    line.strip()
    for block in re.findall(r"```sh\n(.*?)```", README + DOCS, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]


COMMANDS_OF_SCATTERING = {module.__name__: module for module in (look, merge, prepare, simulate)}


def test_there_are_commands() -> None:
    assert "make search" in COMMANDS
    assert "make test" in COMMANDS
    assert len(COMMANDS) > 4


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line: str) -> None:
    words = [word for word in shlex.split(line) if not re.fullmatch(r"[A-Z_]+=\S+", word)]
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif words[:2] != [".venv/bin/python", "-m"]:
        # Programs of others, on files of a run.
        assert [word for word in words if "runs/mine" in word]
        assert words[0].removeprefix(".venv/bin/") in ("optuna-dashboard", "tensorboard", "mlflow")
    else:
        if words[2] == "search.run":
            options = vars(run.parser().parse_args(words[3:]))
            resolve(
                options["network"], run.check_name(options["name"]), options.pop("preset") or "quick", known(options)
            )
        elif words[2].startswith("scattering."):
            COMMANDS_OF_SCATTERING[words[2]].parser().parse_args(words[3:])
        elif words[2] == "search.inpaint":
            assert inpaint.parser().parse_args(words[3:]).output == Path("filled")
        elif words[2] == "search.export":
            assert export.parser().parse_args(words[3:]).model == Path("runs/mine")
        elif words[2] == "search.watch":
            assert watch.parser().parse_args(words[3:]).run == "mine"
        else:
            assert words[2:] in (
                ["reports", "runs/mine"],
                ["reports", "runs/mine", "runs/other"],
                ["pip", "install", "-e", ".[pymsdtorch]"],
                ["pip", "install", "-e", ".[onnx]"],
                ["pip", "install", "optuna-dashboard"],
            )


def known(options: dict[str, Any]) -> dict[str, Any]:
    """What of a command line makes settings."""
    return {key: value for key, value in options.items() if key not in ("network", "name", "resume", "quiet", "json")}


def test_python_is_understood() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "networks.md").read_text(), re.DOTALL)
    for name in re.findall(r"pymsdtorch\.(\w+)", code):
        assert callable(getattr(pymsdtorch, name))
    compile(code, "networks.md", "exec")


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *PAGES, *sorted(ROOT.glob("*/README.md"))], ids=lambda p: p.name
)
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(((?!http)[^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_map_names_every_folder() -> None:
    (named,) = re.findall(r"```\n(scattering/.*?)```", README, re.DOTALL)
    there = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))}
    made = {"runs", "filled", "build", *(path.name for path in ROOT.glob("*.egg-info"))}
    assert set(re.findall(r"\b(\w+)/", named)) == there - made


def test_the_readme_can_be_read_at_once() -> None:
    assert len(README.splitlines()) <= 120


def test_the_tests_that_hold_the_guarantees_are_there() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "tests" / "README.md").read_text(encoding="utf-8"))
    assert len(named) > 50
    for path, name in named:
        assert f"def {name}(" in (ROOT / "tests" / path).read_text(encoding="utf-8"), (path, name)
