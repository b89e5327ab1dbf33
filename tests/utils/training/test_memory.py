"""The backward pass of a lean forward pass computes maps again instead of keeping them."""

import contextlib
import copy
import gc
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from modules.layers import classifier, conv_bn_act
from networks import CSENet
from utils.losses import CSENetLoss
from utils.training.memory import lean_forward

Bits = dict[str, Tensor]


def gradients(network: nn.Module, loss: Callable[[], Tensor], context: AbstractContextManager[None]) -> Bits:
    """Return all gradients and statistics after a step whose forward pass ran in `context`."""
    torch.manual_seed(1)
    with context:
        value = loss()
    value.backward()
    found = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return found | dict(network.named_buffers())


def assert_same_bits(found: Bits, expected: Bits) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def test_every_gradient_and_statistic_of_the_network_has_the_same_bits(short_network: CSENet) -> None:
    images, labels = torch.randn(2, 3, 65, 81), torch.randint(0, 20, (2, 65, 81), dtype=torch.uint8)
    criterion, results = CSENetLoss(20), []
    for lean in (False, True):
        network = copy.deepcopy(short_network).train()

        def loss(network: CSENet = network) -> Tensor:
            return criterion(network(images), labels)[0]

        results.append(gradients(network, loss, lean_forward(network) if lean else contextlib.nullcontext()))
    assert_same_bits(*results)


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_layouts_and_lower_precision_have_the_same_bits(layout: torch.memory_format, amp: bool) -> None:
    plain = nn.Sequential(conv_bn_act(3, 8, 3), conv_bn_act(8, 8, 3), classifier(8, 5)).to(memory_format=layout)
    images, results = torch.randn(2, 3, 17, 21).to(memory_format=layout), []
    for lean in (False, True):
        network = copy.deepcopy(plain)

        def loss(network: nn.Module = network) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=amp):
                return cast(Tensor, network(images).float().square().sum())

        results.append(gradients(network, loss, lean_forward(network) if lean else contextlib.nullcontext()))
    assert_same_bits(*results)


class Doubled(nn.Module):
    """Overwrites its input, and is no activation."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(2)


@pytest.mark.parametrize(
    "overwriting",
    [[Doubled()], [Doubled(), nn.ReLU(inplace=True)]],
    ids=["alone", "before an activation"],
)
def test_what_overwrites_a_normalised_map_is_not_forgotten(overwriting: list[nn.Module]) -> None:
    conv = nn.Conv2d(3, 1, 1)
    network, x = nn.Sequential(nn.BatchNorm2d(3), *overwriting, conv), torch.randn(2, 3, 4, 4)
    network(x).sum().backward()
    expected, conv.weight.grad = cast(Tensor, conv.weight.grad), None
    with lean_forward(network):
        out = network(x)
    out.sum().backward()
    assert torch.equal(cast(Tensor, conv.weight.grad), expected)


@pytest.mark.parametrize("lean", [False, True])
def test_normalised_maps_do_not_outlive_the_forward_pass(lean: bool) -> None:
    network = nn.Sequential(conv_bn_act(3, 8, 3), conv_bn_act(8, 8, 3), nn.Flatten(2), nn.Conv1d(8, 1, 1))
    maps: list[StorageWeakRef] = []
    for module in network.modules():
        if isinstance(module, nn.LeakyReLU):
            module.register_forward_hook(lambda _, __, y: maps.append(StorageWeakRef(y.untyped_storage())))
    with lean_forward(network) if lean else contextlib.nullcontext():
        out = network(torch.randn(2, 3, 9, 9))
    assert [each.expired() for each in maps] == [lean, lean]
    out.sum().backward()
    assert [each.expired() for each in maps] == [True, True]


def test_a_forward_pass_without_a_backward_pass_leaves_nothing() -> None:
    network = nn.Sequential(conv_bn_act(3, 8, 3), nn.Sigmoid())
    with lean_forward(network):
        out = network(torch.randn(2, 3, 9, 9))
    kept = StorageWeakRef(out.untyped_storage())
    gc.disable()
    try:
        del out
        assert kept.expired()
    finally:
        gc.enable()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
