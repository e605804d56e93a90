"""The origin of a figure: versions and machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("gapsearch", "ray", "optuna", "torch", "numpy", "scipy", "scikit-image", "h5py", "pyFAI", "qlty", "dlsia")


def machine() -> dict[str, str]:
    """Return what ran it."""
    return {"system": platform.platform(), "processor": _processor(), "cores": str(os.cpu_count())}


def versions() -> dict[str, str]:
    """Return the versions of Python, of the packages that matter and, in a checkout, of the code."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    commit = _git_commit()
    return {**found, "commit": commit} if commit else found


def _git_commit() -> str:
    """Commit of the code that runs, marked where the working tree differs; empty outside a checkout."""
    here = Path(__file__).parent
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=here, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
