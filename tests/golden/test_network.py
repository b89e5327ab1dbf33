"""The network against the published one: what it predicts, and one training step of it."""

from typing import NamedTuple
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from modules import winograd
from networks import CSENet
from tests.golden.recorded import label_maps, load, random_images
from tests.support.building import Build, trainable_copy
from utils.checkpoint import to_published
from utils.losses import CSENetLoss

MAPS = ("coarse", "body", "final", "edge")
STRIPS = ("rows", "cols")
# Recorded name -> ours, where they differ.
TERMS = {
    "ce0": "coarse_ce",
    "ce1": "body_ce",
    "ce2": "final_ce",
    "lovasz0": "coarse_lovasz",
    "lovasz1": "body_lovasz",
    "lovasz2": "final_lovasz",
}


@pytest.mark.parametrize("name", ["forward_97", "forward_97x129", "forward_129x97_built", "forward_473"])
def test_outputs_are_the_published_ones(name: str, network_for: Build) -> None:
    recorded = load(name)
    height, width = (int(size) for size in recorded["train_size"])
    stride = int(recorded["stride"])
    with torch.no_grad():
        out = network_for((height, width))(random_images(int(recorded["image_seed"]), recorded["image_shape"]))
    for output in MAPS:
        np.testing.assert_allclose(getattr(out, output)[..., ::stride, ::stride], recorded[output], rtol=0, atol=1e-4)
    for output in STRIPS:
        np.testing.assert_allclose(getattr(out, output), recorded[output], rtol=0, atol=1e-4)


def test_multiscale_fusion_is_the_published_one(network: CSENet) -> None:
    """The fusion itself is written out here, so that it is the network that is compared."""
    recorded = load("multiscale_97")
    images = random_images(int(recorded["image_seed"]), recorded["image_shape"])
    size = images.shape[-2:]

    def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
        return F.interpolate(x, size=size, mode="bilinear", align_corners=True)

    channels = list(range(20))
    for left, right in ((14, 15), (16, 17), (18, 19)):
        channels[left], channels[right] = right, left
    at_scale = {}
    for scale in (0.75, 1.0, 1.25):
        scaled = resize(images, tuple(int(length * scale) for length in size))
        with torch.no_grad():
            plain, mirrored = network(torch.cat([scaled, scaled.flip(3)])).final
        at_scale[scale] = resize((plain + mirrored.flip(2)[channels])[None] / 2, size)[0]
    fused = torch.stack(list(at_scale.values())).mean(dim=0)
    for logits, prefix in ((fused, ""), (at_scale[1.0], "single_")):
        np.testing.assert_allclose(logits, recorded[f"{prefix}logits"], rtol=0, atol=1e-4)
        assert np.mean(logits.argmax(0).numpy() == recorded[f"{prefix}argmax"]) >= 0.9999


class Step(NamedTuple):
    """What one SGD step left behind; norms by published name."""

    dtype: torch.dtype
    loss: float
    terms: dict[str, float]
    gradients: dict[str, float]
    state: dict[str, float]


@pytest.fixture(
    scope="module",
    params=[(torch.float64, False), (torch.float32, False), (torch.float32, True)],
    ids=["float64", "float32", "float32 filtered"],
)
def step(request: pytest.FixtureRequest, network: CSENet) -> Step:
    """The recorded training step: dropout off, BatchNorm in training mode; filtered, as large maps are on a CPU."""
    dtype, is_filtered = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "MIN_PIXELS", 0)
        spy = Mock(wraps=winograd.filtered_conv2d)
        patch.setattr(winograd, "filtered_conv2d", spy)
        step = _step(trainable_copy(network).to(dtype), is_filtered)
        assert spy.called == is_filtered
        return step


def _step(model: CSENet, is_filtered: bool) -> Step:
    recorded = load("train_97")
    dtype = next(model.parameters()).dtype
    if is_filtered:
        model.to(memory_format=torch.channels_last)
    for module in model.modules():
        if isinstance(module, nn.Dropout2d):
            module.p = 0.0
    images = random_images(int(recorded["image_seed"]), recorded["image_shape"]).to(dtype)
    labels = label_maps(int(recorded["label_seed"]), *(int(n) for n in recorded["image_shape"][[0, 2, 3]]))
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=float(recorded["lr"]),
        momentum=float(recorded["momentum"]),
        weight_decay=float(recorded["weight_decay"]),
    )
    total, terms = CSENetLoss(20)(model(images), labels)
    assert total.dtype == dtype
    total.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    gradient_norms = {name: tensor.norm().item() for name, tensor in to_published(gradients).items()}
    optimizer.step()
    state = {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
    return Step(
        dtype,
        total.item(),
        {name: term.item() for name, term in terms.items()},
        gradient_norms,
        {name: tensor.norm().item() for name, tensor in to_published(state).items()},
    )


def _compare(measured: dict[str, float], names: NDArray, recorded: NDArray, rtol: float, atol: float = 0.0) -> None:
    np.testing.assert_allclose([measured[str(name)] for name in names], recorded, rtol=rtol, atol=atol)


def test_loss_and_each_term_are_the_published_ones(step: Step) -> None:
    recorded = load("train_97")
    rtol = 1e-9 if step.dtype == torch.float64 else 1e-5
    assert step.loss == pytest.approx(float(recorded["loss"]), rel=rtol)
    names = np.array([TERMS.get(str(name), str(name)) for name in recorded["term_names"]])
    assert set(names) == set(step.terms)
    _compare(step.terms, names, recorded["term_values"], rtol)


def test_gradient_of_every_parameter_is_the_published_one(step: Step) -> None:
    recorded = load("train_97")
    assert set(step.gradients) == {str(name) for name in recorded["grad_names"]}
    if step.dtype == torch.float64:
        _compare(step.gradients, recorded["grad_names"], recorded["grad_norms"], 1e-9)
    else:
        overall = float(np.linalg.norm(recorded["grad_norms"]))
        _compare(step.gradients, recorded["grad_names"], recorded["grad_norms"], 0.0, 1e-3 * overall)


def test_parameters_and_norm_statistics_after_the_step_are_the_published_ones(step: Step) -> None:
    recorded = load("train_97")
    assert len(recorded["bn_names"]) == 330
    exact = step.dtype == torch.float64
    _compare(step.state, recorded["grad_names"], recorded["param_norms_after_step"], 1e-9 if exact else 1e-3)
    _compare(step.state, recorded["bn_names"], recorded["bn_norms_after_step"], 1e-9 if exact else 1e-5)
