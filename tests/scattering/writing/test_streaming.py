"""Files of many frames pass one frame at a time."""

import tracemalloc
import weakref

import h5py
import numpy as np
import pytest
import tifffile
from fabio.edfimage import EdfImage

from scattering.errors import InputError
from scattering.reading.stacks import open_stacks
from scattering.writing.stacks import write_filled
from tests.scattering.writing.filling import fill

SHAPE = (100, 120)
COUNT = 200


def many(suffix, path) -> None:
    counts = np.random.default_rng(0).poisson(20, (COUNT, *SHAPE)).astype(np.int32)
    match suffix:
        case "npy":
            np.save(path, counts)
        case "tif" | "zlib.tif":
            options = {"compression": "zlib"} if suffix == "zlib.tif" else {}
            tifffile.imwrite(path, counts, photometric="minisblack", **options)
        case "edf":
            image = EdfImage(data=counts[0])
            for frame in counts[1:]:
                image.append_frame(data=frame)
            image.write(str(path))
        case "h5":
            with h5py.File(path, "w") as file:
                file.create_dataset("frames", data=counts, chunks=(1, *SHAPE), compression="gzip")
                file.create_dataset("invalid", data=np.zeros(counts.shape, np.uint8), chunks=(1, *SHAPE))


@pytest.mark.parametrize(
    ("suffix", "output"),
    [("npy", "npy"), ("edf", "edf"), ("tif", "tif"), ("zlib.tif", "tif"), ("h5", "h5"), ("npy", "nxs"), ("h5", "tif"),
     ("npy", "edf")],
)  # fmt: skip
def test_few_frames_are_held_at_once(suffix, output, tmp_path):
    many(suffix, tmp_path / f"a.{suffix}")
    (stack,) = open_stacks([str(tmp_path / f"a.{suffix}")])
    assert len(stack) == COUNT
    alive: list[weakref.ref] = []
    most = 0

    def watched():
        nonlocal most
        for frame in fill(stack):
            alive.append(weakref.ref(frame.counts))
            most = max(most, sum(reference() is not None for reference in alive))
            yield frame
            del frame

    write_filled(stack, tmp_path / "out" / f"a.{output}", watched(), {})
    assert most <= 3


@pytest.mark.parametrize("suffix", ["npy", "h5"])
def test_memory_does_not_grow_with_frames(suffix, tmp_path):
    many(suffix, tmp_path / f"a.{suffix}")
    (stack,) = open_stacks([str(tmp_path / f"a.{suffix}")])
    write_filled(stack, tmp_path / f"b.{suffix}", fill(stack), {})
    tracemalloc.start()
    write_filled(stack, tmp_path / f"b.{suffix}", fill(stack), {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30 * 4 * np.prod(SHAPE), "of 200 frames"


def short(frames):
    """Leave the last frame out."""
    (*some, _) = frames
    return some


def changed(frames):
    """Change a measured pixel of the last frame."""
    (*some, last) = frames
    counts = last.counts.copy()
    counts[tuple(np.argwhere(~last.filled)[-1])] += 1
    return [*some, last._replace(counts=counts)]


def wide(frames):
    return [frame._replace(counts=frame.counts.astype(np.float64)) for frame in frames]


def doubled(frames):
    return [*frames, *frames]


@pytest.mark.parametrize("wrong", [short, changed, wide, doubled])
@pytest.mark.parametrize("output", ["npy", "tif", "edf", "nxs"])
def test_other_frames_than_those_of_the_stack_are_refused(wrong, output, tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).poisson(20, (3, 20, 24)).astype(np.int32))
    (stack,) = open_stacks([str(tmp_path / "a.npy")])
    with pytest.raises(ValueError) as raised:
        write_filled(stack, tmp_path / "out" / f"a.{output}", wrong(list(fill(stack))), {})
    # Counts that differ where nothing was filled: the source was changed by somebody else meanwhile.
    assert isinstance(raised.value, InputError) == (wrong is changed)
    assert not list((tmp_path / "out").iterdir())
