"""`python -m scattering.prepare FILE... -o DATA.h5`: make the data set of a search from detector files."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from scattering.arguments import (
    NATIVE,
    Parser,
    add_frame_options,
    at_least,
    command,
    frame_options,
    output_file,
    program,
    working_shape,
)
from scattering.cores import on_cores
from scattering.dataset_layout import source_paths
from scattering.outputs import add_overwrite, check_output
from scattering.preparation import Plan, plan, prepare
from scattering.progress import shown
from scattering.split import PARTS, too_few_groups
from scattering.survey.findings import check_all_read, survey

SIZE = "512"

DESCRIPTION = """\
Prepare detector files for `python -m search.run`: the file that this writes can be used again and again, and
copied to other machines. A command that was stopped, by whatever, goes on where it was when it is given again."""

EPILOG = """\
examples:
  python -m scattering.prepare 'frames/*.cbf' -o film.h5
  python -m scattering.prepare scan_1.h5::/entry/data/data scan_2.nxs -o film.h5 --mask beamstop.edf --size native
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return command(lambda: _run(parser().parse_args(argv)))


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(
        prog=program("prepare", "scattering.prepare"), description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    p.add_argument("files", nargs="+", metavar="FILE", help="files of any detector, folders, globs, file.h5::/path")
    p.add_argument("-o", "--output", type=output_file, required=True, metavar="DATA.h5", help="the file to write")
    add_overwrite(p)
    p.add_argument(
        "--size", default=SIZE, metavar="PIXELS",
        help=f"frames are resized to PIXELS x PIXELS, to ROWSxCOLUMNS, or kept: {NATIVE} (default: {SIZE})",
    )  # fmt: skip
    p.add_argument("--seed", type=at_least(0), default=0, metavar="N", help="decides the split (default: 0)")
    p.add_argument("--cores", type=at_least(1), metavar="N", help="cores of this machine to use (default: all)")
    add_frame_options(p.add_argument_group("frames"))
    return p


def _run(arguments: argparse.Namespace) -> None:
    output: Path = arguments.output
    findings = survey(arguments.files, frame_options(arguments))
    for note in findings.notes:
        print(note, file=sys.stderr)
    todo = plan(findings, working_shape(arguments.size, findings.native), arguments.seed)
    sources = todo.skeleton.sources.paths
    check_output(output, lambda path: source_paths(path) == sources, overwrite=arguments.overwrite)
    for line in _described(todo, output):
        print(line)
    try:
        with on_cores(arguments.cores) as tasks, shown(len(findings), "preparing") as progress:
            fingerprint = prepare(todo, output, tasks=tasks, progress=progress)
    except KeyboardInterrupt:
        print("\nthe same command goes on where this one was", file=sys.stderr)
        raise
    print(f"\ndata set: {output}\nfingerprint: {fingerprint}")
    print(f"next: python -m search.run tunet --data {shlex.quote(str(output))}")
    check_all_read(findings)


def _described(todo: Plan, output: Path) -> Iterator[str]:
    """Give the lines that describe the frames and the data set to be made."""
    found, parts = todo.findings, Counter(todo.parts)
    shapes = Counter(stack.shape for stack in found.stacks for _ in stack.names)
    files = len({stack.location.path for stack in found.stacks})
    yield f"frames: {len(found)} in {files} file{'s' if files > 1 else ''}, " + ", ".join(
        f"{count} of {rows} x {columns}" for (rows, columns), count in shapes.most_common()
    )
    yield f"gaps to fill: those of {found.target.name}"
    if all(todo.parts):
        split = ", ".join(f"{parts[name]} {name}" for name in PARTS)
        yield f"groups: {len(set(found.groups))}; {split} (python -m scattering.look --seed {todo.seed} shows them)"
    else:
        yield f"note: {too_few_groups(found.groups)}; a search needs them"
    folder = next(parent for parent in output.absolute().parents if parent.exists())
    yield (
        f"data set: {todo.shape[0]} x {todo.shape[1]} pixels a frame, {todo.skeleton.size / 1e9:.2f} GB; "
        f"{shutil.disk_usage(folder).free / 1e9:.1f} GB are free"
    )


if __name__ == "__main__":
    sys.exit(main())
