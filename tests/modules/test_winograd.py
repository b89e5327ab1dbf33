"""Winograd's filtering against the convolutions that it stands for."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from modules import winograd
from modules.layers import JoinedConv2d
from modules.winograd import WinogradConv2d, filtered_conv2d, use_winograd
from networks import CSENet


@settings(deadline=None)
@given(
    channels=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    missing=st.integers(0, 2),
    n=st.integers(1, 2),
    size=st.tuples(st.integers(1, 20), st.integers(1, 5)),
    dilation=st.integers(1, 3),
    bias=st.booleans(),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
    strip=st.sampled_from([1, 30, winograd.STRIP]),
)
def test_the_results_are_the_convolutions(
    channels: list[int],
    missing: int,
    n: int,
    size: tuple[int, int],
    dilation: int,
    bias: bool,
    layout: torch.memory_format,
    strip: int,
) -> None:
    conv = JoinedConv2d(sum(channels) + missing, 4, 3, padding=dilation, dilation=dilation, bias=bias).double()
    maps = [torch.randn(n, count, *size, dtype=torch.float64).to(memory_format=layout) for count in channels]
    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "STRIP", strip)
        torch.testing.assert_close(WinogradConv2d(conv)(*maps), conv(*maps), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("height", [28, 119])
def test_rounding_errors_are_two_millionths_at_most(height: int) -> None:
    conv = nn.Conv2d(512, 128, 3, padding=1)
    image = torch.randn(1, 512, height, 9).relu_()
    with torch.inference_mode():
        rounded = WinogradConv2d(conv)(image)
        exact = conv.double()(image.double())
    assert 0 < (rounded - exact).norm() < 2e-6 * exact.norm()


def test_errors_in_bf16_are_at_most_four_times_those_of_a_convolution() -> None:
    conv = nn.Conv2d(512, 128, 3, padding=1)
    image = torch.randn(1, 512, 28, 9).relu_()
    with torch.inference_mode():
        exact = conv.double()(image.double())
        with torch.autocast("cpu", torch.bfloat16):
            ours, theirs = ((layer(image.bfloat16()) - exact).norm() for layer in (WinogradConv2d(conv.float()), conv))
    assert 0 < ours < 4 * theirs


def test_maps_too_small_for_it_are_convolved_as_they_are() -> None:
    """A pooled map of 3 rows would need as many multiplications, and twice the weights."""
    conv = nn.Conv2d(128, 128, 3, padding=1)
    image = torch.randn(1, 128, 3, 3)
    with torch.inference_mode():
        assert torch.equal(WinogradConv2d(conv)(image), conv(image))


@pytest.mark.parametrize(
    ("conv", "is_replaced"),
    [
        (nn.Conv2d(128, 256, 3, padding=1), True),
        (nn.Conv2d(128, 128, 3, padding=2, dilation=2), True),
        (nn.Conv2d(64, 256, 3, padding=1), False),
        (nn.Conv2d(256, 64, 3, padding=1), False),
        (nn.Conv2d(128, 128, 1), False),
        (nn.Conv2d(128, 128, 3, padding=1, stride=2), False),
        (nn.Conv2d(128, 128, 3), False),
        (nn.Conv2d(128, 128, 3, padding=1, groups=2), False),
        (nn.Conv2d(128, 128, 3, padding=1, padding_mode="reflect"), False),
        (nn.Conv2d(128, 128, 3, padding=(1, 2), dilation=(1, 2)), False),
    ],
)
def test_only_what_becomes_faster_is_replaced(conv: nn.Conv2d, is_replaced: bool) -> None:
    network = nn.Sequential(conv)
    use_winograd(network)
    assert isinstance(network[0], WinogradConv2d) == is_replaced


def test_most_3x3_convolutions_of_the_network_are_replaced() -> None:
    with torch.device("meta"):
        network = CSENet(20, (473, 473))
    before = sum(isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3) for module in network.modules())
    use_winograd(network)
    assert (before, sum(isinstance(module, WinogradConv2d) for module in network.modules())) == (71, 47)


@settings(deadline=None)
@given(
    channels=st.integers(1, 3),
    out=st.integers(1, 3),
    n=st.integers(1, 2),
    size=st.tuples(st.integers(1, 20), st.integers(1, 5)),
    dilation=st.integers(1, 3),
    layout=st.sampled_from([torch.contiguous_format, torch.channels_last]),
    strip=st.sampled_from([1, 30, winograd.STRIP]),
)
def test_results_and_gradients_of_training_are_the_convolutions(
    channels: int,
    out: int,
    n: int,
    size: tuple[int, int],
    dilation: int,
    layout: torch.memory_format,
    strip: int,
) -> None:
    x = torch.randn(n, channels, *size, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    weight = torch.randn(out, channels, 3, 3, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "STRIP", strip)
        ours = filtered_conv2d(x, weight, dilation)
        theirs = F.conv2d(x, weight, None, 1, dilation, dilation)
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
        upstream = torch.randn_like(theirs)
        gradients, expected = (torch.autograd.grad(y, (x, weight), upstream) for y in (ours, theirs))
    torch.testing.assert_close(gradients, expected, rtol=1e-11, atol=1e-11)
    assert gradients[1].stride() == weight.stride()


def test_rounding_errors_of_gradients_are_those_of_convolutions_but_for_a_factor() -> None:
    x, weight = torch.randn(2, 128, 60, 47).relu_().requires_grad_(), torch.randn(128, 128, 3, 3).requires_grad_()
    upstream = torch.randn(2, 128, 60, 47)
    exact = torch.autograd.grad(F.conv2d(x.double(), weight.double(), padding=1), (x, weight), upstream.double())
    rounded = torch.autograd.grad(filtered_conv2d(x, weight, 1), (x, weight), upstream)
    for ours, true in zip(rounded, exact, strict=True):
        assert 0 < (ours - true).norm() < 3e-6 * true.norm()


def test_a_training_step_filters_large_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    filtered: list[torch.Size] = []

    def spy(x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        filtered.append(weight.shape)
        return filtered_conv2d(x, weight, dilation)

    monkeypatch.setattr(winograd, "filtered_conv2d", spy)
    network = nn.Sequential(
        JoinedConv2d(3, 128, 3, padding=1, bias=False),
        JoinedConv2d(160, 128, 3, padding=1, bias=False),  # of channels that the map does not have, too
        nn.Conv2d(128, 128, 3, padding=1, bias=False),
    ).to(memory_format=torch.channels_last)

    def step(layout: torch.memory_format, size: int, amp: bool = False) -> Tensor:
        images = torch.ones(2, 3, size, size).contiguous(memory_format=layout)
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            return network(images)

    with torch.no_grad():
        expected = network(torch.ones(2, 3, 48, 48))
    assert not filtered
    torch.testing.assert_close(step(torch.channels_last, 48), expected)
    assert filtered == [(128, 128, 3, 3)]
    for otherwise in (
        lambda: step(torch.channels_last, 24),
        lambda: step(torch.channels_last, 48, amp=True),
        lambda: network.to(memory_format=torch.contiguous_format) and step(torch.contiguous_format, 48),
        lambda: network.to(memory_format=torch.channels_last).eval() and step(torch.channels_last, 48),
    ):
        otherwise()
    assert len(filtered) == 1
