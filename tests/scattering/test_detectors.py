import numpy as np
import pytest

from scattering.detectors import detector, detectors_of
from scattering.errors import InputError


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(int), [0]))))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def test_pilatus_2m_has_the_gaps_that_the_paper_counts_on():
    found = detector("Pilatus2M")
    assert found.gap.shape == (1679, 1475)
    assert runs(found.gap.all(axis=1)) == [
        (195, 211), (407, 423), (619, 635), (831, 847), (1043, 1059), (1255, 1271), (1467, 1483),
    ]  # fmt: skip
    assert runs(found.gap.all(axis=0)) == [(487, 493), (981, 987)]


def test_pilatus_2m_has_no_gap_beside_its_stripes():
    found = detector("Pilatus2M")
    stripes = found.gap.all(axis=1)[:, None] | found.gap.all(axis=0)
    np.testing.assert_array_equal(found.gap, stripes)
    assert found.pixel_size == pytest.approx((172e-6, 172e-6))


@pytest.mark.parametrize("name", ["Pilatus2M", "pilatus2m", "PILATUS 2M", "pilatus_2m", "Pilatus 2m"])
def test_any_spelling_names_the_same_detector(name):
    assert detector(name).name == "Pilatus 2M"


def test_eiger_gaps_are_wider_than_none_and_where_pyfai_has_them():
    gap = detector("eiger_4m").gap
    assert gap.shape == (2167, 2070)
    assert [last - first + 1 for first, last in runs(gap.all(axis=1))] == [37, 37, 37]
    assert [last - first + 1 for first, last in runs(gap.all(axis=0))] == [10]


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"'pilatus3m'.*nearest: .*pilatus2m") as caught:
        detector("pilatus3m")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "detector", "///"])
def test_names_that_are_no_detector_are_refused(name):
    with pytest.raises(InputError, match="must be one that pyFAI knows"):
        detector(name)


@pytest.mark.parametrize("name", ["Perkin", "Pilatus100k", "rayonix_mx225"])
def test_detectors_of_one_piece_have_no_gaps(name):
    found = detector(name)
    assert min(found.gap.shape) > 100
    assert not found.gap.any()


def test_gaps_laid_over_magnified_frames_are_magnified(tiny_detector):
    rows, columns = tiny_detector.gap.shape
    expected = tiny_detector.gap.repeat(3, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(tiny_detector.gap_for((3 * rows, 2 * columns)), expected)


@pytest.mark.parametrize("shape", [(300, 280), (64, 64), (128, 512)])
def test_gaps_keep_their_place_and_share_in_frames_of_any_shape(tiny_detector, shape):
    gap = tiny_detector.gap_for(shape)
    for axis in (0, 1):
        factor = shape[axis] / tiny_detector.gap.shape[axis]
        expected = [
            (first * factor, (last + 1) * factor) for first, last in runs(tiny_detector.gap.all(axis=1 - axis))
        ]
        found = [(first, last + 1) for first, last in runs(gap.all(axis=1 - axis))]
        # An edge between two pixels belongs to one of them.
        np.testing.assert_allclose(found, expected, atol=1)


def test_detectors_are_found_by_the_shape_of_their_frames():
    assert {found.name for found in detectors_of((1679, 1475))} == {"Pilatus 2M", "Pilatus CdTe 2M"}
    assert {found.name for found in detectors_of((514, 1030))} == {"Eiger 500k"}
    assert detectors_of((17, 19)) == []


def test_a_detector_on_its_side_is_found_where_none_stands_upright():
    (found,) = detectors_of((1030, 514))
    assert found.gap.shape == (1030, 514)
    upright = detector("Jungfrau1M")
    turned = upright.turned()
    np.testing.assert_array_equal(turned.gap, np.rot90(upright.gap))
    assert turned.pixel_size == upright.pixel_size[::-1]
