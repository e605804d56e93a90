import numpy as np
import pytest
import torch

from inpainting.filler import FrameFiller, WindowFiller, spans
from inpainting.model import load
from scattering.dataset import Dataset
from scattering.errors import InputError
from scattering.windows import cut, stitch
from search.evaluation.methods import network_filler
from tests.gpu import simulated
from trainables.images import whole_frames
from trainables.tasks import fill

DTYPES = ["int32", "int64", "float32", "float64", "int16"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_measured_pixels_stay_bit_for_bit_and_gaps_hold_counts(model, frame, dtype):
    counts = frame[0].astype(dtype)
    before = counts.tobytes()
    filled, uncertainty = model.fill(counts)
    assert counts.tobytes() == before
    assert filled.dtype == dtype
    assert filled[counts >= 0].tobytes() == counts[counts >= 0].tobytes()
    assert np.isfinite(filled).all()
    assert (filled >= 0).all()
    np.testing.assert_array_equal(np.isnan(uncertainty), counts >= 0)
    assert (uncertainty[counts < 0] > 0).all()


def test_fills_are_near_the_truth(model, frame):
    counts, truth = frame
    filled, uncertainty = model.fill(counts.astype(np.float32))
    gap = counts < 0
    error = np.abs(filled - truth)[gap]
    assert error.mean() < 0.5 * np.abs(truth[~gap].mean() - truth[gap]).mean()
    # Calibrated on other frames of the kind; pixels of one frame resemble each other.
    assert 0.5 < (error <= uncertainty[gap]).mean() < 0.85


def test_on_the_working_grid_a_frame_is_filled_as_in_the_evaluation(model, trained, raw_frames, tiny_detector, data):
    raw = raw_frames(12, tiny_detector.gap.shape, tiny_detector)[3]
    few: Dataset = data.select([3])
    filler = network_filler(trained)
    expected = filler.frames(whole_frames(few))[0]
    working = model._resized(raw.truth, raw.observed, 0.0)
    np.testing.assert_array_equal(working.measured, few.measured[0])
    np.testing.assert_allclose(model._predict(working).mean, expected, atol=2e-6)


def test_a_gpu_fills_as_the_cpu_does(model, model_path, frame):
    with simulated() as gpu:
        filled, uncertainty = load(model_path, "cuda:0").fill(frame[0])
    assert gpu.operators
    expected = model.fill(frame[0])
    np.testing.assert_array_equal(filled, expected.counts)
    np.testing.assert_allclose(uncertainty, expected.uncertainty, rtol=1e-4)


def test_windows_cover_frames_of_any_width_and_are_the_layouts_at_its_own(data):
    layout = data.windows
    assert spans(layout, layout.frame_shape[1]) == [(start, start + layout.width) for start in layout.starts]
    for columns in (64, 65, 100, 17, 200):
        covered = np.zeros(columns, int)
        for start, stop in spans(layout, columns):
            covered[start:stop] += 1
        assert covered.min() >= 1


def test_frames_are_stitched_as_qlty_does(data, trained):
    """The reference: windows cut from frames, each filled on its own, and put together by qlty."""
    measured, observed = (torch.from_numpy(array[:3]) for array in (data.measured, data.observed))
    layout, (network, task) = data.windows, trained[0]
    pieces = [
        cut(frames, layout).reshape(-1, 1, layout.frame_shape[0], layout.width) for frames in (measured, observed)
    ]
    with torch.no_grad():
        filled = fill(task, network, *pieces)
        found, apart = FrameFiller([WindowFiller(network, task)], spans(layout, layout.frame_shape[1]))(
            measured[:, None], observed[:, None]
        )
    stitched = stitch(filled.reshape(3, len(layout.starts), layout.frame_shape[0], layout.width), layout)
    torch.testing.assert_close(found[:, 0], torch.where(observed, measured, stitched), rtol=0, atol=1e-6)
    assert not apart.any()


def test_windows_go_through_a_network_few_at_a_time(data, trained, monkeypatch):
    """The memory that a large frame takes does not grow with the number of its windows."""
    network, task = trained[0]
    sizes = []
    handle = network.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
    measured, observed = (torch.from_numpy(array[:5])[:, None] for array in (data.measured, data.observed))
    with torch.no_grad():
        together = WindowFiller(network, task)(measured, observed)
        monkeypatch.setattr("inpainting.filler.AT_ONCE", 2 * measured[0].numel())
        apart = WindowFiller(network, task)(measured, observed)
    handle.remove()
    assert sizes == [5, 2, 2, 1]
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-6)


def test_what_is_missing_changes_nothing(model, frame):
    counts = frame[0]
    valid = counts >= 0
    one, _ = model.fill(counts, valid)
    garbage = np.where(valid, counts, np.random.default_rng(0).integers(0, 2**20, counts.shape)).astype(np.int32)
    other, _ = model.fill(garbage, valid)
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("given", [False, True])
def test_hot_pixels_stay_and_are_not_looked_at(model, frame, given):
    counts, valid = frame[0], frame[0] >= 0
    place = tuple(np.argwhere(valid & np.roll(~valid, 1, axis=1))[5])  # beside a gap
    frames = [counts.copy(), counts.copy()]
    for one, hot in zip(frames, (700_000, 900_000), strict=True):
        one[place] = hot
    fills = [model.fill(one, valid if given else None)[0] for one in frames]
    assert fills[0][place] == 700_000
    fills[1][place] = 700_000
    np.testing.assert_array_equal(*fills)


def test_hidden_pixels_stay_and_are_not_looked_at(model, frame):
    counts = frame[0]
    hidden = np.zeros(counts.shape, bool)
    hidden[60:63, 70:73] = True
    hot = counts.copy()
    hot[hidden] = 900_000
    one, uncertainty = model.fill(counts, hidden=hidden)
    other, _ = model.fill(hot, hidden=hidden)
    np.testing.assert_array_equal(one[~hidden], other[~hidden])
    np.testing.assert_array_equal(other[hidden], 900_000)
    assert np.isnan(uncertainty[hidden]).all()


@pytest.mark.parametrize("full", [2**20 - 1, 2**16 - 1])
def test_full_counters_have_measured_and_stay(model, frame, full):
    counts = frame[0].copy()
    counts[60:64, 70:75] = full
    filled, uncertainty = model.fill(counts)
    np.testing.assert_array_equal(filled[60:64, 70:75], full)
    assert np.isnan(uncertainty[60:64, 70:75]).all()


def test_numbers_that_are_none_are_missing(model, frame):
    counts = frame[0].astype(np.float32)
    valid = counts >= 0
    counts[20, 20], counts[21, 30] = np.inf, np.nan
    filled, uncertainty = model.fill(counts, valid)
    assert np.isfinite(filled).all()
    assert not np.isnan(uncertainty[[20, 21], [20, 30]]).any()
    masked = np.ma.masked_array(frame[0], frame[0] < 0)
    np.testing.assert_array_equal(model.fill(masked).counts, model.fill(frame[0]).counts)


def test_a_network_that_fails_fills_nothing(model_path, frame):
    broken = load(model_path, "cpu")
    for network in (member.network for member in broken._members):
        for weight in network.parameters():
            weight.mul_(1e8)
    fill, report = broken.fill_frame(frame[0])
    assert np.isfinite(fill.uncertainty[fill.counts != frame[0]]).all()
    assert report.filled + report.far + report.unsure == (frame[0] < 0).sum()


def test_a_pedestal_is_put_back(model, frame):
    counts = frame[0].astype(np.float64)
    valid = counts >= 0
    plain, _ = model.fill(counts, valid)
    lifted, _ = model.fill(np.where(valid, counts + 100, -1), valid, pedestal=100)
    np.testing.assert_allclose(lifted[~valid], plain[~valid] + 100, rtol=1e-6)
    lowered, _ = model.fill(np.where(valid, counts - 50, -1), valid, pedestal=-50)
    np.testing.assert_allclose(lowered[~valid], plain[~valid] - 50, rtol=1e-6, atol=1e-6)


def test_pixels_far_from_measured_ones_are_left(model, frame):
    counts = frame[0].copy()
    counts[50:96, 52:100] = -1  # a module
    fill, report = model.fill_frame(counts, force=True)
    centre = (slice(70, 76), slice(72, 80))
    np.testing.assert_array_equal(fill.counts[centre], -1)
    assert np.isnan(fill.uncertainty[centre]).all()
    assert report.far > 500
    assert report.filled + report.far + report.unsure == (counts < 0).sum()


def test_what_is_too_uncertain_is_left(model, frame):
    counts = frame[0]
    _, everything = model.fill_frame(counts, max_uncertainty=1e9)
    fill, strict = model.fill_frame(counts, max_uncertainty=0.05)
    assert everything.unsure == 0
    assert strict.unsure > 0
    assert (fill.counts < 0).sum() == strict.unsure + strict.far
    with pytest.raises(InputError, match="must be"):
        model.fill(counts[0])


def test_frames_unlike_the_training_are_refused(model, frame):
    counts = frame[0]
    for odd, reason in (
        (counts[:, :120], "140 x 120 pixels"),
        (np.where(counts < 0, -1, counts * 5000).astype(np.int64), "counts"),
        (np.where(np.arange(140)[:, None] < 70, -1, counts), "hidden"),
    ):
        with pytest.raises(InputError, match=reason):
            model.fill(odd)
        fill, report = model.fill_frame(odd, force=True)
        assert any(reason in doubt for doubt in report.doubts)
        assert not np.isnan(fill.uncertainty).all()


def test_nothing_measured_is_no_frame(model, model_path, frame):
    with pytest.raises(InputError, match="got none"):
        model.fill(np.full_like(frame[0], -1))
    with pytest.raises(InputError, match="shape of the frame"):
        model.fill(frame[0], np.ones((3, 3), bool))
    with pytest.raises(InputError, match="numbers"):
        model.fill(frame[0].astype(complex))
    for wrong in ({"hidden": np.ones(3)}, {"max_uncertainty": np.nan}, {"max_uncertainty": np.inf}):
        with pytest.raises(InputError, match="must"):
            model.fill(frame[0], **wrong)
    with pytest.raises(InputError, match="device must be"):
        load(model_path, "nowhere")


def test_training_frames_are_familiar(model, raw_frames, tiny_detector):
    for raw in raw_frames(12, tiny_detector.gap.shape, tiny_detector):
        assert model.fill_frame(raw.truth, raw.observed)[1].doubts == ()


def test_a_frame_already_filled_has_nothing_to_fill(model, frame):
    filled, uncertainty = model.fill(np.maximum(frame[1], 0), np.ones(frame[1].shape, bool))
    np.testing.assert_array_equal(filled, frame[1])
    assert np.isnan(uncertainty).all()


def test_threads_and_batches_do_not_change_a_fill(model, frame):
    one = model.fill(frame[0])
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        other = model.fill(frame[0])
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(one.counts, other.counts, atol=1)
