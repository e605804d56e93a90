import re

import pytest

from benchmarks import preparation


@pytest.mark.slow
def test_frames_are_prepared_killed_and_prepared_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(preparation, "PER_FILE", 6)
    output = tmp_path / "preparation.md"
    preparation.main(
        ["--frames", "12", "--detector", "Pilatus300kw", "--size", "64x512", "--cores", "1", "--repeats", "1",
         "--output", str(output)]
    )  # fmt: skip
    text = output.read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip() == text.strip()
    assert "byte for byte the file" in text
    (row,) = re.findall(r"^\| 1 \| (.*) \|$", text, flags=re.MULTILINE)
    rate, wall, _, memory, largest = (float(cell.split()[0]) for cell in row.split(" | "))
    assert 0.5 < rate < 1000
    assert wall > 12 / rate
    assert 0.1 < largest < memory < 3


def test_memory_of_a_process_that_has_ended_is_none():
    assert preparation.proportional(2**30) == 0
