"""Fill the gaps of detector files with the winner of a run: `python -m search.inpaint RUN FILES... -o OUT`.

Measured pixels stay as they are, bit for bit; filled ones are counts in the type of the file. Files keep their
format, names and headers where the format can be written; beside each lies what was filled, and how sure that is.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from inpainting.files import FileFiller
from inpainting.model import MAX_UNCERTAINTY, Model, load
from scattering.arguments import Parser, add_frame_options, command, frame_options, output_file, program
from scattering.errors import InputError
from scattering.outputs import add_overwrite, check_output, is_picture_of
from scattering.progress import shown
from scattering.reading.locations import known_files
from scattering.survey.findings import Findings, check_all_read, identify
from scattering.writing.stacks import WRITABLE, output_paths

__all__ = ["Model", "load", "main"]

LOOK_EVERY = 1.0
"""Seconds between looks into a watched folder; a file that has not changed in between is taken to be whole."""

AGAIN = 4
"""Looks after which files that could not be read are tried again."""

MASTER, PART = "_master.h5", re.compile(r"(.+)_data_\d+\.h5")
"""How detectors by Dectris name what they write."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Fill files; returns the exit code: 2 as well where some of them were refused."""
    return command(lambda: _run(parser().parse_args(arguments)))


def parser() -> Parser:
    """Return the parser of the command line."""
    p = Parser(prog=program("fill", "search.inpaint"), description=__doc__)
    p.add_argument("model", metavar="RUN_OR_MODEL", help="folder of a run, as runs/NAME, or a model file")
    p.add_argument(
        "files", nargs="*", metavar="FILE", help="files, folders, globs, or paths in HDF5: scan.h5::/entry/data/data"
    )
    p.add_argument("--watch", type=Path, metavar="FOLDER", help="fill files as they arrive in FOLDER, until Ctrl-C")
    p.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT",
        help=f"folder to write to; or, of one file, a file: its suffix ({' '.join(WRITABLE)}) says the format",
    )  # fmt: skip
    p.add_argument(
        "--max-uncertainty", type=float, default=MAX_UNCERTAINTY, metavar="SHARE",
        help="leave a pixel unfilled where the model is less certain than this share of the counts, their own noise "
        f"apart (default: {MAX_UNCERTAINTY:g})",
    )  # fmt: skip
    p.add_argument(
        "--force", action="store_true",
        help="fill frames that are unlike those of the training, and pixels farther from measured ones than there; "
        "it is noted in what is written",
    )  # fmt: skip
    p.add_argument("--device", help="where PyTorch computes: cpu, cuda, cuda:1, mps (default: a GPU if there is one)")
    p.add_argument(
        "--picture", type=output_file, metavar="FILE.png", help="write a picture of the first frame, before and after"
    )
    add_overwrite(p)
    add_frame_options(p, ("mask", "pedestal", "poni", "beam"))
    return p


def _run(given: argparse.Namespace) -> None:
    if bool(given.files) == (given.watch is not None):
        raise InputError("frames are given as FILEs, or arrive in --watch FOLDER: say one of them")
    if not 0 <= given.max_uncertainty < math.inf:
        raise InputError(f"--max-uncertainty must be a share of the counts, 0 or more, got {given.max_uncertainty}")
    pictures = [given.picture] if given.picture else []
    filler = FileFiller(
        load(given.model, given.device),
        frame_options(given),
        given.max_uncertainty,
        given.force,
        given.overwrite,
        pictures,
    )
    if given.watch is not None:
        _check_picture(given, ())
        _watch(filler, given.watch, given.output)
    else:
        findings = identify(given.files, filler.options, locate=filler.model.looks_at_rings)
        _check_picture(given, findings.names)
        for note in findings.notes:
            print(note, file=sys.stderr)
        with shown(len(findings), "filling") as progress:
            refused = _fill(filler, findings, _paths(findings, given.output), progress)
        if refused:
            raise InputError(f"{refused} of {len(findings.stacks)} files were not filled: see above")
        check_all_read(findings)


def _check_picture(given: argparse.Namespace, names: Sequence[str]) -> None:
    """Raise InputError where the picture would replace anything but an earlier one of these frames."""
    if given.picture:
        check_output(
            given.picture, lambda path: any(is_picture_of(name)(path) for name in names), overwrite=given.overwrite
        )


def _paths(findings: Findings, output: Path) -> list[Path]:
    """Name what is written, one file a stack: `output` itself where it says a format, else files in this folder."""
    suffixes = {*WRITABLE, *(stack.location.path.suffix.lower() for stack in findings.stacks)} - {""}
    if output.suffix.lower() not in suffixes or output.is_dir():
        return output_paths(findings.stacks, output)
    if len(findings.stacks) > 1:
        raise InputError(f"-o must name a folder for {len(findings.stacks)} files, got the file {output}")
    return [output]


def _fill(filler: FileFiller, findings: Findings, paths: Sequence[Path], progress: Callable[[int], None]) -> int:
    """Fill all that was found; returns how many files were refused, and prints why."""
    refused = done = 0
    for number, (stack, path) in enumerate(zip(findings.stacks, paths, strict=True)):
        try:
            for note in stack.unclear:
                print(f"{stack.location}: {note}", file=sys.stderr, flush=True)
            summary = filler.fill(findings, number, path, partial(_add, progress, done))
            print(f"{path}: {summary}", flush=True)
        except InputError as error:
            refused += 1
            print(f"{stack.location}: {error}", file=sys.stderr, flush=True)
        done += len(stack)
        progress(done)
    return refused


def _add(progress: Callable[[int], None], before: int, done: int) -> None:
    progress(before + done)


def _watch(filler: FileFiller, folder: Path, output: Path) -> None:
    """Fill files as they arrive in a folder, also those that are there already; until Ctrl-C.

    What could not be read is tried again: a master file comes before its frames, and a file may still be held open.
    """
    if not folder.is_dir():
        raise InputError(f"--watch must name a folder, got {folder}: make it, then begin to measure")
    if output.resolve() == folder.resolve():
        raise InputError(f"-o must be another folder than the one watched, got {output}")
    print(f"watching {folder}: Ctrl-C ends it", flush=True)
    failed: dict[Path, str] = {}
    for look, arrived in enumerate(_arrivals(folder)):
        again = [] if look % AGAIN else [path for path in failed if path not in arrived and path.exists()]
        for path in (*arrived, *again):
            try:
                findings = identify([str(path)], filler.options, locate=filler.model.looks_at_rings)
                if any(stack.missing for stack in findings.stacks):
                    raise InputError(findings.notes[-1])
                paths = output_paths(findings.stacks, output, more_to_come=True)
            except InputError as error:
                if failed.get(path) != str(error):
                    print(f"{path}: {error}", file=sys.stderr, flush=True)
                failed[path] = str(error)
            else:
                failed.pop(path, None)
                _fill(filler, findings, paths, lambda done: None)


def _arrivals(folder: Path) -> Iterator[list[Path]]:
    """Give at each look the files of a known format that do not change any more, once, and again when they have.

    Raises InputError once the folder cannot be read.
    """
    before: dict[Path, tuple[int, int]] = {}
    given: dict[Path, tuple[int, int]] = {}
    while True:
        now = {}
        try:
            there = known_files(folder)
        except OSError as error:
            raise InputError(f"--watch must name a folder that can be read, got {folder}: {error.strerror}") from None
        masters = {path.name.removesuffix(MASTER) for path in there if path.name.endswith(MASTER)}
        for path in there:
            part = PART.fullmatch(path.name)
            if part and part[1] in masters:
                continue  # its frames are read by way of their master, which knows the mask
            with suppress(FileNotFoundError):
                status = path.stat()
                now[path] = (status.st_size, status.st_mtime_ns)
        ready = [path for path, state in now.items() if state == before.get(path) and state != given.get(path)]
        given |= {path: now[path] for path in ready}
        yield ready
        before = now
        time.sleep(LOOK_EVERY)


if __name__ == "__main__":
    sys.exit(main())
