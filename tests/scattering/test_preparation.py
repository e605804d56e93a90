import errno
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import h5py
import numpy as np
import pytest

from scattering import preparation
from scattering.arguments import Options
from scattering.dataset import ARRAYS, build
from scattering.dataset_file import read
from scattering.dataset_layout import _reserve
from scattering.detectors import detector
from scattering.errors import InputError
from scattering.preparation import plan, prepare
from scattering.survey.findings import read_raw, survey

SHAPE = (210, 185)
"""An eighth of the detector whose gaps are laid over it."""
SIZE = (64, 128)
FRAMES, FILES, BATCH = 3, 3, 2


def save(path: Path, frames: np.ndarray, **arrays) -> Path:
    with h5py.File(path, "w") as file:
        file["frames"] = frames
        for name, array in arrays.items():
            file[name] = array
    return path


def fill(folder: Path) -> None:
    for number in range(FILES):
        frames = np.random.default_rng(number).poisson(30, (FRAMES, *SHAPE)).astype(np.uint16)
        save(folder / f"film_{number}.h5", frames)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Some files of a few frames, beside which everything is done; they are named from here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preparation, "BATCH", BATCH)
    fill(tmp_path)
    return tmp_path


def planned(*patterns: str, shape=SIZE, seed=0, **options):
    return plan(survey(patterns or ["film_*.h5"], Options(detector="Pilatus2M", **options)), shape, seed)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The bytes of a file that was made in one go."""
    with chdir(tmp_path_factory.mktemp("undisturbed")):
        fill(Path.cwd())
        prepare(planned(), Path("data.h5"))
        return Path("data.h5").read_bytes()


class Recorded:
    """`map` that knows how many frames were asked for, and ends after some jobs if it is told to."""

    def __init__(self, jobs: int | None = None, error: BaseException | None = None) -> None:
        self.left, self.error, self.frames = jobs, error, 0

    def __call__(self, function, jobs):
        for job in jobs:
            if self.left == 0 and self.error is not None:
                raise self.error
            if self.left is not None:
                self.left -= 1
            if not isinstance(job, Path):
                self.frames += len(job)
            yield function(job)


def interrupted(jobs: int, error: BaseException, path=Path("data.h5")):
    with pytest.raises(type(error)) as caught:
        prepare(planned(), path, tasks=Recorded(jobs, error))
    return caught


def test_the_file_holds_what_building_in_memory_gives(folder):
    todo = planned()
    said = prepare(todo, Path("data.h5"))
    found = todo.findings
    frames = read_raw(found, range(len(found)))
    built = build(frames, detector("Pilatus2M"), SIZE, todo.skeleton.settings, SHAPE[1])
    data = read(Path("data.h5"))
    assert said == data.fingerprint() == built.fingerprint()
    assert (data.settings, data.parts, len(data)) == (built.settings, built.parts, FRAMES * FILES)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(data, name), getattr(built, name))
    assert data.windows.gapped and data.strips.any()


def test_the_same_frames_give_the_same_bytes(folder, undisturbed):
    os.utime("film_1.h5")
    prepare(planned(), Path("elsewhere/data.h5"))
    assert Path("elsewhere/data.h5").read_bytes() == undisturbed
    assert sorted(path.name for path in Path("elsewhere").iterdir()) == ["data.h5"]


def test_the_file_says_where_its_frames_are_from(folder, undisturbed):
    Path("data.h5").write_bytes(undisturbed)
    with h5py.File("data.h5") as file:
        paths = [path.removesuffix("::/frames") for path in file["sources/path"].asstr()[()]]
        assert paths == [f"film_{number}.h5" for number in range(FILES)]
        hashes = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]
        assert list(file["sources/sha256"].asstr()[()]) == hashes
        expected = [[number, frame] for number in range(FILES) for frame in range(FRAMES)]
        assert file["sources/frames"][()].tolist() == expected
        settings = json.loads(file["settings"].asstr()[0])
    assert settings["size"] == [64, 128]
    assert settings["options"] == {"detector": "Pilatus2M"}


def test_progress_is_told_from_none_to_all(folder):
    told = []
    prepare(planned(), Path("data.h5"), progress=told.append)
    assert told[0] == 0
    assert told[-1] == FRAMES * FILES
    assert told == sorted(set(told))


@pytest.mark.parametrize(
    ("jobs", "error"),
    [(0, KeyboardInterrupt()), (3, InputError("the cable was pulled"))],
    ids=str,
)
def test_a_stopped_preparation_goes_on_where_it_was(folder, undisturbed, error, jobs):
    interrupted(jobs, error)
    assert not Path("data.h5").exists()
    tasks, told = Recorded(), []
    prepare(planned(), Path("data.h5"), tasks=tasks, progress=told.append)
    kept = jobs * BATCH
    assert (told[0], tasks.frames) == (kept, FRAMES * FILES - kept)
    assert Path("data.h5").read_bytes() == undisturbed
    assert not list(folder.glob(".*"))


def test_hashes_of_sources_are_not_made_again(folder, undisturbed, monkeypatch):
    hashed, sha256 = [], preparation._sha256

    def stopped(files):
        if files == planned().findings.stacks[2].files:
            raise KeyboardInterrupt
        return sha256(files)

    def recorded(files):
        hashed.append(files)
        return sha256(files)

    monkeypatch.setattr(preparation, "_sha256", stopped)
    with pytest.raises(KeyboardInterrupt):
        prepare(planned(), Path("data.h5"))
    monkeypatch.setattr(preparation, "_sha256", recorded)
    prepare(planned(), Path("data.h5"))
    assert len(hashed) == FILES - 2
    assert Path("data.h5").read_bytes() == undisturbed


def test_a_data_set_does_not_take_the_place_of_its_frames(folder):
    source = next(iter(folder.glob("film_*.h5")))
    counts = source.read_bytes()
    with pytest.raises(InputError, match="must not take the place of its frames"):
        prepare(planned(), source)
    assert source.read_bytes() == counts


def test_what_was_damaged_in_between_is_made_again(folder, undisturbed):
    interrupted(3, KeyboardInterrupt())
    unfinished = folder / ".data.h5.part"
    with h5py.File(unfinished) as file:
        place = file["valid"].id.get_offset() + 5 * SIZE[0] * SIZE[1]
    with unfinished.open("r+b") as file:
        file.seek(place)
        file.write(b"\0\0\0")
    tasks = Recorded()
    prepare(planned(), Path("data.h5"), tasks=tasks)
    assert tasks.frames == FRAMES * FILES - 3 * BATCH + 1
    assert Path("data.h5").read_bytes() == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "gone", "text"])
def test_an_unfinished_file_that_is_none_is_begun_anew(folder, undisturbed, damage):
    interrupted(3, KeyboardInterrupt())
    unfinished = folder / ".data.h5.part"
    if damage == "gone":
        unfinished.unlink()
    else:
        unfinished.write_bytes(b"text" if damage == "text" else unfinished.read_bytes()[:5000])
    prepare(planned(), Path("data.h5"))
    assert Path("data.h5").read_bytes() == undisturbed


@pytest.mark.slow
def test_two_preparations_of_one_file_are_refused(folder, undisturbed):
    refused = []

    def second(done: int) -> None:
        with pytest.raises(InputError, match="one command at a time") as caught:
            prepare(planned(), Path("data.h5"))
        refused.append(str(caught.value))

    prepare(planned(), Path("data.h5"), progress=second)
    assert len(refused) > 3
    assert "\n" not in refused[0]
    assert Path("data.h5").read_bytes() == undisturbed


def test_a_journal_that_ended_while_it_was_opened_is_no_lock(folder, monkeypatch):
    import fcntl

    def gone(file, how):
        Path(".data.h5.journal").unlink()

    monkeypatch.setattr(fcntl, "flock", gone)
    with pytest.raises(InputError, match="one command at a time"):
        prepare(planned(), Path("data.h5"))


def test_room_is_reserved_in_a_file_that_is_not_opened_for_appending(tmp_path, monkeypatch):
    """Where the file system cannot reserve, as NFS, glibc writes at places instead, and fails there with EBADF."""
    flags = []
    monkeypatch.setattr(os, "posix_fallocate", lambda file, *_: flags.append(fcntl.fcntl(file, fcntl.F_GETFL)))
    _reserve(tmp_path / "new", 100)
    assert not any(one & os.O_APPEND for one in flags)
    assert flags


def test_a_full_disk_is_noticed_before_any_frame_is_read(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    tasks = Recorded()
    with pytest.raises(InputError, match=r"cannot write the data set data.h5: No space left") as caught:
        prepare(planned(), Path("data.h5"), tasks=tasks)
    assert "\n" not in str(caught.value)
    assert tasks.frames == 0
    assert not list(folder.glob(".*"))


def test_a_disk_that_fills_up_on_the_way_loses_nothing(folder, undisturbed, monkeypatch):
    write, left = os.pwrite, [50]

    def fills(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments)

    monkeypatch.setattr(os, "pwrite", fills)
    with pytest.raises(InputError, match="No space left"):
        prepare(planned(), Path("data.h5"))
    monkeypatch.setattr(os, "pwrite", write)
    tasks = Recorded()
    prepare(planned(), Path("data.h5"), tasks=tasks)
    assert 0 < tasks.frames < FRAMES * FILES
    assert Path("data.h5").read_bytes() == undisturbed


def test_a_source_that_vanishes_is_said_in_one_line(folder, undisturbed):
    kept, state = Path("film_2.h5").read_bytes(), Path("film_2.h5").stat()

    def vanish(done: int) -> None:
        if done == 2 * BATCH:
            Path("film_2.h5").unlink()

    with pytest.raises(InputError, match=r"film_2.*; 6 of 9 frames are kept for the same command") as caught:
        prepare(planned(), Path("data.h5"), progress=vanish)
    assert "\n" not in str(caught.value)
    Path("film_2.h5").write_bytes(kept)
    os.utime("film_2.h5", ns=(state.st_atime_ns, state.st_mtime_ns))
    tasks = Recorded()
    prepare(planned(), Path("data.h5"), tasks=tasks)
    assert tasks.frames == FRAMES * FILES - 3 * BATCH
    assert Path("data.h5").read_bytes() == undisturbed


def test_a_source_that_changes_on_the_way_is_refused(folder):
    with pytest.raises(InputError, match="files must not change while they are read"):
        prepare(planned(), Path("data.h5"), progress=lambda done: os.utime("film_0.h5"))
    assert not Path("data.h5").exists()


@pytest.mark.slow
def test_noise_free_frames_are_kept_where_all_have_them(folder):
    frames = np.random.default_rng(9).poisson(30, (3, *SHAPE)).astype(np.uint16)
    save(folder / "simulated.h5", frames, clean=np.full(frames.shape, 30.0, np.float32))
    prepare(planned("simulated.h5"), Path("data.h5"))
    data = read(Path("data.h5"))
    assert data.clean is not None
    assert data.settings["simulated"]
    np.testing.assert_allclose(data.clean, np.log1p(30) / np.log1p(2.0**20), rtol=1e-5)
    for patterns in (["simulated.h5", "film_0.h5"], ["film_0.h5", "simulated.h5"]):
        prepare(planned(*patterns), Path("data.h5"))
        assert read(Path("data.h5")).clean is None
        assert not read(Path("data.h5")).settings["simulated"]


MEMORY = """
import resource
from pathlib import Path
from scattering.preparation import plan, prepare
from scattering.arguments import Options
from scattering.survey.findings import survey
def peak(pattern):
    prepare(plan(survey([pattern], Options(detector="Pilatus2M")), (512, 512), 0), Path("data.h5"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
few = peak("film_0.h5")
print(peak("many.h5") - few)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_frames(folder):
    with h5py.File("many.h5", "w") as file:
        frames = file.create_dataset("frames", (120, *SHAPE), np.uint16, chunks=(1, *SHAPE))
        for number in range(len(frames)):
            frames[number] = np.random.default_rng(number).poisson(30, SHAPE)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path("data.h5").stat().st_size > 300e6
    assert float(done.stdout) < 60


@pytest.mark.slow
def test_another_plan_has_another_key_and_begins_anew(folder, monkeypatch):
    interrupted(2, KeyboardInterrupt())
    np.save("mask.npy", np.eye(*SHAPE, dtype=bool))
    with h5py.File("linked.h5", "w") as file:
        file["frames"] = h5py.ExternalLink("film_2.h5", "/frames")
    given = [{}, {"seed": 5}, {"shape": (64, 256)}, {"group_by": "film"}, {"mask": "mask.npy"}]
    keys = [planned(**options).key for options in given]
    assert keys[0] == planned().key
    keys += [planned("film_[0-1].h5").key, planned("linked.h5").key]
    np.save("other.npy", np.eye(*SHAPE, 5, dtype=bool))
    Path("other.npy").replace("mask.npy")
    with h5py.File("film_2.h5", "r+") as file:
        file["frames"][0] = 7
    keys += [planned(mask="mask.npy").key, planned().key, planned("linked.h5").key]
    with monkeypatch.context() as patched:
        patched.setattr(preparation, "code_version", lambda: "another")
        keys.append(planned().key)
    assert len(set(keys)) == len(keys)
    tasks = Recorded()
    assert prepare(planned(), Path("data.h5"), tasks=tasks) == read(Path("data.h5")).fingerprint()
    assert tasks.frames == FRAMES * FILES


def test_names_that_differ_in_their_suffix_alone_share_nothing(folder, undisturbed):
    with pytest.raises(KeyboardInterrupt):
        prepare(planned(), Path("data.hdf5"), tasks=Recorded(1, KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        prepare(planned(), Path("data.h5"), tasks=Recorded(2, KeyboardInterrupt()))
    assert len(list(folder.glob(".data.*.part"))) == 2
    prepare(planned(), Path("data.h5"))
    assert Path("data.h5").read_bytes() == undisturbed


def test_counts_in_linked_files_belong_to_the_plan(folder):
    counts = np.random.default_rng(0).poisson(50, (4, *SHAPE)).astype(np.int32)
    with h5py.File("linked_data.h5", "w") as file:
        file["counts"] = counts
    with h5py.File("linked_master.h5", "w") as file:
        file["frames"] = h5py.ExternalLink("linked_data.h5", "/counts")
    before = planned("linked_master.h5").key
    with h5py.File("linked_data.h5", "r+") as file:
        file["counts"][0] = 7
    assert planned("linked_master.h5").key != before


@pytest.mark.parametrize(
    "change",
    ["touched", "seed", "size", "code", "one file less", "option"],
)
def test_another_plan_begins_anew(folder, change, monkeypatch):
    interrupted(2, KeyboardInterrupt())
    arguments = {"seed": {"seed": 5}, "size": {"shape": (64, 256)}, "option": {"group_by": "film"}}.get(change, {})
    if change == "touched":
        os.utime("film_2.h5")
    if change == "code":
        monkeypatch.setattr(preparation, "code_version", lambda: "another")
    todo = planned(*(["film_[01].h5"] if change == "one file less" else []), **arguments)
    tasks = Recorded()
    assert prepare(todo, Path("data.h5"), tasks=tasks) == read(Path("data.h5")).fingerprint()
    assert tasks.frames == len(todo.findings)


def test_a_new_mask_is_another_plan(folder):
    np.save("first.npy", np.eye(*SHAPE, dtype=bool))
    np.save("second.npy", np.eye(*SHAPE, 5, dtype=bool))
    Path("first.npy").rename("mask.npy")
    first = planned(mask="mask.npy").key
    assert planned(mask="mask.npy").key == first
    Path("second.npy").replace("mask.npy")
    assert planned(mask="mask.npy").key != first
