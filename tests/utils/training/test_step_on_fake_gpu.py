"""A training step and a prediction on a GPU that is not there: devices, types, and what waits for the GPU."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from networks import CSENet, resnet
from tests.support.building import without_middle_stages
from tests.support.fake_gpu import DEVICE, HostSynchronisationError, NoWaiting, fake_gpu
from utils.inference.crop_parser import fused_logits
from utils.inference.engines import TorchEngine
from utils.losses import CSENetLoss
from utils.training.state import TrainingState
from utils.training.step import take_step

pytestmark = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 9),
    reason="not tried with PyTorch before 2.9: 2.6 asks the driver about fake tensors, too",
)

K, SIDE = 5, 65


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[CSENet]:
    """One of each of the network's parts, with a single block in each layer of the backbone."""
    monkeypatch.setattr(resnet, "BLOCKS", {50: (1, 1, 1, 1)})
    monkeypatch.setattr(nn.init, "kaiming_normal_", lambda *_, **__: None)
    monkeypatch.setattr(nn.init, "kaiming_uniform_", lambda *_, **__: None)
    with fake_gpu(), torch.device(DEVICE):
        yield without_middle_stages(CSENet(K, (SIDE, SIDE), depth=50))


def training_state(network: nn.Module, amp: str) -> TrainingState:
    """Return what `take_step` needs of a training's state."""
    config = SimpleNamespace(accumulate=2 if amp == "fp16" else 1, amp=amp, mixup=True, random_seed=0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, fused=True)
    state = SimpleNamespace(
        config=config,
        device=DEVICE,
        layout=torch.channels_last,
        network=network,
        criterion=CSENetLoss(K),
        optimizer=optimizer,
        scaler=torch.amp.GradScaler("cuda", enabled=amp == "fp16"),
        batches=SimpleNamespace(batch_number=lambda micro_step: micro_step),
        step=0,
        learning_rate=lambda step: 0.1,
    )
    return cast(TrainingState, state)


def batches() -> Iterator[dict[str, Tensor]]:
    """Yield batches as the loader does, on the host."""
    with torch.device("cpu"):
        while True:
            image = torch.empty(2, 3, SIDE, SIDE, dtype=torch.uint8)
            yield {"image": image, "label": torch.empty(2, SIDE, SIDE, dtype=torch.uint8)}


@pytest.fixture(params=["off", "bf16", "fp16"])
def amp(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_step_stays_on_the_gpu_and_waits_for_it_only_where_the_loss_must(
    network: CSENet, amp: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches that are mixed up with themselves, forward, losses, backward and the optimiser's update.

    A batch alone, and two of them where gradients are scaled, which is where the second batch has most to do.
    """
    monkeypatch.setattr("utils.training.step.MIXUP_PROBABILITY", 1.0)
    state = training_state(network.train(), amp)
    with NoWaiting():
        terms = take_step(state, batches())
    assert {term.device for term in terms.values()} == {DEVICE}
    assert {term.dtype for term in terms.values()} == {torch.float32}
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad.device, parameter.grad.dtype) == (DEVICE, torch.float32), name
        assert state.optimizer.state[parameter]["momentum_buffer"].device == DEVICE, name


def test_predictions_at_several_scales_stay_on_the_gpu(network: CSENet, amp: str) -> None:
    engine = TorchEngine(network.eval(), DEVICE, amp=amp)
    with torch.no_grad():
        images = torch.empty(1, 3, SIDE, SIDE)
        logits = fused_logits(engine, images, scales=(1.0, 1.25), flip_pairs=[(1, 2)])
    assert (logits.device, logits.dtype, logits.shape[1]) == (DEVICE, torch.float32, K)


@pytest.mark.parametrize(
    "spoil",
    [
        Tensor.cpu,
        Tensor.item,
        bool,
        Tensor.nonzero,
        lambda x: x.to("cpu") + x,
        lambda x: torch.tensor([1.0]).to(DEVICE),
    ],
    ids=["cpu", "item", "bool", "nonzero", "other device", "copy that waits"],
)
def test_what_waits_for_the_gpu_is_noticed(spoil: Any) -> None:
    with fake_gpu():
        value = torch.empty((), device=DEVICE)
        with (
            torch.device("cpu"),
            NoWaiting(),
            pytest.raises((HostSynchronisationError, RuntimeError, NotImplementedError)),
        ):
            spoil(value)
