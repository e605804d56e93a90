"""Damage files at random and read them: `python -m tests.scattering.reading.fuzzing FOLDER CHANGES SEED`.

Prints one line a format: how many were refused, how many read. A file that is neither refused with one line nor read
as what it declares is printed, and the exit code is 1; a crash or a hang ends the process with the stack.
"""

import bz2
import faulthandler
import gzip
import re
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from scattering.errors import InputError
from scattering.reading.stacks import open_stacks, read
from tests.scattering.reading.writing import WRITERS, packed

MEMORY = 6 * 2**30
SECONDS = 5
HEADER = 600


def truncate(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(len(content))]


def flip_anywhere(content: bytes, rng: np.random.Generator) -> bytes:
    return flip(content, rng, len(content))


def flip_in_header(content: bytes, rng: np.random.Generator) -> bytes:
    return flip(content, rng, min(HEADER, len(content)))


def flip(content: bytes, rng: np.random.Generator, end: int) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.integers(1, 9)):
        changed[rng.integers(end)] ^= 1 << rng.integers(8)
    return bytes(changed)


def lie(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a number of the header, written out or as four bytes."""
    lies = (0, 1, -1, 7, 65535, 2**31 - 1, 99999999999)
    number = lies[rng.integers(len(lies))]
    written = list(re.finditer(rb"\d+", content[:HEADER]))
    if written and rng.random() < 0.7:
        place = written[rng.integers(len(written))]
        text = str(number).encode()
        # Where places count, the rest must stay where it was.
        text = text.ljust(len(place[0])) if rng.random() < 0.5 else text
        return content[: place.start()] + text + content[place.end() :]
    start = int(rng.integers(max(1, min(HEADER, len(content)) - 4)))
    return content[:start] + (number & 0xFFFFFFFF).to_bytes(4, "little") + content[start + 4 :]


CHANGES: tuple[Callable[[bytes, np.random.Generator], bytes], ...] = (truncate, flip_anywhere, flip_in_header, lie)


def samples(folder: Path, rng: np.random.Generator) -> Iterator[Path]:
    counts = rng.poisson(rng.uniform(0, 3000, (24, 20))).astype(np.uint16)
    for suffix, (writer, _) in WRITERS.items():
        path = folder / f"sound.{suffix}"
        writer(path, counts)
        yield path
    for packer in (gzip.compress, bz2.compress):
        yield packed(folder / "sound.cbf", packer)


def read_all(path: Path) -> int:
    """Read a file; returns its frames. Raises AssertionError for what it did not declare."""
    frames = 0
    for stack in open_stacks([str(path)]):
        # Thousands of frames of a lying file say no more than a few.
        for recorded in read(stack, range(min(len(stack), 4))):
            assert (recorded.counts.shape, recorded.counts.dtype) == (stack.shape, stack.dtype)
            assert recorded.counts.dtype.kind in "iuf"
            assert recorded.invalid is None or recorded.invalid.shape == stack.shape
            frames += 1
    return frames


def main() -> int:
    folder, changes, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    faulthandler.enable()
    rng = np.random.default_rng(seed)
    wrong = 0
    for sound in list(samples(folder, rng)):
        assert read_all(sound) == 1
        content, refused = sound.read_bytes(), 0
        path = sound.with_name(sound.name.replace("sound", "damaged"))
        for number in range(changes):
            path.write_bytes(CHANGES[number % len(CHANGES)](content, rng))
            said = f"{path.name} {number}, {CHANGES[number % len(CHANGES)].__name__}"
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            signal.alarm(3 * SECONDS)  # a decoder that holds the lock
            try:
                read_all(path)
            except InputError as error:
                refused += 1
                if "\n" in str(error) or path.name not in str(error):
                    wrong += 1
                    print(f"not one line with the file's name: {said}: {error!r}")
            except BaseException as error:
                wrong += 1
                print(f"{type(error).__name__}: {said}: {error}")
                traceback.print_exc(file=sys.stdout)
            faulthandler.cancel_dump_traceback_later()
            signal.alarm(0)
        print(f"{sound.name}: {refused} of {changes} refused")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
