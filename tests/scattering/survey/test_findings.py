import h5py
import numpy as np
import pytest
from pyFAI.detectors import Detector as PyFAIDetector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from scattering.calibration import Calibration
from scattering.detectors import detector
from scattering.errors import InputError
from scattering.preprocessing import resize
from scattering.survey.findings import SAMPLE, Options, identify, measured_frames, read_raw, survey
from scattering.survey.validity import full

GAP_300K = detector("Pilatus300k").gap
DETECTORS = {
    "pilatus100k": "Pilatus 100k", "pilatus300k": "Pilatus 300k", "pilatus300kw": "Pilatus 300kw",
    "pilatus800k": "Pilatus 1M", "pilatus900kw": "Pilatus 900k", "pilatus1m": "Pilatus 1M", "pilatus2m": "Pilatus 2M",
    "pilatus6m": "Pilatus 6M", "cms": "Pilatus 1M", "galaxi": "Pilatus 1M",
    "eiger500k": "Eiger 500k, turned by 90 degrees",
}  # fmt: skip
"""By the last word of the source's name."""

OUTSIDE = {"fabio_bruker512", "fabio_mar345", "fabio_marccd1k", "fabio_marccd2k", "raw_mar345"}
"""Round CCDs and image plates: `invalid` marks what lies outside the circle, where these hold 0 (or nearly so)."""


def frames(count=3, gap=GAP_300K, code=-1, seed=0, mean=30):
    counts = np.random.default_rng(seed).poisson(mean, (count, *gap.shape)).astype(np.int32)
    counts[:, gap] = code
    return counts


def shared_sources():
    from tests.scattering.survey.conftest import SHARED

    return sorted(path.stem for path in SHARED.glob("*.h5"))


@pytest.mark.slow
@pytest.mark.parametrize("source", shared_sources())
def test_real_frames_are_known_by_their_counts_alone(source, shared_frames, save):
    with h5py.File(shared_frames / f"{source}.h5") as file:
        counts, invalid = file["frames"][()], file["invalid"][()] != 0
    findings = identify([save(source, counts)], Options())
    sensor = findings.sensors[counts.shape[1:]]
    family = source.rpartition("_")[2]
    assert sensor.name == DETECTORS[family] if family in DETECTORS else sensor.name.startswith("unknown")
    for number, raw in enumerate(read_raw(findings, range(len(counts)))):
        # What we take away: full counters, hot pixels, and dead pixels that hold 0.
        lost = ~raw.valid & ~invalid[number]
        taken = raw.truth[lost]
        assert (full(counts[number])[lost] | raw.hot[lost] | (taken == 0)).all()
        assert raw.hot.mean() < 5e-4
        assert (sensor.dead & ~invalid[number]).sum() == (taken == 0).sum() < 1e-4 * invalid[number].size
        # What we leave: nothing but the surroundings of round sensors.
        left = raw.truth[raw.valid & invalid[number]]
        assert not left.size or (source in OUTSIDE and (left == 0).mean() > 0.97)


@pytest.mark.parametrize(
    ("code", "dtype"),
    [
        (-1, "int16"), (-2, "float32"), (0, "uint16"), (65535, "int32"), (2**32 - 1, "uint32"),
        (2**32 - 1, "float32"),
    ],
)  # fmt: skip
def test_gap_codes_do_not_bleed(surveyed, code, dtype):
    gap = detector("Pilatus1M").gap
    flat = np.full((1, *gap.shape), 1000, dtype)
    flat[:, gap] = np.dtype(dtype).type(code)
    findings = surveyed(flat)
    assert findings.target.name == "Pilatus 1M"
    (raw,) = read_raw(findings, [0])
    np.testing.assert_array_equal(raw.valid, ~gap)
    for shape in ((256, 256), (97, 512)):
        values, seen = resize(raw.truth, raw.observed, shape)
        assert seen.mean() > 0.9
        np.testing.assert_allclose(values[seen], 1000, rtol=1e-5)


def test_one_exposure_observes_what_is_valid_outside_the_gaps(surveyed):
    counts = frames(2)
    # The second frame was merged: its gaps hold counts.
    counts[1] = np.random.default_rng(9).poisson(30, GAP_300K.shape)
    counts[:, 300, 200] = -2
    findings = surveyed(counts)
    first, second = read_raw(findings, [0, 1])
    np.testing.assert_array_equal(first.valid, first.observed)
    assert second.valid[GAP_300K].all()
    assert not second.observed[GAP_300K].any()
    for raw, given_counts in ((first, counts[0]), (second, counts[1])):
        assert not raw.valid[300, 200]
        np.testing.assert_array_equal(raw.truth, given_counts)
        assert raw.measured is None


def test_hot_pixels_are_measured_but_no_truth_whatever_lies_in_gaps(surveyed):
    counts = frames(2)
    counts[:, 300, 200] = counts[:, 194, 100] = 1_053_695  # the latter beside a gap
    counts[1, GAP_300K] = np.random.default_rng(1).integers(0, 10**6, GAP_300K.sum())
    findings = surveyed(counts)
    for raw, measured in zip(read_raw(findings, [0, 1]), measured_frames(findings, [0, 1]), strict=True):
        assert np.argwhere(~raw.observed & ~GAP_300K).tolist() == [[194, 100], [300, 200]]
        assert measured.valid[~GAP_300K].all()


def test_constant_pixels_of_subtracted_frames_are_codes(surveyed):
    counts = frames(4, mean=3) - 2
    counts[:, 300, 200] = -20
    counts[:, GAP_300K] = -1
    findings = surveyed(counts)
    expected = ~GAP_300K
    expected[300, 200] = False
    for raw, measured in zip(read_raw(findings, [0, 3]), measured_frames(findings, [0, 3]), strict=True):
        np.testing.assert_array_equal(raw.valid, expected)
        np.testing.assert_array_equal(measured.valid, expected)


@pytest.mark.parametrize("count", [1, 5])
def test_one_less_than_the_largest_number_is_a_code_of_eiger(save, count):
    gap = detector("Eiger 500k").gap
    counts = np.random.default_rng(0).poisson(190, (count, *gap.shape)).clip(0, 250).astype(np.uint8)
    counts[:, gap], counts[:, 30, 40] = 255, 254
    expected = ~gap
    expected[30, 40] = False
    (measured,) = measured_frames(identify([save("a", counts)], Options()), [0])
    assert counts[:, expected].max() > 240
    np.testing.assert_array_equal(measured.valid, expected)


def test_what_the_file_says_of_its_frames_is_kept(surveyed):
    arrays = {
        "invalid": np.zeros((2, *GAP_300K.shape), np.uint8),
        "clean": np.full((2, *GAP_300K.shape), 7.5, np.float32),
        "groups": np.array(["film", "powder"], h5py.string_dtype()),
        "categories": np.array(["giwaxs", "saxs"], h5py.string_dtype()),
        "names": np.array(["a", "b"], h5py.string_dtype()),
        "calibration": np.array([[0.3, 0.05, 0.04, 0, 0, 0, 172e-6, 172e-6, 1e-10], [np.nan] * 9]),
    }
    arrays["invalid"][1, 5:9] = 1
    first, second = read_raw(surveyed(frames(2), arrays), [0, 1])
    assert (first.group, second.group) == ("film", "powder")
    assert (first.category, second.category) == ("giwaxs", "saxs")
    assert first.valid[5:9].all() and not second.valid[5:9].any()
    assert first.calibration == Calibration(0.3, 0.05, 0.04, 0, 0, 0, 172e-6, 172e-6, 1e-10)
    assert np.isnan(second.calibration).all()
    np.testing.assert_array_equal(first.clean, arrays["clean"][0])


def test_a_poni_file_places_frames_that_say_nothing(tmp_path, surveyed):
    plate = PyFAIDetector(pixel1=172e-6, pixel2=172e-6, max_shape=GAP_300K.shape)
    AzimuthalIntegrator(0.2, 0.05, 0.04, detector=plate, wavelength=1e-10).save(str(tmp_path / "a.poni"))
    (raw,) = read_raw(surveyed(frames(1), poni=str(tmp_path / "a.poni")), [0])
    assert raw.calibration.distance == pytest.approx(0.2)


def test_frames_are_read_by_their_numbers_in_any_order(save):
    names = [save("a", frames(3, seed=1)), save("b", frames(2, seed=2))]
    findings = survey(names, Options())
    everything = [raw.truth for raw in read_raw(findings, range(5))]
    np.testing.assert_array_equal(everything[:3], frames(3, seed=1))
    np.testing.assert_array_equal(everything[3:], frames(2, seed=2))
    order = [4, 0, 3, 3, 2]
    again = list(read_raw(findings, order))
    assert [raw.name for raw in again] == [findings.names[number] for number in order]
    for raw, number in zip(again, order, strict=True):
        np.testing.assert_array_equal(raw.truth, everything[number])


def test_a_sample_is_spread_over_all_frames(save):
    small = np.zeros((40, 40), bool)
    small[18:22] = True
    names = [save(f"part{number}", frames(20, small, seed=number)) for number in range(3)]
    (sensor,) = survey(names, Options()).sensors.values()
    assert len(sensor.sample) == SAMPLE
    assert {place.stack for place in sensor.sample} == {0, 1, 2}
    assert (sensor.sample[0], sensor.sample[-1]) == ((0, 0), (2, 19))


@pytest.mark.parametrize(("given_pedestal", "expected"), [("100", 100), ("auto", 100), (None, 0)])
def test_a_pedestal_is_taken_off_after_codes_are_found(surveyed, given_pedestal, expected):
    rng = np.random.default_rng(4)
    slope = np.linspace(0, 200, GAP_300K.shape[0])[:, None] * np.ones(GAP_300K.shape[1])
    counts = (rng.poisson(slope, (2, *slope.shape)) + np.round(100 + 2 * rng.standard_normal(slope.shape))).astype(
        np.uint16
    )
    counts[:, GAP_300K] = 0
    options = {} if given_pedestal is None else {"pedestal": given_pedestal}
    findings = surveyed(counts, **options)
    assert findings.pedestals == pytest.approx((expected,), abs=12)
    (raw,) = read_raw(findings, [0])
    np.testing.assert_array_equal(raw.valid, ~GAP_300K)
    np.testing.assert_allclose(raw.truth[raw.valid], counts[0][raw.valid] - findings.pedestals[0], atol=1e-4)
    if expected:
        assert raw.truth[raw.valid].min() < 0  # noise about nothing


def test_a_mask_hides_its_pixels_in_frames_of_its_shape(tmp_path, save):
    hidden = np.zeros(GAP_300K.shape, bool)
    hidden[100:140, 50:90] = True
    np.save(tmp_path / "mask.npy", hidden)
    names = [save("a", frames(1)), save("b", np.random.default_rng(0).poisson(9, (1, 300, 320)).astype(np.int32))]
    findings = survey(names, Options(mask=str(tmp_path / "mask.npy")))
    first, second = read_raw(findings, [0, 1])
    np.testing.assert_array_equal(first.valid, ~GAP_300K & ~hidden)
    assert second.valid.all()
    assert findings.target.name == "Pilatus 300k"


def test_a_mask_is_the_gap_where_no_other_is_known(tmp_path, surveyed):
    hidden = np.zeros((300, 320), bool)
    hidden[140:150] = True
    np.save(tmp_path / "mask.npy", hidden)
    counts = np.random.default_rng(0).poisson(9, (1, 300, 320)).astype(np.int32)
    findings = surveyed(counts, mask=str(tmp_path / "mask.npy"))
    np.testing.assert_array_equal(findings.target.gap, hidden)
    (raw,) = read_raw(findings, [0])
    np.testing.assert_array_equal(raw.observed, ~hidden)


def test_a_mask_of_another_shape_is_refused(tmp_path, surveyed):
    np.save(tmp_path / "mask.npy", np.zeros((30, 32), bool))
    with pytest.raises(InputError, match="619 x 487 pixels, got 30 x 32"):
        surveyed(frames(1), mask=str(tmp_path / "mask.npy"))


def test_the_detector_named_is_laid_over_every_frame(surveyed):
    whole = np.random.default_rng(0).poisson(20, (1, 700, 600)).astype(np.int32)
    findings = surveyed(whole, detector="pilatus 2m")
    (raw,) = read_raw(findings, [0])
    gap = detector("Pilatus2M").gap_for((700, 600))
    assert raw.valid.all()
    np.testing.assert_array_equal(raw.observed, ~gap)


@pytest.mark.parametrize("code", [0, 65000, 2**16 - 1])
def test_a_constant_in_all_gaps_laid_is_no_truth(surveyed, code):
    gap = detector("Pilatus2M").gap_for((700, 600))
    counts = np.random.default_rng(0).poisson(20, (2, 700, 600)).astype(np.uint16)
    counts[0][gap] = code
    first, second = read_raw(surveyed(counts, detector="Pilatus2M"), [0, 1])
    np.testing.assert_array_equal(first.valid, ~gap)
    assert second.valid.all()


def test_gapless_frames_need_a_detector_or_a_mask(surveyed):
    with pytest.raises(InputError, match=r"without gaps \(unknown, 700 x 600, no gaps\): say --detector.*--mask"):
        surveyed(np.ones((1, 700, 600), np.int32))


def test_frames_of_several_detectors_need_one_to_be_named(save):
    names = [save("a", frames(1)), save("b", frames(1, detector("Pilatus1M").gap))]
    with pytest.raises(InputError, match="got Pilatus 300k; Pilatus 1M: say with --detector") as caught:
        survey(names, Options())
    assert "\n" not in str(caught.value)
    assert len(survey(names, Options(detector="Pilatus1M"))) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"detector": "Perkin"}, "Perkin detector has none"),
        ({"detector": "nonsense"}, "must be one that pyFAI knows"),
        ({"pedestal": "dark"}, "a number of counts or auto, got 'dark'"),
        ({"pedestal": "nan"}, "a number of counts or auto"),
        ({"mask": "no/mask.edf"}, "nothing there"),
        ({"poni": "no/a.poni"}, "--poni must name"),
    ],
)
def test_what_the_user_says_wrongly_is_one_line(surveyed, options, said):
    with pytest.raises(InputError, match=said) as caught:
        surveyed(frames(1), **options)
    assert "\n" not in str(caught.value)


def test_frames_too_small_for_the_gaps_are_named(surveyed):
    with pytest.raises(InputError, match=r"got none in 'frames.*' of 8 x 9 pixels: it is too small"):
        surveyed(np.ones((1, 8, 9), np.int32), detector="Pilatus2M")


def test_a_frame_without_observed_pixels_is_named(surveyed):
    counts = frames(3)
    counts[1] = -1
    findings = surveyed(counts)
    raw = read_raw(findings, range(3))
    next(raw)
    with pytest.raises(InputError, match=r"got none.*in 'frames 1'"):
        next(raw)


def test_only_gaps_that_a_second_exposure_filled_are_truth(surveyed):
    gap = detector("Pilatus900k").gap
    vertical = np.broadcast_to(gap.all(axis=0), gap.shape)
    (raw,) = read_raw(surveyed(frames(1, vertical, code=0)), [0])
    np.testing.assert_array_equal(raw.valid, ~vertical)
    np.testing.assert_array_equal(raw.observed, ~gap)
