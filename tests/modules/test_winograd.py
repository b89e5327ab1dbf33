"""Winograd's filtering against the convolutions that it stands for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modules import winograd
from modules.layers import JoinedConv2d
from modules.winograd import WinogradConv2d, use_winograd
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
