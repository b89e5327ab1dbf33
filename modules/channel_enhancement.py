"""Channel enhancement: subtract pooled descriptors of two stages, compensate both (the paper's first idea)."""

import torch
from torch import Tensor, nn

from modules.layers import conv_bn_act, leaky_relu


class ChannelEnhancement(nn.Module):
    """Tell two maps which channels differ between them, and strengthen each where it is the other's lack.

    `low` holds more detail, `high` more semantics. Where their globally pooled descriptors differ, an attention
    vector gives to the low map's channels what it takes from the high map's; both gates are learned.
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
