import dataclasses
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scattering.calibration import Calibration
from scattering.dataset import ARRAYS, RawFrame, build, frame_digest
from scattering.dataset_file import read, write
from scattering.detectors import Detector
from scattering.errors import InputError
from scattering.preprocessing import resize, to_counts
from scattering.split import PARTS, split


def one_line(caught: pytest.ExceptionInfo[InputError]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


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


def test_equal_frames_give_equal_fingerprints(data, prepare, raw_frames, tiny_detector):
    frames = raw_frames(12, (140, 150), tiny_detector)
    assert prepare(frames).fingerprint() == data.fingerprint()
    frames[7].truth[3, 3] += 1
    assert prepare(frames).fingerprint() != data.fingerprint()


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


def test_every_frame_has_the_part_that_the_split_gives_it(prepare, raw_frames, tiny_detector):
    frames = raw_frames(12, (140, 150), tiny_detector)
    for seed in (0, 3):
        built = build(frames, tiny_detector, (64, 64), {}, 150, seed)
        for name, chosen in zip(PARTS, split(built.groups, seed), strict=True):
            assert [number for number, part in enumerate(built.parts) if part == name] == chosen
            assert built.part(name).names == tuple(built.names[number] for number in chosen)
            assert set(built.part(name).parts) == {name}
    assert built.parts != build(frames, tiny_detector, (64, 64), {}, 150, seed=0).parts


def test_too_few_groups_make_a_data_set_without_parts(prepare, raw_frames, tiny_detector):
    built = prepare(raw_frames(4, (140, 150), tiny_detector))
    assert built.parts == ("",) * 4
    with pytest.raises(InputError, match=r"got 2 group\(s\) in 4") as caught:
        built.part("train")
    one_line(caught)


def test_the_fingerprint_follows_every_label_and_what_frames_share(data):
    changes = [
        {name: ("another", *getattr(data, name)[1:])} for name in ("names", "groups", "categories", "parts")
    ] + [
        {"gap": ~data.gap},
        {"strip_starts": (*data.strip_starts[:-1], data.strip_starts[-1] + 1)},
        {"settings": data.settings | {"full_scale": 2.0**16}},
    ]
    found = {dataclasses.replace(data, **change).fingerprint() for change in changes}
    assert len(found | {data.fingerprint()}) == len(changes) + 1
    assert (
        dataclasses.replace(data, settings=data.settings | {"title": "another"}).fingerprint() == data.fingerprint()
    )


def test_the_digest_of_a_frame_does_not_depend_on_the_others(data):
    chosen = data.select([7, 2])
    assert chosen.digests() == [data.digests()[7], data.digests()[2]]
    assert chosen.digests()[0] == frame_digest(data.labels(7), data.rows(7))


def test_hidden_pixels_of_one_exposure_are_truth_and_not_seen(raw_frames, tiny_detector, monkeypatch):
    frame = raw_frames(1, (140, 150), tiny_detector)[0]
    hidden = np.zeros((140, 150), bool)
    hidden[20:30] = True
    monkeypatch.setattr("scattering.dataset.moved_gaps", lambda gap, valid, name: hidden)
    built = build([frame._replace(valid=frame.observed)], tiny_detector, (64, 64), {}, 150)
    plain = resize(frame.truth, frame.observed & ~hidden, (64, 64))
    np.testing.assert_array_equal(built.observed[0], plain[1])
    assert not built.observed[0, 10:13].any()
    assert (built.valid[0, 10:13] == ~built.gap[10:13]).all()


@pytest.mark.parametrize("shape", [(64, 128), (140, 64)])
def test_strips_are_the_frame_resized_without_the_gap(raw_frames, tiny_detector, shape):
    frame = raw_frames(1, (140, 150), tiny_detector)[0]
    built = build([frame], tiny_detector, shape, {}, 150)
    layout, width = built.windows, built.strips.shape[-1]
    vertical, scale = tiny_detector.gap.all(axis=0), 150 / shape[1]
    for p, gapped in enumerate(layout.gapped):
        for f, free in enumerate(layout.free):
            start, moved = layout.starts[gapped], round((layout.starts[free] - layout.starts[gapped]) * scale)
            hidden = np.zeros(150, bool)
            for column in np.flatnonzero(vertical):
                if start * scale <= column < (start + layout.width) * scale and column + moved < 150:
                    hidden[column + moved] = True
            values, known = resize(frame.truth, frame.observed & ~hidden, shape)
            left = layout.starts[free] + built.strip_starts[p]
            np.testing.assert_array_equal(built.strips_observed[0, p, f], known[:, left : left + width])
            counts = to_counts(built.strips[0, p, f].astype(np.float64))
            np.testing.assert_allclose(counts, values[:, left : left + width], rtol=1e-4, atol=1e-4)
