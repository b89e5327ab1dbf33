"""Spatial enhancement, the paper's second idea: align two maps by a flow field, and compensate where they differ.

The alignment is that of SFNet's flow alignment module (Li et al., "Semantic Flow for Fast and Accurate Scene Parsing",
ECCV 2020): a convolution on both maps predicts a flow field, by which a map is sampled bilinearly. The compensation
turns the difference of the aligned maps into one weight a pixel:

    w   = sigmoid(Conv(Dropout(CBL(high - low))))
    out = (high + w high) + (low + (1 - w) low)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modules.layers import conv_bn_act, intervals, is_traced, made_once


class SpatialCompensation(nn.Module):
    """Add two aligned maps, each weighed pixel by pixel by their difference."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.difference = conv_bn_act(channels, channels, 3)
        self.dropout = nn.Dropout2d(0.1)
        self.weight = nn.Conv2d(channels, 1, 3, padding=1, bias=False)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Merge two maps (N, C, H, W) into one of the same shape."""
        difference = high - low
        weight = torch.sigmoid(self.weight(self.dropout(self.difference(difference))))
        # The sum above with its terms in another order: of the maps only the difference is kept for the backward pass.
        return torch.addcmul(torch.add(high, low, alpha=2), weight, difference)


def flow_head(channels: int) -> nn.Conv2d:
    """Return the convolution that ends in a flow field: (N, channels, H, W) -> (N, 2, H, W)."""
    return nn.Conv2d(channels, 2, 3, padding=1, bias=False)


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """Sample features (N, C, h, w), of any size, at the flow field's positions.

    The flow (N, 2, H, W), x first, is divided by the output's (W, H) and added to a base grid over [-1, 1]: a flow
    of 1 moves about half an output pixel. That is how the published weights were trained. Bilinear, zeros
    outside. Half-precision inputs are sampled in float32, the result returns in the type of `features`.

    Returns (N, C, H, W).
    """
    dtype = torch.promote_types(features.dtype, torch.float32)
    height, width = flow.shape[-2:]
    flow = flow.to(dtype)
    x, y = _base_axis(width, like=flow), _base_axis(height, like=flow)
    grid = torch.stack((x + flow[:, 0] / width, y[:, None] + flow[:, 1] / height), dim=-1)
    is_prediction = not is_traced() and torch.is_inference_mode_enabled()
    if is_prediction and features.device.type == "cpu" and features.is_contiguous(memory_format=torch.channels_last):
        sampled = _sample_channels_last(features.to(dtype), grid)
    else:
        sampled = F.grid_sample(features.to(dtype), grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return sampled.to(features.dtype)


def _sample_channels_last(features: Tensor, grid: Tensor) -> Tensor:
    """Return what `F.grid_sample` does in `warp`, without gradients, in a fifth of its time on a CPU.

    Each result is the sum of four pixels' channels, which lie together in memory: what an embedding bag sums.
    """
    n, channels, h, w = features.shape
    size = grid.new_tensor([w, h])
    # Farther out is nothing but zeros, and no integer might hold the position.
    position = ((grid + 1) / 2 * (size - 1)).clamp(size.new_tensor(-1), size)
    first = position.floor()
    right, below = (position - first).unbind(-1)
    x, y = first.long().unbind(-1)
    columns, rows = torch.stack((x, x + 1, x, x + 1), dim=-1), torch.stack((y, y, y + 1, y + 1), dim=-1)
    shares = torch.stack(((1 - right) * (1 - below), right * (1 - below), (1 - right) * below, right * below), dim=-1)
    is_inside = (columns >= 0) & (columns < w) & (rows >= 0) & (rows < h)
    images = torch.arange(n, device=grid.device)[:, None, None, None] * (h * w)
    pixels = images + rows.clamp(0, h - 1) * w + columns.clamp(0, w - 1)
    sampled = F.embedding_bag(
        pixels.flatten(0, 2),
        features.permute(0, 2, 3, 1).reshape(-1, channels),
        per_sample_weights=(shares * is_inside).flatten(0, 2),
        mode="sum",
    )
    return sampled.view(n, *grid.shape[1:3], channels).permute(0, 3, 1, 2)


@made_once
def _base_axis(length: int, *, like: Tensor) -> Tensor:
    """Return `linspace(-1, 1, length)` with the device and type of `like`.

    The rounding to float32 also happens for float64: the recorded numbers of the published network have it.
    """
    if is_traced():
        # `torch.linspace` ties an exported or compiled network to one size.
        axis = torch.arange(length, dtype=torch.float32, device=like.device) * (2 / intervals(length)) - 1
    else:
        axis = torch.linspace(-1, 1, length, device=like.device)
    return axis.to(like.dtype)
