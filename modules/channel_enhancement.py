"""Channel enhancement, the paper's first idea: squeeze-and-excitation (Hu, Shen, Sun, CVPR 2018) on a difference.

Squeeze-and-excitation pools a map globally, and weighs its channels by what two linear layers make of that descriptor.
Here the descriptors g_h and g_l of a semantic map (high) and a detailed one (low) are subtracted first:

    g_h = LeakyReLU(W_h GAP(high))        g_l = LeakyReLU(W_l GAP(low))
    a   = sigmoid(W_2 LeakyReLU(W_1 (g_h - g_l)))
    s_l = gamma a g_l + g_l               s_h = beta (1 - a) g_h + g_h
    low'  = CBL(low + s_l low)            high' = CBL(high + s_h high)

with GAP the global average pooling, CBL a 1 x 1 convolution with BatchNorm and LeakyReLU, and gamma and beta learned.
"""

import torch
from torch import Tensor, nn

from modules.layers import conv_bn_act, leaky_relu


class ChannelEnhancement(nn.Module):
    """Weigh the channels of a detailed map (`low`) and a semantic map (`high`) by the difference of their descriptors.

    The attention that strengthens a channel of the one weakens it in the other.

    Args:
        channels: C, of both maps.
        reduction: by how much W_1 narrows the difference, C -> C / reduction.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.low_descriptor = nn.Linear(channels, channels, bias=False)
        self.high_descriptor = nn.Linear(channels, channels, bias=False)
        self.reduce = nn.Linear(channels, channels // reduction, bias=False)
        self.expand = nn.Linear(channels // reduction, channels, bias=False)
        self.act = leaky_relu()
        self.low_gate = nn.Parameter(torch.ones(1))
        self.high_gate = nn.Parameter(torch.ones(1))
        self.low_conv = conv_bn_act(channels, channels, 1)
        self.high_conv = conv_bn_act(channels, channels, 1)

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Map low (N, C, H, W) and high (N, C, H', W') to enhanced maps of the same shapes."""
        low_pooled = self.act(self.low_descriptor(low.mean(dim=(2, 3))))
        high_pooled = self.act(self.high_descriptor(high.mean(dim=(2, 3))))
        attention = torch.sigmoid(self.expand(self.act(self.reduce(high_pooled - low_pooled))))
        low_scale = (1 + self.low_gate * attention) * low_pooled
        high_scale = (1 + self.high_gate * (1 - attention)) * high_pooled
        return (
            self.low_conv(low * (1 + low_scale[:, :, None, None])),
            self.high_conv(high * (1 + high_scale[:, :, None, None])),
        )
