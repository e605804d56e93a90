import dataclasses
from itertools import chain

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scattering.calibration import Calibration
from scattering.dataset import ARRAYS, LABELS, RawFrame, build, read, split, write
from scattering.detectors import Detector
from scattering.errors import InputError
from scattering.preprocessing import resize, to_counts


def assert_equal_datasets(first, second):
    for name in (*LABELS, "settings", "strip_starts"):
        assert getattr(first, name) == getattr(second, name)
    for name in (*ARRAYS, "gap"):
        one, other = getattr(first, name), getattr(second, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def one_line(caught: pytest.ExceptionInfo[InputError]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def file(data, tmp_path):
    path = tmp_path / "prepared.h5"
    write(path, data)
    return path


@pytest.fixture(scope="module")
def two_exposures(tiny_detector, prepare, raw_frames):
    """A frame whose second exposure saw the horizontal gaps, another count everywhere, and the noise-free one."""
    first = raw_frames(1, (140, 150), tiny_detector)[0]
    valid = first.observed | tiny_detector.gap.all(axis=1)[:, None] & ~tiny_detector.gap.all(axis=0)
    merged = np.where(first.observed, first.truth, first.truth + 50)
    raw = first._replace(
        truth=np.where(valid, merged, 0), valid=valid, measured=first.truth * first.observed, clean=merged + 0.5
    )
    return raw, prepare([raw])


def test_written_data_are_read_back_bit_for_bit(data, file):
    back = read(file)
    assert_equal_datasets(back, data)
    assert back.fingerprint() == data.fingerprint()


def test_noise_free_intensity_is_kept_where_there_is_one(two_exposures, tmp_path):
    _, data = two_exposures
    write(tmp_path / "new folder" / "with clean.h5", data)
    np.testing.assert_array_equal(read(tmp_path / "new folder" / "with clean.h5").clean, data.clean)


def test_equal_frames_give_equal_fingerprints(data, prepare, raw_frames, tiny_detector):
    frames = raw_frames(12, (140, 150), tiny_detector)
    assert prepare(frames).fingerprint() == data.fingerprint()
    frames[7].truth[3, 3] += 1
    assert prepare(frames).fingerprint() != data.fingerprint()


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


def test_a_file_that_is_not_hdf5_is_refused(tmp_path):
    path = tmp_path / "notes.h5"
    path.write_text("counts\n1 2 3\n")
    with pytest.raises(InputError, match="cannot read the data set") as caught:
        read(path)
    one_line(caught)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read the data set"):
        read(tmp_path / "none.h5")


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

    monkeypatch.setattr(h5py.File, "create_dataset", full)
    with pytest.raises(InputError, match="No space left on device"):
        write(file, data)
    assert list(tmp_path.iterdir()) == [file]
    assert file.read_bytes() == before


def test_a_data_set_needs_frames(prepare, raw_frames, tiny_detector):
    frame = raw_frames(1, (140, 150), tiny_detector)[0]
    with pytest.raises(InputError, match="frame 0"):
        prepare([frame._replace(observed=np.zeros_like(frame.observed))])
    with pytest.raises(InputError, match="needs frames, got none"):
        build([], tiny_detector, (64, 64), {}, 64)


def test_truth_and_measured_are_the_frames_resized(data, raw_frames, tiny_detector):
    frame = raw_frames(12, (140, 150), tiny_detector)[5]
    truth, valid = resize(frame.truth, frame.valid, (64, 64))
    measured, observed = resize(frame.truth, frame.observed, (64, 64))
    np.testing.assert_allclose(to_counts(data.truth[5].astype(np.float64)), truth, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(to_counts(data.measured[5].astype(np.float64)), measured, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(data.valid[5], valid)
    np.testing.assert_array_equal(data.observed[5], observed)


def test_nothing_is_given_where_nothing_is_known(data):
    assert not data.measured[~data.observed].any()
    assert not data.truth[~data.valid].any()
    assert not data.strips[~data.strips_observed].any()


def test_observed_is_the_detectors_gaps_laid_over_valid_frames(data):
    np.testing.assert_array_equal(data.observed, np.broadcast_to(~data.gap, data.observed.shape))
    assert data.valid.all()


def test_second_exposure_is_truth_but_never_input(two_exposures):
    raw, data = two_exposures
    held_out = data.valid & ~data.observed
    stripes = data.gap.all(axis=1)[None, :, None] & ~data.gap.all(axis=0)
    np.testing.assert_array_equal(held_out, stripes)
    once = resize(raw.measured, raw.observed, (64, 64))[0]
    np.testing.assert_allclose(to_counts(data.measured[0].astype(np.float64)), once, rtol=1e-4, atol=1e-4)
    assert (data.truth[held_out] > data.clean[held_out].mean() / 2).any()


def test_selected_frames_keep_their_order_and_labels(data):
    chosen = data.select([7, 2])
    assert chosen.names == ("frame 7", "frame 2")
    assert chosen.groups == ("sample 3", "sample 1")
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(chosen, name), getattr(data, name)[[7, 2]])
    assert len(chosen) == 2


def test_frames_of_another_shape_join_in(prepare, raw_frames, tiny_detector):
    shapes = [(140, 150), (300, 280), (90, 100), (64, 64)]
    frames = [raw_frames(1, shape, tiny_detector)[0] for shape in shapes]
    mixed = prepare(frames)
    assert mixed.truth.shape == (4, 64, 64)
    # One picture, seen by four detectors: they differ by noise and pixel size alone.
    for first in mixed.truth[:, 4:-4, 4:-4]:
        assert np.corrcoef(first.ravel(), mixed.truth[0, 4:-4, 4:-4].ravel())[0, 1] > 0.9


@pytest.mark.parametrize("columns", [149, 151, 487, 300])
def test_a_gap_that_a_windows_edge_cuts_through_is_laid_within_the_frame(columns):
    # The gap lies in the middle, where windows end; moved to the last window it would reach beyond the frame.
    gap = np.zeros((70, 981), bool)
    gap[:, 486:495] = True
    detector = Detector("halves", gap, (172e-6, 172e-6))
    counts = np.random.default_rng(0).poisson(50, (70, columns))
    whole = np.ones(counts.shape, bool)
    frame = RawFrame("a", "a", "", counts, whole, ~detector.gap_for(counts.shape))
    built = build([frame], detector, (64, 128), {}, columns)
    assert built.strips.shape[:3] == (1, len(built.windows.gapped), len(built.windows.free))


groups_of_frames = st.lists(st.integers(1, 9), min_size=3, max_size=12).flatmap(
    lambda sizes: st.permutations([f"g{number}" for number, size in enumerate(sizes) for _ in range(size)])
)


@given(groups_of_frames, st.integers(0, 2**32))
def test_no_group_of_frames_is_on_two_sides_of_the_split(groups, seed):
    parts = split(groups, seed)
    sides = [{groups[frame] for frame in part} for part in parts]
    assert all(sides)
    assert len(set.union(*sides)) == sum(map(len, sides))


@given(groups_of_frames, st.integers(0, 2**32))
def test_every_frame_is_in_one_part_of_the_split(groups, seed):
    parts = split(groups, seed)
    assert sorted(chain.from_iterable(parts)) == list(range(len(groups)))
    assert parts == split(groups, seed)


@given(groups_of_frames, st.integers(0, 2**32))
def test_validation_and_test_overshoot_their_shares_by_less_than_a_group(groups, seed):
    largest = max(map(groups.count, groups))
    _, validation, test = split(groups, seed)
    assert len(validation) < 0.15 * len(groups) + largest
    assert len(test) < 0.2 * len(groups) + largest


def test_many_small_groups_are_split_as_asked():
    train, validation, test = split([f"g{number // 2}" for number in range(400)], seed=1)
    assert (len(train), len(validation), len(test)) == (260, 60, 80)


def test_seeds_split_differently():
    groups = [f"g{number}" for number in range(30)]
    assert split(groups, 0) != split(groups, 1)


def test_the_split_of_frames_does_not_depend_on_their_order():
    groups = [f"g{number % 10}" for number in range(30)]
    turned = groups[::-1]
    for part, other in zip(split(groups, 5), split(turned, 5), strict=True):
        assert {groups[frame] for frame in part} == {turned[frame] for frame in other}


@pytest.mark.parametrize("groups", [[], ["a"] * 50, ["a", "b"] * 20])
def test_fewer_than_three_groups_cannot_be_split(groups):
    with pytest.raises(InputError, match=f"got {len(set(groups))} group") as caught:
        split(groups, 0)
    one_line(caught)


def test_a_data_set_is_not_changed_by_accident(data):
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.names = ()


def test_a_detector_without_vertical_gaps_has_no_strips_and_survives_its_file(tmp_path, raw_frames):
    gap = np.zeros((140, 150), bool)
    gap[60:66] = True
    detector = Detector("rows", gap, (172e-6, 172e-6))
    built = build(raw_frames(3, (140, 150), detector), detector, (64, 64), {"size": 64}, 150)
    assert built.strips.size == 0
    write(tmp_path / "a.h5", built)
    assert read(tmp_path / "a.h5").fingerprint() == built.fingerprint()


def test_the_geometry_of_frames_is_kept_selected_and_fingerprinted(tmp_path, raw_frames, prepare, tiny_detector):
    beam = Calibration(0.3, 0.07, 0.08, 0.0, 0.01, 0.0, 1e-3, 1e-3, 1e-10)
    known, unknown, other = raw_frames(3, (140, 150), tiny_detector)
    built = prepare(
        [known._replace(calibration=beam), unknown, other._replace(calibration=beam._replace(distance=1.0))]
    )
    scaled = beam.resized((140, 150), (64, 64))
    assert built.calibrations == [scaled, None, scaled._replace(distance=1.0)]
    assert built.select([2, 1]).calibrations == [scaled._replace(distance=1.0), None]
    write(tmp_path / "a.h5", built)
    again = read(tmp_path / "a.h5")
    assert again.calibrations == built.calibrations
    assert again.fingerprint() == built.fingerprint()
    plain = prepare([known, unknown, other])
    assert plain.calibration is None
    assert plain.fingerprint() != built.fingerprint()
