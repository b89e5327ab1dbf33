"""The small layers that every module shares."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from modules.layers import (
    classifier,
    conv_bn_act,
    conv_bn_act_1d,
    joined_conv_bn_act,
    leaky_relu,
    resize,
    resize_matrix,
)


@pytest.mark.parametrize("kernel_size", [1, 3, 7])
def test_convolutions_keep_the_size_and_have_no_bias(kernel_size: int) -> None:
    layer, strip = conv_bn_act(3, 5, kernel_size), conv_bn_act_1d(3, 5, kernel_size)
    assert layer(torch.randn(2, 3, 8, 9)).shape == (2, 5, 8, 9)
    assert strip(torch.randn(2, 3, 8)).shape == (2, 5, 8)
    for module in (layer, strip):
        assert [name for name, _ in module.named_parameters()] == ["conv.weight", "norm.weight", "norm.bias"]


def test_norms_have_the_published_settings() -> None:
    for norm in (conv_bn_act(3, 5, 1).norm, conv_bn_act_1d(3, 5, 1).norm):
        assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
        assert norm.eps == 1e-5
        assert norm.momentum == 0.1


def test_activation_leaks_a_hundredth() -> None:
    assert leaky_relu()(torch.tensor([-2.0, 0.0, 3.0])).tolist() == pytest.approx([-0.02, 0.0, 3.0])


def test_resize_aligns_the_corners() -> None:
    ramp = torch.arange(4.0).expand(1, 1, 3, 4)
    assert torch.equal(resize(ramp, (3, 7))[0, 0, 0], torch.arange(7) / 2)


@pytest.mark.parametrize("small", [1, 2, 7, 30, 118])
@pytest.mark.parametrize("large", [1, 2, 5, 119, 473])
def test_a_product_with_the_resizing_matrix_is_a_resize(small: int, large: int) -> None:
    maps = torch.randn(2, 3, small, 4, dtype=torch.float64)
    product = resize_matrix(small, large, like=maps) @ maps
    torch.testing.assert_close(product, resize(maps, (large, 4)), rtol=1e-12, atol=1e-12)
    assert resize_matrix(small, large, like=maps.bfloat16()).dtype == torch.float32


def test_a_traced_resizing_matrix_takes_maps_of_a_single_row() -> None:
    def product(maps: Tensor, like: Tensor) -> Tensor:
        return resize_matrix(maps.shape[2], like.shape[2], like=maps) @ maps

    maps = torch.rand(2, 3, 7, 4)
    traced = torch.jit.trace(product, (maps, torch.zeros(2, 3, 5, 4)), check_trace=False)
    for length in (1, 2, 9):
        torch.testing.assert_close(traced(maps, torch.zeros(2, 3, length, 4)), resize(maps, (length, 4)))


class Operations(TorchDispatchMode):
    """Counts the operations that are computed within."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def test_a_matrix_is_made_once_for_each_device_and_type_and_serves_training_after_a_prediction() -> None:
    weight = torch.randn(6, 4, requires_grad=True)
    with torch.inference_mode():
        first = resize_matrix(6, 11, like=weight)
    with Operations() as operations:
        assert resize_matrix(6, 11, like=weight) is first
    assert operations.count == 0
    (first @ weight).sum().backward()  # which keeps the matrix: PyTorch refuses those that only predictions may use
    assert resize_matrix(6, 11, like=weight.double()).dtype == torch.float64
    assert resize_matrix(6, 11, like=weight.to("meta")).is_meta
    with FakeTensorMode():
        assert isinstance(resize_matrix(6, 11, like=torch.empty(3)), FakeTensor)
    assert resize_matrix(6, 11, like=weight) is first


def test_a_fake_matrix_is_not_kept_for_real_maps() -> None:
    maps = torch.randn(2, 9, 3)
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert isinstance(resize_matrix(9, 13, like=maps), FakeTensor)
    assert type(resize_matrix(9, 13, like=maps) @ maps) is Tensor


def test_classifier_adds_its_bias() -> None:
    layer = classifier(3, 2).eval()
    nn.init.zeros_(layer.get_parameter("conv.weight"))
    layer.get_parameter("conv.bias").data.copy_(torch.tensor([1.0, 2.0]))
    assert torch.equal(layer(torch.randn(1, 3, 1, 1)).flatten(), torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_classifier_in_training_is_dropout_and_convolution_without_a_copy_of_the_map(
    layout: torch.memory_format,
) -> None:
    layer = classifier(24, 5).double().train()
    dropout, conv = layer
    x = torch.randn(2, 24, 6, 7, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    inputs = [x, *layer.parameters()]
    torch.manual_seed(3)
    expected = conv(dropout(x))
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(3)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        actual = layer(x)
    assert (actual != conv(x)).any(), "channels are dropped"
    torch.testing.assert_close(actual, expected)
    upstream = torch.randn_like(expected)
    gradients = torch.autograd.grad(actual, inputs, upstream)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, inputs, upstream))
    assert [place for place, size in kept.items() if size >= x.nbytes] == [x.untyped_storage().data_ptr()]


@pytest.mark.parametrize("has_bias", [False, True], ids=["BatchNorm", "BatchNorm folded"])
def test_maps_need_not_be_joined_to_be_convolved_together(has_bias: bool) -> None:
    layers = conv_bn_act(9, 4, 3).double().eval()
    if has_bias:
        layers[0].bias = nn.Parameter(torch.randn(4, dtype=torch.float64))
    maps = [torch.randn(2, channels, 6, 7, dtype=torch.float64) for channels in (2, 3, 4)]
    torch.testing.assert_close(joined_conv_bn_act(layers, *maps), layers(torch.cat(maps, dim=1)))
