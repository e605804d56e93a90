"""No command replaces a file that is not its own earlier output from the same source; contact sheets are views."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from scattering import look, merge, prepare, simulate
from scattering.outputs import check_output, nothing_is_own

Main = Callable[[Sequence[str]], int]


@pytest.fixture(autouse=True)
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six scans of three frames, in the folder where the commands run."""
    monkeypatch.chdir(tmp_path)
    rings = 40 + 30 * np.cos(np.hypot(*np.meshgrid(np.arange(420), np.arange(370), indexing="ij")) / 6)
    for number in range(6):
        with h5py.File(f"scan_{number}.h5", "w") as file:
            file["frames"] = np.random.default_rng(number).poisson(rings, (3, 420, 370)).astype(np.int32)
            file.attrs["group"] = f"film {number}"


COMMANDS: dict[str, tuple[Main, list[str], list[str]]] = {
    "look": (look.main, ["scan_0.h5", "--detector", "Pilatus2M", "-o", "out.png"], ["scan_1.h5", "-o", "out.png"]),
    "simulate": (
        simulate.main,
        ["--detector", "Pilatus100k", "--size", "96x128", "--frames", "1", "-o", "out.h5"],
        ["--detector", "Pilatus300k", "--size", "96x128", "--frames", "1", "-o", "out.h5"],
    ),
    "merge": (
        merge.main,
        ["scan_0.h5", "scan_1.h5", "--detector", "Pilatus2M", "--shift", "0,0", "-o", "out.h5"],
        ["scan_0.h5", "scan_2.h5", "--detector", "Pilatus2M", "--shift", "0,0", "-o", "out.h5"],
    ),
    "prepare": (
        prepare.main,
        ["scan_*.h5", "--detector", "Pilatus2M", "--size", "128", "-o", "out.h5"],
        ["scan_[0-4].h5", "--detector", "Pilatus2M", "--size", "128", "-o", "out.h5"],
    ),
}  # fmt: skip
"""By name: a command, its arguments, and arguments for the same output from another source."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "simulate")) for n in COMMANDS])
def test_only_its_own_output_is_replaced(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    main, arguments, other = COMMANDS[name]
    output = Path(arguments[-1])
    output.write_bytes(b"a frame that took a night to measure")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert output.read_bytes() == b"a frame that took a night to measure"
    assert error.startswith("error: files of another origin are not replaced, got out.")
    assert error.count("\n") == 1
    assert main([*arguments, "--overwrite"]) == 0
    first = output.read_bytes()
    assert main(arguments) == 0  # its own, from the same source
    assert output.read_bytes() == first
    assert main(other) == (0 if name == "look" else 2)
    assert (output.read_bytes() == first) == (name != "look")


def test_a_link_to_nowhere_and_a_new_name_are_free(tmp_path: Path) -> None:
    check_output(tmp_path / "new", nothing_is_own)
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    check_output(tmp_path / "link", nothing_is_own)
