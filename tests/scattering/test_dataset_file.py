import os
import pickle
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest

from scattering.dataset import ARRAYS, LABELS
from scattering.dataset_file import is_dataset, read, write
from scattering.errors import InputError
from tests.effort import SEED, tries


def one_line(caught: pytest.ExceptionInfo[InputError]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


def assert_equal_datasets(first, second):
    for name in (*LABELS, "settings", "strip_starts"):
        assert getattr(first, name) == getattr(second, name)
    for name in (*ARRAYS, "gap"):
        one, other = getattr(first, name), getattr(second, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def written(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "prepared.h5"
    write(path, data)
    return path.read_bytes()


@pytest.fixture
def file(written, tmp_path):
    path = tmp_path / "prepared.h5"
    path.write_bytes(written)
    return path


def test_written_data_are_read_back_bit_for_bit(data, file):
    back = read(file)
    assert_equal_datasets(back, data)
    assert back.fingerprint() == data.fingerprint()


def test_noise_free_intensity_is_kept_where_there_is_one(data, tmp_path):
    known = replace(data, clean=data.truth + 1)
    write(tmp_path / "new folder" / "with clean.h5", known)
    back = read(tmp_path / "new folder" / "with clean.h5")
    np.testing.assert_array_equal(back.clean, known.clean)
    assert back.fingerprint() == known.fingerprint() != data.fingerprint()


@pytest.mark.parametrize("name", ARRAYS)
def test_one_pixel_edited_in_the_file_is_noticed(file, name):
    with h5py.File(file, "r+") as opened:
        place = (3, *(0 for _ in opened[name].shape[1:]))
        opened[name][place] = not opened[name][place]
    with pytest.raises(InputError, match="does not match its own fingerprint") as caught:
        read(file)
    assert str(file) in one_line(caught)


@pytest.mark.parametrize("name", LABELS)
def test_one_label_edited_in_the_file_is_noticed(file, name):
    with h5py.File(file, "r+") as opened:
        opened[name][0] = "another"
    with pytest.raises(InputError, match="does not match its own fingerprint"):
        read(file)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(file, share):
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError) as caught:
        read(file)
    assert str(file) in one_line(caught)


@pytest.mark.parametrize("name", ["names", "gap", "truth", "strip_starts"])
def test_a_file_without_an_array_is_refused(file, name):
    with h5py.File(file, "r+") as opened:
        del opened[name]
    with pytest.raises(InputError) as caught:
        read(file)
    assert str(file) in one_line(caught)


def test_another_version_is_refused(file):
    with h5py.File(file, "r+") as opened:
        opened.attrs["format"] = "gapsearch dataset 0"
    with pytest.raises(InputError, match="not a data set of this version"):
        read(file)


def test_a_folder_that_cannot_be_made_is_refused(data, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write the data set") as caught:
        write(tmp_path / "file" / "data.h5", data)
    one_line(caught)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(data, file, tmp_path, monkeypatch):
    before = file.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(InputError, match="No space left on device"):
        write(file, data)
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_bytes() == before


def test_the_file_is_hdf5_as_others_read_it(data, file):
    with h5py.File(file) as opened:
        for name in ARRAYS:
            np.testing.assert_array_equal(opened[name][()], getattr(data, name))
        for name in LABELS:
            assert tuple(opened[name].asstr()[()]) == getattr(data, name)


def test_text_of_any_alphabet_is_kept(data, file):
    names = tuple(f"Gerüst ☃ {number}" for number in range(len(data) - 1))
    # A name of a file that is not UTF-8, as Python gives it.
    odd = replace(data, names=(*names, os.fsdecode(b"scan\xff")))
    write(file, odd)
    assert read(file).names == odd.names


@pytest.mark.slow
def test_arrays_stay_in_the_file(file, tmp_path):
    """A process that reads 200 MB of frames has none of them of its own."""
    code = """
import sys
from pathlib import Path
import numpy as np
from dataclasses import replace
from scattering.dataset_file import read, write
data = read(Path(sys.argv[1]))
assert not data.truth.flags.writeable and not data.truth.flags.owndata
known = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(int(known["RssAnon"].split()[0]) // 1000)
"""
    small = read(file)
    many = 800
    large = small.select([number % len(small) for number in range(many)])
    write(tmp_path / "large.h5", large)
    assert (tmp_path / "large.h5").stat().st_size > 50e6
    used = [
        int(subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True, text=True).stdout)
        for path in (file, tmp_path / "large.h5")
    ]
    assert used[1] - used[0] < 15


def test_read_data_are_pickled_and_selected_as_any(data, file):
    back = read(file)
    again = pickle.loads(pickle.dumps(back, protocol=5))
    assert again.fingerprint() == data.fingerprint()
    chosen = back.select([3, 1])
    assert chosen.truth.flags.writeable
    chosen.truth[:] = 0
    assert read(file).fingerprint() == data.fingerprint()


def test_other_hdf5_files_are_no_data_sets(file, tmp_path):
    with h5py.File(tmp_path / "frames.h5", "w") as made:
        made["frames"] = np.zeros((1, 4, 4))
    (tmp_path / "text.h5").write_text("gapsearch dataset 3")
    assert is_dataset(file)
    assert [is_dataset(tmp_path / name) for name in ("frames.h5", "text.h5", "none.h5")] == [False] * 3


def replaced(file, name, **description):
    """The file with another array of this name, which h5py makes as described."""
    with h5py.File(file, "r+") as opened:
        del opened[name]
        opened.create_dataset(name, **description)
    return file


def secret(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(10**6))
    return [(str(tmp_path / "secret"), 0, 10**6)]


@pytest.mark.parametrize("name", ["truth", "strips", "calibration", "gap", "digests"])
@pytest.mark.parametrize(
    "description",
    [
        {"shape": (12, 10**6, 10**9), "dtype": np.float32},
        {"shape": (2**62,), "dtype": np.uint8},
        {"shape": (12, 64, 64), "dtype": np.float32, "chunks": (1, 64, 64)},
        {"shape": (12, 64, 63), "dtype": np.float32, "data": np.zeros((12, 64, 63), np.float32)},
        {"shape": (12,), "dtype": h5py.string_dtype()},
        {"shape": (0,), "dtype": np.float32},
        {"data": h5py.Empty("f4")},
    ],
    ids=["huge", "overflowing", "chunked", "another shape", "text", "empty", "null"],
)
def test_arrays_that_lie_are_refused(file, name, description):
    with pytest.raises(InputError) as caught:
        read(replaced(file, name, **description))
    assert str(file) in one_line(caught)


def test_an_array_in_another_file_is_not_followed(file, data, tmp_path):
    replaced(file, "truth", shape=data.truth.shape, dtype=np.float32, external=secret(tmp_path))
    with pytest.raises(InputError, match="truth"):
        read(file)


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("lines", [[], [b"a"], [b"a"] * 13, [1, 2], [[b"a"]] * 12], ids=str)
def test_labels_that_do_not_fit_are_refused(file, name, lines):
    with pytest.raises(InputError) as caught:
        read(replaced(file, name, data=np.array(lines, "S1" if not lines else None)))
    one_line(caught)


@pytest.mark.parametrize(
    "settings", [b"", b"[]", b"{}", b'{"full_scale": []}', b"[" * 10**5, b"\xff"], ids=lambda s: s[:9]
)
def test_settings_that_are_none_are_refused(file, settings):
    with pytest.raises(InputError) as caught:
        read(replaced(file, "settings", data=np.array([settings], f"S{max(1, len(settings))}")))
    one_line(caught)


def test_a_pickle_is_not_opened(file):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(file.parent / "trapped"),)

    file.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match="cannot read the data set"):
        read(file)
    assert not (file.parent / "trapped").exists()


@pytest.mark.fuzz
def test_whatever_bits_are_flipped_the_data_are_right_or_refused(data, file):
    """Most flips are in what describes the arrays, where HDF5 has to bear them."""
    whole = file.read_bytes()
    with h5py.File(file) as opened:
        described = np.ones(len(whole), bool)
        for name in ARRAYS:
            described[opened[name].id.get_offset() :][: opened[name].nbytes] = False
    places = np.flatnonzero(described & (np.frombuffer(whole, np.uint8) != 0))
    rng, copies, refused = np.random.default_rng(SEED), tries(30, 20_000), 0
    for _ in range(copies):
        damaged = bytearray(whole)
        for place in (*rng.choice(places, rng.integers(1, 4)), *rng.integers(len(whole), size=1)):
            damaged[place] ^= 1 << rng.integers(8)
        file.write_bytes(damaged)
        try:
            back = read(file)
        except InputError as error:
            assert "\n" not in str(error)
            refused += 1
        else:
            assert back.fingerprint() == data.fingerprint()
            for name in ARRAYS:
                np.testing.assert_array_equal(getattr(back, name), getattr(data, name))
    assert refused > 0.8 * copies
