"""Context alignment: join the backbone's deepest map with a 3 x 3 pooling of itself.

Pooling for global context is that of pyramid pooling (PSPNet: Zhao et al., CVPR 2017), with one level; how pooled map
and map are joined are this network's two ideas, channel enhancement and flow alignment with spatial compensation.
"""

import torch
from torch import Tensor, nn

from modules.channel_enhancement import ChannelEnhancement
from modules.layers import conv_bn_act, resize
from modules.pooling import bin_means
from modules.spatial_enhancement import SpatialCompensation, flow_head, warp


class ContextAlignment(nn.Module):
    """Pool a map to 3 x 3, enhance the channels of both, warp the pooled map onto the map, and merge them."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.summary = nn.Sequential(conv_bn_act(in_channels, in_channels, 1), conv_bn_act(in_channels, channels, 3))
        self.adapt = nn.Sequential(conv_bn_act(in_channels, in_channels, 1), conv_bn_act(in_channels, channels, 3))
        self.channel_enhancement = ChannelEnhancement(channels)
        self.flow = nn.Sequential(conv_bn_act(2 * channels, channels, 3), nn.Dropout2d(0.1), flow_head(channels))
        self.compensation = SpatialCompensation(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels, H, W)."""
        high = self.summary(_pool_3x3(x))
        low = self.adapt(x)
        low, high = self.channel_enhancement(low, high)
        flow = self.flow(torch.cat([low, resize(high, low.shape[-2:])], dim=1))
        return self.compensation(low, warp(high, flow))


def _pool_3x3(x: Tensor) -> Tensor:
    """Average a map (N, C, H, W) into 3 x 3 bins: (N, C, 3, 3)."""
    # Channels before the averaged axis: a row's pixels are a matrix then, of maps with the channels last, too.
    of_columns = bin_means(x.permute(0, 2, 1, 3), 3)  # (N, H, C, 3)
    return bin_means(of_columns.permute(0, 3, 2, 1), 3).permute(0, 2, 3, 1)
