"""On a real GPU; without one these tests skip. `make test-gpu` runs them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.trainables.test_gpu import BEAM, CPU, EVERY, begin
from trainables import hints, msdnet, rings
from trainables.batches import Part, WindowSet
from trainables.models import Config, build
from trainables.recording import WARM_UP

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that PyTorch can use"),
]


@pytest.fixture(scope="module")
def card() -> torch.device:
    torch.backends.cudnn.deterministic = True
    return torch.device("cuda", torch.cuda.current_device())


@pytest.fixture(scope="module")
def part(raw_frames, prepare, tiny_detector) -> Part:
    data = prepare([frame._replace(calibration=BEAM) for frame in raw_frames(6, (140, 150), tiny_detector)])
    return Part(data, hints.tabulate(WindowSet(data, CPU)), rings.tabulate(data))


def weights(part: Part, name: str, config: Config, device: torch.device, *, recorded: bool = True) -> Tensor:
    """Train for an epoch and return the weights."""
    training = begin(part, build(name, config), device, 2)
    if not recorded:
        training.recorder = None
    training.to_next_report()
    assert training.step > 2 * WARM_UP
    assert training.recorder is None or training.recorder.graph is not None
    return torch.cat([parameter.detach().cpu().flatten() for parameter in training.network.parameters()])


@pytest.mark.parametrize(("name", "posed"), EVERY)
def test_recorded_steps_are_those_that_were_not_recorded(
    part: Part, small: Callable[[str, str], Config], card: torch.device, name: str, posed: Config
) -> None:
    config = small(name, "") | posed
    plain = weights(part, name, config, card, recorded=False)
    torch.testing.assert_close(weights(part, name, config, card), plain, rtol=1e-4, atol=1e-6)


def test_the_kernels_of_msdnet_compile_and_give_the_numbers_of_the_plain_way(card: torch.device) -> None:
    from trainables import msdnet_gpu

    msdnet_gpu.check(card)
    assert msdnet.dense_layers(card) is msdnet_gpu.DenseLayers
