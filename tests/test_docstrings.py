"""One convention for docstrings: a noun phrase for data, an imperative for functions."""

import ast
from pathlib import Path

import pytest

from tests.test_imports import PACKAGES, files

QUESTIONS = {"As", "How", "What", "When", "Where", "Whether", "Which", "Who", "Whose", "Why"}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_docstring_begins_with_a_question(package: str) -> None:
    assert [place for path in files(package) for place in questions(path)] == []


def questions(path: Path) -> list[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    documented = [node for node in nodes if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    texts = [(node, ast.get_docstring(node)) for node in documented]
    return [
        f"{path}:{getattr(node, 'lineno', 1)} {text[:60]}"
        for node, text in texts
        if text and text.split()[0].rstrip(",") in QUESTIONS
    ]
