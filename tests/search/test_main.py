"""`gapsearch COMMAND`: every command under one name, each ending in the same way."""

from __future__ import annotations

import subprocess
import sys
import time
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from search.__main__ import COMMANDS, main

ROOT = Path(__file__).parents[2]


def test_the_console_script_leads_here() -> None:
    target = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["gapsearch"]
    module, _, name = target.partition(":")
    assert getattr(import_module(module), name) is main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends_bad_input_with_one_line_and_code_2(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--no-such-option"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends_with_130_on_ctrl_c(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scattering.arguments.Parser.parse_args", pressed)
    assert main([name]) == 130
    assert capsys.readouterr().err == "\nstopped\n"


def test_a_misspelt_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lok"]) == 2
    assert capsys.readouterr().err.endswith("got 'lok'; did you mean look?\n")


def test_the_list_of_commands_comes_at_once() -> None:
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "search", "--help"], capture_output=True, text=True, check=True)
    assert time.monotonic() - began < 3
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)


def test_help_names_the_command_as_it_was_called(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for called, usage in (
        ("/x/gapsearch", "usage: gapsearch look "),
        ("look.py", "usage: python -m scattering.look "),
    ):
        monkeypatch.setattr(sys, "argv", [called])
        with pytest.raises(SystemExit):
            main(["look", "--help"])
        assert capsys.readouterr().out.startswith(usage)
