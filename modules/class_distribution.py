"""Class-distribution guidance (CDGNet: Liu et al., CVPR 2022): attention along rows and columns.

The map is averaged over its width to a strip of rows, and over its height to a strip of columns. From each strip, 1-D
convolutions predict how every class is distributed along it, which the loss compares with the labels, and attentions
u_r and u_c, which re-weight the map x by

    d = (1 - g)^2 u_c + g^2 u_r        out = CBL(CBL([x + x d, d]))

where g, in 0..1 by channel, is computed from one learned value per class.
"""

from collections import OrderedDict
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modules.layers import as_matrix, conv_bn_act, conv_bn_act_1d, leaky_relu, resize_matrix
from modules.pooling import bin_means


class AxisBranch(nn.Module):
    """What both axes do with their strip of features: predict the classes along it, and an attention strip."""

    def __init__(self, in_channels: int, channels: int, num_classes: int) -> None:
        super().__init__()
        self.reduce = conv_bn_act_1d(in_channels, channels, 3)
        self.distribution = nn.Sequential(conv_bn_act_1d(channels, channels, 3), nn.Conv1d(channels, num_classes, 1))
        self.attention = nn.Sequential(conv_bn_act_1d(channels, in_channels, 7), nn.Conv1d(in_channels, in_channels, 1))

    def forward(self, strip: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, in_channels, L) to distribution (N, K, L) and attention (N, in_channels, L), both in 0..1."""
        strip = self.reduce(strip)
        return torch.sigmoid(self.distribution(strip)), torch.sigmoid(self.attention(strip))


class ClassDistributionGuidance(nn.Module):
    """Re-weight a map by attention along its rows and columns that was learned by predicting class distributions.

    `bins` = (rows, columns): into how many the map is pooled. They belong to the training size, whatever the size
    of a later input, because the 1-D convolutions learned their scale.
    """

    def __init__(self, channels: int, num_classes: int, bins: tuple[int, int]) -> None:
        super().__init__()
        self.row_bins, self.column_bins = bins
        self.rows = AxisBranch(channels, 256, num_classes)
        self.columns = AxisBranch(channels, 256, num_classes)
        self.class_gate = nn.Parameter(torch.ones(num_classes))
        self.balance = nn.Sequential(
            OrderedDict(
                reduce=nn.Conv2d(num_classes, 256, 1, bias=False),
                act=leaky_relu(),
                expand=nn.Conv2d(256, channels, 1, bias=False),
            )
        )
        self.merge = nn.Sequential(conv_bn_act(2 * channels, channels, 3), conv_bn_act(channels, channels, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (N, C, H, W) to the guided map of the same shape and the class distributions, in 0..1, over rows
        (N, K, row bins) and columns (N, K, column bins)."""
        row_distribution, row_attention = self.rows(bin_means(x.mean(dim=3), self.row_bins))
        column_distribution, column_attention = self.columns(bin_means(x.mean(dim=2), self.column_bins))
        row_attention = _stretch(row_attention, x.shape[2])[:, :, :, None]
        column_attention = _stretch(column_attention, x.shape[3])[:, :, None, :]
        balance = torch.sigmoid(self._balance())[:, None, None]
        guidance = (1 - balance) ** 2 * column_attention + balance**2 * row_attention
        merged = self.merge(torch.cat([x + x * guidance, guidance], dim=1))
        return merged, row_distribution, column_distribution

    def _balance(self) -> Tensor:
        """Return balance(class gate) as (C,); convolutions of a single pixel, the gate (1, K, 1, 1), are products."""
        reduce, act, expand = self.balance
        hidden = act(F.linear(self.class_gate, as_matrix(cast(Tensor, reduce.weight))))
        return F.linear(hidden, as_matrix(cast(Tensor, expand.weight)))


def _stretch(strip: Tensor, length: int) -> Tensor:
    """Resize a strip (N, C, L) to (N, C, length); equals the bilinear resize of it as a one-pixel-wide map."""
    return strip @ resize_matrix(strip.shape[2], length, like=strip).to(strip.dtype).T
