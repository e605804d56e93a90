"""Real truth under gaps, I(q) of simulated frames, speed and memory of `python -m search.inpaint`.

`python -m benchmarks.filling MODEL --frames ../shared/frames --output benchmarks/results/filling.md`
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

from benchmarks.filling import profiles, speed, truth
from scattering.files import replacing
from scattering.provenance import machine
from search.inpaint import load


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, help="model file, or folder of a run")
    parser.add_argument("--frames", type=Path, metavar="FOLDER", help="real frames (default: none are measured)")
    parser.add_argument("--profiles", type=int, default=24, metavar="N", help="simulated frames for I(q)")
    parser.add_argument("--stack", type=int, default=200, metavar="N", help="frames of the stack that is timed")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="pairs of timed processes")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write what is printed to this file too")
    options = parser.parse_args(argv)
    lines = []
    for line in report(options):
        print(line, flush=True)
        lines.append(line)
    if options.output:
        with replacing(options.output) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def report(options: argparse.Namespace) -> Iterator[str]:
    """Measure, in Markdown, line by line."""
    model = load(options.model, "cpu")
    told, packages = machine(), ("torch", "numpy", "scikit-image", "pyFAI")
    yield "# Filling frames at their own size"
    yield ""
    yield f"- Command: `python -m benchmarks.filling {options.model}`; model: {model.description.title}"
    yield f"- Date: {date.today()}. Machine: {told['cores']} cores, {told['processor']}"
    yield f"- Versions: {', '.join(f'{name} {version(name)}' for name in packages)}"
    if options.frames:
        yield ""
        yield "## Real frames"
        yield ""
        yield from truth.table(model, options.frames)
    yield ""
    yield "## I(q) of simulated frames"
    yield ""
    yield from profiles.table(model, options.profiles)
    yield ""
    yield "## Speed"
    yield ""
    yield from speed.table(options.model, options.stack, options.repeats)


if __name__ == "__main__":
    main()
