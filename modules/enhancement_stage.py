"""Enhancement stage of the decoder: joins the semantic map so far with the next finer map of the backbone.

Both maps are projected to C channels; then follow this network's two ideas (channel enhancement, and flow alignment of
both maps with spatial compensation), and a 3 x 3 convolution that sees the projected fine map once more.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modules.channel_enhancement import ChannelEnhancement
from modules.layers import conv_bn_act, joined_conv_bn_act
from modules.resized_convolution import conv3x3_of_resized
from modules.spatial_enhancement import SpatialCompensation, flow_head, warp


class EnhancementStage(nn.Module):
    """Join a backbone map (`low`) with the decoder's map so far (`high`), each warped by a flow field of its own.

    Args:
        low_channels: of the backbone's map. high_channels: of the decoder's map. channels: C, of the result.
    """

    def __init__(self, low_channels: int, high_channels: int, channels: int) -> None:
        super().__init__()
        self.low_project = conv_bn_act(low_channels, channels, 1)
        self.high_project = conv_bn_act(high_channels, channels, 1)
        self.channel_enhancement = ChannelEnhancement(channels)
        self.low_reduce = conv_bn_act(channels, channels, 1)
        self.high_reduce = conv_bn_act(channels, channels, 1)
        self.low_flow = nn.Sequential(nn.Dropout2d(0.1), flow_head(2 * channels))
        self.high_flow = nn.Sequential(nn.Dropout2d(0.1), flow_head(2 * channels))
        self.compensation = SpatialCompensation(channels)
        self.merge = conv_bn_act(2 * channels, channels, 3)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Map low (N, low_channels, H, W) and high (N, high_channels, H', W') to (N, channels, H, W)."""
        detail = self.low_project(low)
        low, high = self.channel_enhancement(detail, self.high_project(high))
        low_flow, high_flow = self._flows(self.high_reduce(high), self.low_reduce(low))
        low, high = warp(low, low_flow), warp(high, high_flow)
        return joined_conv_bn_act(self.merge, self.compensation(low, high), detail)

    def _flows(self, high: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
        """Return the flow fields (N, 2, H, W) of both maps, by high (N, C, H', W') and low (N, C, H, W)."""
        heads = self.low_flow, self.high_flow
        weights = [cast(nn.Conv2d, conv).weight for _, conv in heads]
        if self.training:  # each has a draw of dropout of its own
            parts = [_flow(w, dropout(high), dropout(low)) for w, (dropout, _) in zip(weights, heads, strict=True)]
        else:
            parts = list(_flow(torch.cat(weights), high, low).split(2, dim=1))
        return parts[0], parts[1]


def _flow(weight: Tensor, high: Tensor, low: Tensor) -> Tensor:
    """Return the 3 x 3 convolution of torch.cat([resize(high, low.shape[-2:]), low], dim=1): (N, out, H, W)."""
    of_high, of_low = weight.split((high.shape[1], low.shape[1]), dim=1)
    return conv3x3_of_resized(high, of_high, low.shape[-2:]) + F.conv2d(low, of_low, padding=1)
