"""The small layers that every module shares."""

from collections import OrderedDict
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NEGATIVE_SLOPE = 0.01


def conv_bn_act(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """Return convolution (no bias, same padding) -> BatchNorm -> LeakyReLU: (N, in, H, W) -> (N, out, H, W)."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(out_channels), act=leaky_relu()))


def conv_bn_act_1d(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """Return the 1-D form of `conv_bn_act`: (N, in, L) -> (N, out, L)."""
    conv = nn.Conv1d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm1d(out_channels), act=leaky_relu()))


def joined_conv_bn_act(layers: nn.Sequential, *maps: Tensor) -> Tensor:
    """Return layers(torch.cat(maps, dim=1)), of layers that `conv_bn_act` made, without joining the maps.

    Each meets its part of the weights and the results are added: no joined map is made, and kept for the backward pass.
    """
    conv = cast(nn.Conv2d, layers[0])
    weights = conv.weight.split([x.shape[1] for x in maps], dim=1)
    out = F.conv2d(maps[0], weights[0], conv.bias, padding=conv.padding)
    for x, weight in zip(maps[1:], weights[1:], strict=True):
        out = out + F.conv2d(x, weight, padding=conv.padding)
    return cast(Tensor, layers[1:](out))


def classifier(in_channels: int, num_classes: int) -> nn.Sequential:
    """Return Dropout2d -> 1 x 1 convolution with bias: the last step of every head."""
    conv = nn.Conv2d(in_channels, num_classes, 1)
    return Classifier(OrderedDict(dropout=nn.Dropout2d(0.1), conv=conv))


class Classifier(nn.Sequential):
    """Dropout2d -> 1 x 1 convolution, where each image's weights lose the channels instead of its map.

    The result is the same, and no second map of all channels is made and kept for the backward pass.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, classes, H, W)."""
        dropout, conv = self[0], cast(nn.Conv2d, self[1])
        if not self.training:
            return cast(Tensor, conv(x))
        kept = dropout(conv.weight.new_ones(x.shape[0], x.shape[1], 1, 1)).flatten(1)
        weight = conv.weight.flatten(1) * kept[:, None]  # (N, classes, C)
        bias = cast(Tensor, conv.bias)
        return torch.baddbmm(bias[:, None], weight, x.flatten(2)).unflatten(2, x.shape[2:])


def leaky_relu() -> nn.LeakyReLU:
    """Return the activation of everything outside the backbone; always fed by a layer that does not need
    its output again, so it may overwrite it."""
    return nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)


def resize(x: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Resize a map (N, C, H, W) to `size` = (height, width), bilinear with aligned corners."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)
