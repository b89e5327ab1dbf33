"""Warp and spatial compensation against plain formulas, pixel by pixel."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modules.spatial_enhancement import SpatialCompensation, flow_head, warp


def plain_warp(features: Tensor, flow: Tensor) -> Tensor:
    """Sample one map (C, h, w) by a flow (2, H, W), one output pixel after the other."""
    channels, h, w = features.shape
    height, width = flow.shape[1:]
    result = torch.zeros(channels, height, width, dtype=features.dtype)
    for i in range(height):
        for j in range(width):
            x = (2 * j / (width - 1) - 1 + float(flow[0, i, j]) / width + 1) / 2 * (w - 1)
            y = (2 * i / (height - 1) - 1 + float(flow[1, i, j]) / height + 1) / 2 * (h - 1)
            left, top = math.floor(x), math.floor(y)
            for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
                if 0 <= column < w and 0 <= row < h:
                    result[:, i, j] += (1 - abs(x - column)) * (1 - abs(y - row)) * features[:, row, column]
    return result


@pytest.mark.parametrize("size", [(6, 9), (3, 3), (11, 4)])
def test_warp_equals_the_plain_formula_for_every_input_size(size: tuple[int, int]) -> None:
    features = torch.randn(2, 3, *size, dtype=torch.float64)
    flow = 4 * torch.randn(2, 2, 6, 9, dtype=torch.float64)
    expected = torch.stack([plain_warp(f, g) for f, g in zip(features, flow, strict=True)])
    # The base grid is computed in float32 also for float64.
    torch.testing.assert_close(warp(features, flow), expected, rtol=0, atol=1e-5)


def test_zero_flow_is_the_identity() -> None:
    features = torch.randn(2, 3, 5, 8)
    torch.testing.assert_close(warp(features, torch.zeros(2, 2, 5, 8)), features, rtol=0, atol=1e-5)


def test_flow_of_one_moves_half_a_pixel_and_x_comes_first() -> None:
    """1 / width of the range [-1, 1], which spans width - 1 pixels, is (width - 1) / (2 width) of a pixel."""
    ramp = torch.arange(20.0).expand(1, 1, 10, 20)
    flow = torch.zeros(1, 2, 10, 20)
    flow[:, 0] = 1
    moved = warp(ramp, flow) - ramp
    torch.testing.assert_close(moved[..., :-1], torch.full((1, 1, 10, 19), 19 / 40), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        warp(ramp.mT.contiguous(), flow.flip(1).mT.contiguous()), warp(ramp, flow).mT, rtol=0, atol=1e-5
    )


def test_outside_of_the_map_is_zero() -> None:
    flow = torch.zeros(1, 2, 6, 6)
    flow[:, 1] = 100
    assert warp(torch.ones(1, 4, 6, 6), flow).count_nonzero() == 0


@pytest.mark.parametrize("size", [(6, 9), (3, 3), (11, 4), (1, 1), (1, 7)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_predictions_with_the_channels_last_sample_the_same(
    size: tuple[int, int], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some positions are outside, some so far that no integer holds them."""
    features = torch.randn(2, 5, *size).to(dtype)
    flow = 8 * torch.randn(2, 2, 6, 9)
    flow[:, :, 0, 0], flow[:, 0, 1, 1], flow[:, 1, 2, 2] = 1e30, -1e30, 1e30
    expected = warp(features, flow.to(dtype))
    monkeypatch.delattr(F, "grid_sample")
    with torch.inference_mode():
        sampled = warp(features.to(memory_format=torch.channels_last), flow.to(dtype))
    assert sampled.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(sampled, expected, rtol=0, atol=0.02 if dtype == torch.bfloat16 else 1e-6)


def test_positions_that_are_no_numbers_read_nothing_outside_of_the_map() -> None:
    features, flow = torch.randn(1, 2, 3, 4).to(memory_format=torch.channels_last), torch.zeros(1, 2, 3, 4)
    flow[:, :, 1, 1] = math.nan
    with torch.inference_mode():
        sampled = warp(features, flow)
    expected = features.clone()
    expected[:, :, 1, 1] = math.nan
    torch.testing.assert_close(sampled, expected, rtol=0, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("width", [1, 2, 3, 5, 7, 13, 24, 25, 118, 119, 500])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_base_grid_is_linspace_in_float32(width: int, dtype: torch.dtype) -> None:
    """Two columns, -1 and 1: sampling between them reads the base grid's positions."""
    features = torch.tensor([-1.0, 1.0], dtype=dtype).expand(1, 1, 2, 2)
    grid = warp(features, torch.zeros(1, 2, 1, width, dtype=dtype))[0, 0, 0]
    torch.testing.assert_close(grid, torch.linspace(-1, 1, width).to(dtype), rtol=0, atol=3e-7)


def test_a_traced_warp_takes_maps_of_a_single_row_or_column() -> None:
    """As OpenVINO does: it traces a map of several."""
    traced = torch.jit.trace(warp, (torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4)), check_trace=False)
    for size in ((1, 1), (1, 3), (4, 1), (5, 7)):
        features, flow = torch.rand(1, 2, *size), torch.rand(1, 2, *size)
        torch.testing.assert_close(traced(features, flow), warp(features, flow))


def test_base_grid_of_a_float64_input_is_rounded_to_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def grid_sample(features: Tensor, grid: Tensor, **_: object) -> Tensor:
        seen.append(grid)
        return features

    monkeypatch.setattr(F, "grid_sample", grid_sample)
    warp(torch.randn(1, 1, 5, 8, dtype=torch.float64), torch.zeros(1, 2, 5, 8, dtype=torch.float64))
    (grid,) = seen
    assert grid.dtype == torch.float64
    assert torch.equal(grid, grid.float().double())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_sampled_in_float32(dtype: torch.dtype) -> None:
    features, flow = torch.randn(1, 4, 6, 6).to(dtype), torch.randn(1, 2, 6, 6).to(dtype)
    sampled = warp(features, flow)
    assert sampled.dtype == dtype
    assert torch.equal(sampled, warp(features.float(), flow.float()).to(dtype))


def test_mixed_types_return_in_the_type_of_the_features() -> None:
    features, flow = torch.randn(1, 4, 6, 6), torch.randn(1, 2, 6, 6)
    assert warp(features, flow.bfloat16()).dtype == torch.float32
    assert warp(features.bfloat16(), flow).dtype == torch.bfloat16


def test_gradients_of_features_and_flow_are_right() -> None:
    features = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    flow = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(warp, (features, flow))


def test_flow_head_returns_two_channels_without_bias() -> None:
    head = flow_head(8)
    assert head.bias is None
    assert head(torch.randn(2, 8, 5, 6)).shape == (2, 2, 5, 6)


def test_compensation_equals_the_plain_formula() -> None:
    module = SpatialCompensation(6).double().eval()
    norm = module.difference.norm
    assert isinstance(norm, nn.BatchNorm2d)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.running_mean, norm.running_var = torch.randn(6).double(), torch.rand(6).double() + 0.5
    low, high = torch.randn(2, 2, 6, 5, 7, dtype=torch.float64)

    x = F.conv2d(high - low, module.get_parameter("difference.conv.weight"), padding=1)
    x = (x - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + 1e-5).sqrt()
    x = x * norm.weight[:, None, None] + norm.bias[:, None, None]
    x = torch.maximum(x, 0.01 * x)
    w = torch.sigmoid(F.conv2d(x, module.get_parameter("weight.weight"), padding=1))
    assert w.shape == (2, 1, 5, 7)
    torch.testing.assert_close(module(low, high), (high + w * high) + (low + (1 - w) * low))


def test_compensation_drops_whole_channels_in_training_only() -> None:
    module = SpatialCompensation(8)
    assert isinstance(module.dropout, nn.Dropout2d)
    assert module.dropout.p == 0.1
    low, high = torch.randn(2, 4, 8, 5, 5)
    assert not torch.equal(module(low, high), module(low, high))
    module.eval()
    assert torch.equal(module(low, high), module(low, high))
