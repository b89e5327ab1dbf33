"""The network as a whole: what it accepts, what it returns, how it starts, and that all of it learns."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks import CSENet, CSENetOutput
from tests.support.building import Build, empty_network, trainable_copy
from utils.losses import CSENetLoss

ODD_SIZES = [(65, 65), (65, 98), (131, 77)]


def quarter(length: int) -> int:
    """Return the size after two of the backbone's strides of 2, each rounding up."""
    return math.ceil(math.ceil(length / 2) / 2)


def assert_close(a: CSENetOutput, b: CSENetOutput, tolerance: float) -> None:
    for name, x, y in zip(CSENetOutput._fields, a, b, strict=True):
        assert x.shape == y.shape, name
        assert (x - y).abs().max() <= tolerance, name


def test_has_the_published_number_of_parameters_and_tensors(network: CSENet) -> None:
    assert sum(parameter.numel() for parameter in network.parameters()) == 102_883_108
    assert len(network.state_dict()) == 1053


@pytest.mark.parametrize("size", ODD_SIZES)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_one_image_of_any_size_gives_six_outputs(size: tuple[int, int], training: bool, short_network: CSENet) -> None:
    model = trainable_copy(short_network) if training else short_network
    with torch.no_grad():
        out = model(torch.randn(1, 3, *size))
    height, width = quarter(size[0]), quarter(size[1])
    assert out.coarse.shape == (1, 20, quarter(height), quarter(width))
    assert out.body.shape == out.final.shape == (1, 20, height, width)
    assert out.edge.shape == (1, 2, height, width)
    assert (out.rows.shape, out.cols.shape) == ((1, 20, 16), (1, 20, 20))
    for name, output in out._asdict().items():
        assert output.isfinite().all(), name
        assert output.std() > 0, name
    for strip in (out.rows, out.cols):
        assert 0 < strip.min() < strip.max() < 1


def test_backbone_has_the_published_strides(network: CSENet) -> None:
    with torch.no_grad():
        maps = network.backbone(torch.randn(1, 3, 97, 129))
    shapes = [tuple(m.shape[1:]) for m in maps]
    assert shapes == [(256, 25, 33), (512, 13, 17), (1024, 7, 9), (2048, 7, 9)]


def test_bins_follow_the_training_size_and_not_the_image(network_for: Build) -> None:
    with torch.no_grad():
        out = network_for((473, 129))(torch.randn(1, 3, 65, 98))
    assert out.rows.shape == (1, 20, 118)
    assert out.cols.shape == (1, 20, 32)
    assert out.final.shape == (1, 20, 17, 25)


def test_images_of_a_batch_do_not_influence_each_other(short_network: CSENet) -> None:
    images = torch.randn(3, 3, 65, 98)
    with torch.no_grad():
        together = short_network(images)
        alone = [short_network(image[None]) for image in images]
    assert_close(together, CSENetOutput(*(torch.cat(parts) for parts in zip(*alone, strict=True))), 1e-4)


def test_input_is_left_as_it_was(short_network: CSENet) -> None:
    images = torch.randn(1, 3, 65, 65)
    before = images.clone()
    with torch.no_grad():
        short_network(images)
    assert torch.equal(images, before)


def test_float64_is_close_to_float32(short_network: CSENet) -> None:
    images = torch.randn(1, 3, 65, 98)
    with torch.no_grad():
        expected = short_network(images)
        out = trainable_copy(short_network).eval().double()(images.double())
    assert all(output.dtype == torch.float64 for output in out)
    assert_close(CSENetOutput(*(output.float() for output in out)), expected, 1e-4)


def test_channels_last_is_equal(short_network: CSENet) -> None:
    images = torch.randn(2, 3, 65, 98)
    model = trainable_copy(short_network).eval().to(memory_format=torch.channels_last)
    with torch.no_grad():
        out = model(images.to(memory_format=torch.channels_last))
        assert_close(out, short_network(images), 1e-4)


def test_bfloat16_autocast_is_close_and_samples_in_float32(
    short_network: CSENet, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.randn(1, 3, 65, 65)  # bfloat16 is emulated, in seconds, where the processor lacks it
    sampled: list[tuple[torch.dtype, torch.dtype]] = []
    grid_sample = F.grid_sample

    def spy(features: Tensor, grid: Tensor, **options: Any) -> Tensor:
        sampled.append((features.dtype, grid.dtype))
        return grid_sample(features, grid, **options)

    with torch.no_grad():
        expected = short_network(images)
        monkeypatch.setattr(F, "grid_sample", spy)
        with torch.autocast("cpu", torch.bfloat16):
            out = short_network(images)
    assert out.final.dtype == torch.bfloat16
    assert sampled == [(torch.float32, torch.float32)] * 9  # one in the alignment, two in each stage
    for name, half, full in zip(CSENetOutput._fields, out, expected, strict=True):
        assert half.isfinite().all(), name
        assert (half.float() - full).square().mean().sqrt() < 0.05 * full.std() + 0.01, name
    assert (out.final.argmax(1) == expected.final.argmax(1)).float().mean() > 0.9


def test_every_parameter_gets_a_gradient_from_a_single_image(short_network: CSENet) -> None:
    """Also under bfloat16 autocast, where the loss itself stays in float32."""
    model = trainable_copy(short_network)
    labels = torch.zeros(1, 65, 65, dtype=torch.uint8)
    labels[:, 10:40, 20:50] = 3
    with torch.autocast("cpu", torch.bfloat16):
        total, terms = CSENetLoss(20)(model(torch.randn(1, 3, 65, 65)), labels)
    assert total.dtype == torch.float32
    assert all(term.dtype == torch.float32 for term in terms.values())
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.count_nonzero() > 0, name


@pytest.fixture(scope="module")
def fresh() -> CSENet:
    """A network of 7 classes and depth 50, initialised as a training would."""
    torch.manual_seed(0)
    return CSENet(7, (97, 97), depth=50)


def test_convolutions_start_kaiming_normal(fresh: CSENet) -> None:
    convolutions = [m for m in fresh.modules() if isinstance(m, nn.Conv1d | nn.Conv2d)]
    assert len(convolutions) > 100
    deviations = []
    for conv in convolutions:
        fan_in = conv.weight[0].numel()
        scaled = conv.weight.detach() * math.sqrt(fan_in / 2)  # standard normal if Kaiming
        error = 6 / math.sqrt(scaled.numel())
        assert abs(scaled.std().item() - 1) < error
        assert abs(scaled.mean().item()) < error
        deviations.append(scaled.abs().max().item())
    assert max(deviations) > 4  # a uniform distribution would end at sqrt(3)


def test_everything_else_starts_as_the_specification_says(fresh: CSENet) -> None:
    for module in fresh.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
            assert module.eps == 1e-5
            assert module.momentum == 0.1
        elif isinstance(module, nn.Linear):
            bound = 1 / math.sqrt(module.in_features)  # PyTorch's default: uniform
            assert module.bias is None
            assert module.weight.abs().max() <= bound
            assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        elif isinstance(module, nn.Conv1d | nn.Conv2d) and module.bias is not None:
            assert module.bias.abs().max() <= 1 / math.sqrt(module.weight[0].numel())
            assert module.bias.count_nonzero() > 0
    gates = {name: p for name, p in fresh.named_parameters() if name.endswith("_gate")}
    assert len(gates) == 11
    assert all((gate == 1).all() for gate in gates.values())


def test_depth_and_classes_are_the_callers_choice(fresh: CSENet) -> None:
    out = fresh.eval()(torch.randn(1, 3, 65, 65))
    assert out.final.shape[1] == out.rows.shape[1] == out.coarse.shape[1] == 7
    assert out.edge.shape[1] == 2
    stages = [fresh.backbone.layer1, fresh.backbone.layer2, fresh.backbone.layer3, fresh.backbone.layer4]
    assert [len(stage) for stage in stages] == [3, 4, 6, 3]


def test_another_depth_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"depth 34 is not available; choose one of \[50, 101\]"):
        empty_network(depth=34)
