"""Enhancement stage of the decoder: joins the semantic map so far with the next finer map of the backbone.

Both maps are projected to C channels; then follow this network's two ideas (channel enhancement, and flow alignment of
both maps with spatial compensation), and a 3 x 3 convolution that sees the projected fine map once more.
"""

import torch
from torch import Tensor, nn

from modules.channel_enhancement import ChannelEnhancement
from modules.layers import conv_bn_act, resize
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
        both = torch.cat([resize(self.high_reduce(high), low.shape[-2:]), self.low_reduce(low)], dim=1)
        low, high = warp(low, self.low_flow(both)), warp(high, self.high_flow(both))
        return self.merge(torch.cat([self.compensation(low, high), detail], dim=1))
