"""Damage files at random, fill what can still be read, and read it again.

`python -m tests.scattering.writing.fuzzing FOLDER CHANGES SEED` prints one line a format: how many were read, and how
many of them written. A file that is neither refused with one line nor written as it was filled, and one that is left
though it was refused, is printed, and the exit code is 1; a crash or a hang ends the process with the stack.
"""

import faulthandler
import math
import resource
import shutil
import sys
import traceback
from pathlib import Path

import numpy as np

from scattering.errors import InputError
from scattering.reading.locations import Location
from scattering.reading.stacks import Stack, open_stacks, read
from scattering.writing.hdf5 import FRAMES
from scattering.writing.paths import output_paths
from scattering.writing.stacks import write_filled
from tests.scattering.reading.fuzzing import CHANGES, MEMORY, samples
from tests.scattering.writing.filling import fill

SECONDS = 20
PIXELS = 10**6
"""Of what lies about its size, no more is filled."""


def readable(path: Path) -> list[Stack]:
    try:
        stacks = open_stacks([str(path)])
        few = [stack for stack in stacks if len(stack) * math.prod(stack.shape) <= PIXELS]
        for stack in few:
            for _ in read(stack, range(len(stack))):
                pass
    except InputError:
        return []
    return few


def write(stack: Stack, output: Path) -> bool:
    """Fill and write; whether it was not refused. Raises AssertionError for what is not as it was filled."""
    try:
        files = write_filled(stack, output, fill(stack), {})
    except InputError as error:
        assert "\n" not in str(error), error
        assert not output.parent.exists() or not list(output.parent.iterdir())
        return False
    assert sorted(output.parent.iterdir()) == sorted(files)
    # Of one row or column, no array is taken for images unless it is named.
    inside = stack.location.inside or (FRAMES if output.suffix == ".nxs" else "")
    (back,) = open_stacks([str(Location(output, inside))])
    for frame, found in zip(fill(stack), read(back, range(len(back))), strict=True):
        assert found.counts.tobytes() == frame.counts.tobytes()
    return True


def main() -> int:
    folder, changes, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    faulthandler.enable()
    rng = np.random.default_rng(seed)
    wrong = 0
    for sound in list(samples(folder, rng)):
        content, found, written = sound.read_bytes(), 0, 0
        path = sound.with_name(sound.name.replace("sound", "damaged"))
        for number in range(changes):
            path.write_bytes(CHANGES[number % len(CHANGES)](content, rng))
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            try:
                for stack in readable(path):
                    shutil.rmtree(folder / "out", ignore_errors=True)
                    (output,) = output_paths([stack], folder / "out")
                    found += 1
                    written += write(stack, output)
            except BaseException as error:
                wrong += 1
                print(f"{type(error).__name__}: {path.name} {number}: {error}")
                traceback.print_exc(file=sys.stdout)
            faulthandler.cancel_dump_traceback_later()
        print(f"{sound.name}: {found} of {changes} read, {written} of them written")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
