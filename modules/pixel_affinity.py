"""Pixel-affinity refinement: a non-local block (Wang, Girshick, Gupta, He, CVPR 2018) on the 1/16 map.

With f the embedding (C, h w) of the backbone's C2 and C4, and m the decoder's map at their size:

    A = softmax of (f^T f) / sqrt(C) over its first axis        r = m A

Unlike in the original block, the affinity comes from the backbone alone, and no gradient flows into m.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modules.layers import conv_bn_act, resize
from modules.resized_convolution import conv3x3_of_resized


class PixelAffinity(nn.Module):
    """Refine the decoder's map by averaging it over the pixels that the backbone's features find alike.

    Args:
        detail_channels: of C2. context_channels: of C4. channels: C, of the decoder's map.
    """

    def __init__(self, detail_channels: int, context_channels: int, channels: int) -> None:
        super().__init__()
        self.detail = conv_bn_act(detail_channels, 48, 3)
        self.context = nn.Sequential(conv_bn_act(context_channels, channels, 1), conv_bn_act(channels, channels, 3))
        self.embed = conv_bn_act(channels + 48, channels, 3)
        self.refine = conv_bn_act(channels, channels, 3)
        self.merge = conv_bn_act(2 * channels, channels, 3)

    def forward(self, x: Tensor, detail: Tensor, context: Tensor) -> Tensor:
        """Refine x (N, C, H, W) with C2 (`detail`) and C4 (`context`, (N, context_channels, h, w)).

        Returns (N, C, H, W).
        """
        size = context.shape[-2:]
        x = self.refine(x)
        embedding = self.embed(torch.cat([self.context(context), resize(self.detail(detail), size)], dim=1))
        embedding = embedding.flatten(2)
        scores = embedding.transpose(1, 2) @ embedding / math.sqrt(embedding.shape[1])
        affinity = scores.softmax(dim=1)
        # Detached, as published: the refinement trains the affinity, not the map that is averaged.
        values = resize(F.relu(x.detach()), size)
        refined = (values.flatten(2) @ affinity.to(values.dtype)).view_as(values)
        # The same as self.merge(torch.cat([x, resize(refined, x.shape[-2:])], dim=1)).
        conv = cast(nn.Conv2d, self.merge[0])
        of_refined = conv3x3_of_resized(refined, conv.weight[:, x.shape[1] :], x.shape[-2:])
        return cast(Tensor, self.merge[1:](conv(x) + of_refined))
