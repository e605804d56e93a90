"""From what was found in detector files to the file of a data set: frame by frame, on many cores, resumable.

The work may be ended at any moment. A journal beside the unfinished file says what is being prepared; frames whose
digest fits what was written of them are not prepared again.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cached_property, lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from scattering import dataset_file
from scattering.dataset import Recipe, check_gaps, frame_digest, prepare_frame, recipe
from scattering.dataset_file import Slots
from scattering.dataset_layout import Skeleton, Sources, create, row_shapes
from scattering.detectors import Detector
from scattering.errors import InputError
from scattering.preprocessing import FULL_SCALE
from scattering.split import assign
from scattering.survey.findings import Findings, Sensor, read_raw

Job = TypeVar("Job")
Result = TypeVar("Result")
Prepared = tuple[dict[str, npt.NDArray[Any]], bytes]

BATCH, BATCH_BYTES = 8, 32e6
"""Frames that a task gives back at once; fewer where they are larger together, if one is not."""


class Tasks(Protocol):
    """Does jobs, as `map` does: results come in the order of the jobs, which are taken few at a time."""

    def __call__(self, function: Callable[[Job], Result], jobs: Iterable[Job], /) -> Iterator[Result]:
        """Do them."""
        ...


@dataclass(frozen=True)
class Plan:
    """Everything that decides what the file will hold."""

    findings: Findings
    shape: tuple[int, int]
    """Working size, (rows, columns)."""
    seed: int
    """Of the split."""
    parts: tuple[str, ...]
    """What each frame is for."""
    recipe: Recipe
    clean: bool
    """Whether the noise-free intensity of all frames is known: they are simulated."""
    folder: Path
    """Where the paths of files begin: workers on other machines start elsewhere."""

    def labels(self, frame: int) -> tuple[str, ...]:
        """Return the labels of one frame."""
        found = self.findings
        return found.names[frame], found.groups[frame], found.categories[frame], self.parts[frame]

    @cached_property
    def skeleton(self) -> Skeleton:
        """The data set without its frames."""
        found, layout = self.findings, self.recipe.layout
        paths = list(dict.fromkeys(stack.location.path for stack in found.stacks))
        title = paths[0].name if len(paths) == 1 else f"{len(paths)} files, {paths[0].name} to {paths[-1].name}"
        settings = {
            "title": title,
            "simulated": self.clean,
            "detector": found.target.name,
            "native": list(found.native),
            "size": list(self.shape),
            "seed": self.seed,
            "full_scale": FULL_SCALE,
            "options": {name: value for name, value in asdict(found.options).items() if value is not None},
        }
        strips = (len(layout.gapped), len(layout.free), self.shape[0], self.recipe.strip_width)
        return Skeleton(
            settings=settings,
            gap=found.target.gap_for(self.shape),
            strip_starts=self.recipe.strip_starts,
            labels={
                "names": found.names, "groups": found.groups, "categories": found.categories, "parts": self.parts,
            },
            rows=row_shapes(self.shape, strips, self.clean),
            sources=Sources(tuple(str(stack.location) for stack in found.stacks), found.places),
        )  # fmt: skip

    @cached_property
    def key(self) -> str:
        """SHA-256 of the plan, of the state of its sources and of the code that follows it."""
        found, skeleton = self.findings, self.skeleton
        told = [code_version(), skeleton.settings, skeleton.labels, skeleton.sources, found.pedestals, self.stamps()]
        digest = hashlib.sha256(json.dumps(told).encode())
        digest.update(repr(sorted(found.geometries.items())).encode())
        things: list[Detector | Sensor] = [found.target, *(found.sensors[shape] for shape in sorted(found.sensors))]
        for thing in things:
            for value in (getattr(thing, field.name) for field in fields(thing)):
                digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
        return digest.hexdigest()

    def stamps(self) -> list[tuple[str, int, int]]:
        """Path, size and time of the last change of every file that is read.

        Raises InputError for a file that is gone.
        """
        files = self.findings.files
        try:
            states = [path.stat() for path in files]
        except OSError as error:
            raise InputError(f"files must stay where they are while they are read: {error}") from None
        return [(str(path), state.st_size, state.st_mtime_ns) for path, state in zip(files, states, strict=True)]


def plan(findings: Findings, shape: tuple[int, int], seed: int) -> Plan:
    """Decide how what was found is prepared for the working `shape`, (rows, columns), and split by `seed`.

    Raises InputError for a shape that windows cannot be cut from.
    """
    check_gaps(findings.target, shape)
    narrowest = min(stack.shape[1] for stack in findings.stacks)
    # Files of detectors have no such frames: the first one is all that is read here.
    firsts: dict[int, int] = {}
    for frame, place in enumerate(findings.places):
        firsts.setdefault(place.stack, frame)
    clean = all(raw.clean is not None for raw in read_raw(findings, tuple(firsts.values())))
    common = recipe(findings.target, shape, narrowest)
    for stack in findings.stacks:
        common.gap(stack.shape)  # not in every task again
    return Plan(findings, shape, seed, assign(findings.groups, seed), common, clean, Path.cwd())


APART = (
    "arguments.py", "cores.py", "errors.py", "files.py", "look.py", "merge.py", "outputs.py", "prepare.py",
    "progress.py", "provenance.py", "simulate.py", "filling", "writing", "contact_sheet.py",
)  # fmt: skip
"""Files and folders of this package that have no part in the making of a data set."""

LIBRARIES = ("fabio", "h5py", "hdf5plugin", "numpy", "pyFAI", "scipy", "tifffile", "torch")
"""Libraries that have one: readers, detectors, resizing, random streams."""


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return the SHA-256 of the code that makes data sets, docstrings and comments aside, and of its libraries."""
    digest = hashlib.sha256(json.dumps([version(name) for name in LIBRARIES]).encode())
    package = Path(__file__).parent
    for source in sorted(package.rglob("*.py")):
        if not set(source.relative_to(package).parts) & set(APART):
            digest.update(_code(source.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()


def _code(source: str) -> str:
    """Return code without all that says nothing to the computer."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                one for one in body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
            ]
    return ast.dump(tree)


def prepare(
    todo: Plan, path: Path, *, tasks: Tasks = map, progress: Callable[[int], None] = lambda done: None
) -> str:
    """Write the data set that is planned, go on with it where it was begun; returns its fingerprint.

    `progress` is told how many frames are done, first of all those of an earlier time.
    Raises InputError where sources cannot be read, the file cannot be written, or another process writes it.
    """
    if path.resolve() in todo.findings.files:
        raise InputError(f"a data set must not take the place of its frames, got {path}: give it another name")
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path.with_name(f".{path.name}.journal"), path) as journal:
            begun = _begun(temporary, journal, todo)
            if not begun:
                _begin(temporary, journal, todo)
            with dataset_file.slots(temporary) as places:
                _fill(places, todo, begun, tasks, progress)
                fingerprint = places.finish(FULL_SCALE, todo.skeleton)
            temporary.replace(path)
            _sync(path.parent)
            Path(journal.name).unlink()
    except OSError as error:
        raise InputError(f"cannot write the data set {path}: {error.strerror or error}") from None
    return fingerprint


@contextmanager
def _alone(journal: Path, path: Path) -> Iterator[IO[str]]:
    """Open the journal and keep others from it; the lock goes with the process that holds it."""
    with journal.open("a+", encoding="ascii", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = os.fstat(file.fileno()).st_nlink > 0  # else it ended in between, and its journal with it
        except BlockingIOError:
            free = False
        except OSError:
            free = True  # a file system without locks
        if not free:
            raise InputError(
                f"a data set is prepared by one command at a time, got {path}, which another one writes: wait for it"
            )
        yield file


def _begun(temporary: Path, journal: IO[str], todo: Plan) -> bool:
    """Tell whether the same work was begun earlier."""
    journal.seek(0)
    if journal.read() != todo.key:
        return False
    try:
        with dataset_file.slots(temporary):
            return True
    except (OSError, ValueError, KeyError, RuntimeError):
        return False


def _begin(temporary: Path, journal: IO[str], todo: Plan) -> None:
    journal.truncate(0)
    temporary.unlink(missing_ok=True)
    try:
        create(temporary, todo.skeleton)
    except OSError:
        temporary.unlink(missing_ok=True)
        Path(journal.name).unlink()
        raise
    journal.write(todo.key)
    journal.flush()


def _fill(places: Slots, todo: Plan, begun: bool, tasks: Tasks, progress: Callable[[int], None]) -> None:
    count = len(todo.findings)
    missing: Sequence[int] = range(count)
    if begun:
        with ThreadPoolExecutor() as threads:
            whole = list(threads.map(lambda frame: places.holds(frame, todo.labels(frame)), range(count)))
        missing = [frame for frame in range(count) if not whole[frame]]
    done = count - len(missing)
    progress(done)
    stamps = todo.stamps()
    size = max(1, min(BATCH, int(BATCH_BYTES * count / todo.skeleton.size)))
    batches = [missing[first : first + size] for first in range(0, len(missing), size)]
    try:
        for frames, prepared in zip(batches, tasks(partial(_prepare, todo), batches), strict=True):
            for frame, (rows, digest) in zip(frames, prepared, strict=True):
                places.put(frame, rows, digest)
            done += len(frames)
            progress(done)
        _hash_sources(places, todo)
    except InputError as error:
        if not done:
            raise
        kept = f"{done} of {count} frames are kept for the same command on the same files"
        raise InputError(f"{error}; {kept}") from None
    if todo.stamps() != stamps:
        raise InputError("files must not change while they are read, and some did: prepare them again")


def _hash_sources(places: Slots, todo: Plan) -> None:
    """Write the SHA-256 of what each stack was read from."""
    stacks = todo.findings.stacks
    unknown = [number for number in range(len(stacks)) if not places.has_source(number)]
    # Hashing leaves Python to the other threads.
    with ThreadPoolExecutor() as threads:
        for number, sha256 in zip(unknown, threads.map(lambda n: _sha256(stacks[n].files), unknown), strict=True):
            places.put_source(number, sha256)


def _prepare(todo: Plan, frames: Sequence[int]) -> list[Prepared]:
    found = []
    if not todo.folder.is_dir():
        raise InputError(f"every machine must see the folder {todo.folder}, where the frames are, got one without it")
    with chdir(todo.folder):
        for frame, raw in zip(frames, read_raw(todo.findings, frames), strict=True):
            rows = prepare_frame(raw, todo.recipe)
            if not todo.clean:
                rows.pop("clean", None)
            found.append((rows, frame_digest(todo.labels(frame), rows)))
    return found


def _sha256(files: Sequence[Path]) -> str:
    """SHA-256 of files, one after another, in hexadecimal.

    Raises InputError where one cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in files:
            with path.open("rb") as file:
                while part := file.read(2**20):
                    digest.update(part)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    return digest.hexdigest()


def _sync(folder: Path) -> None:
    """Let a new name in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
