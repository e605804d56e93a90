"""Imports run one way, and neither Ray nor Optuna nor torch is needed where a reader or a notebook has none."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("scattering", "trainables", "inpainting", "records", "reports", "search", "benchmarks")
"""Each imports only those before it. `spaces` stands beside `trainables` and imports nothing of the project."""

PACKAGES = (*FLOORS, "spaces")


def above(package: str) -> set[str]:
    """Packages that a package must not import."""
    if package == "spaces":
        return set(FLOORS)
    higher = set(FLOORS[FLOORS.index(package) + 1 :])
    return higher | {"spaces"} if package in FLOORS[: FLOORS.index("search")] else higher


NOT_IN_REPORTS = {"trainables", "torch", "ray", "optuna"}

RAY_IS_IMPORTED_IN = ("search/", "spaces/", "benchmarks/", "trainables/trial.py")

WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ImportError(f"{{name}} is not installed here")

sys.meta_path.insert(0, Absent())
{code}
loaded = {absent!r} & {{name.partition(".")[0] for name in sys.modules}}
assert not loaded, loaded
"""


def imported(path: Path) -> set[str]:
    """Dotted names of every module that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def run_without(absent: set[str], code: str) -> None:
    script = WITHOUT.format(absent=absent, code=code)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package):
    assert files(package)
    for path in files(package):
        tops = {name.partition(".")[0] for name in imported(path)}
        assert not tops & above(package), path.relative_to(ROOT)


def test_reports_need_neither_torch_nor_ray():
    for path in files("reports"):
        tops = {name.partition(".")[0] for name in imported(path)}
        assert not tops & NOT_IN_REPORTS, path.relative_to(ROOT)


def test_ray_and_optuna_are_imported_in_few_places():
    for package in PACKAGES:
        for path in files(package):
            place = path.relative_to(ROOT).as_posix()
            if not place.startswith(RAY_IS_IMPORTED_IN):
                assert not {"ray", "optuna"} & {name.partition(".")[0] for name in imported(path)}, place


@pytest.mark.slow
def test_networks_and_training_run_without_ray():
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("scattering", "trainables")
        for path in files(package)
        # Triton comes with PyTorch for CUDA.
        if path.name not in ("__init__.py", "trial.py", "msdnet_gpu.py")
    ]
    code = f"""
import importlib, scattering, trainables
for name in {modules}:
    importlib.import_module(name)
from trainables import NETWORKS
import torch
network = NETWORKS["tunet"](depth=2, base_channels=4, growth_rate=2)
assert network(torch.zeros(1, 1, 9, 7)).shape == (1, 1, 9, 7)
"""
    run_without({"ray", "optuna"}, code)


@pytest.mark.slow
def test_reports_are_made_without_torch_and_ray():
    run_without(
        {"ray", "optuna", "torch"},
        "import reports, reports.page, reports.leaderboard, reports.sweep, reports.figures.gallery, reports.summary",
    )
