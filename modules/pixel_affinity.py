"""Pixel affinity: let every pixel hear from those that the backbone finds alike."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modules.layers import conv_bn_act, resize


class PixelAffinity(nn.Module):
    """Refine the decoder's map by an affinity between all pixels of the 1/16 map."""

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
        # The map is only carried along the affinity; what it should contain is the decoder's business.
        carried = resize(F.relu(x.detach()), size)
        refined = (carried.flatten(2) @ affinity.to(carried.dtype)).view_as(carried)
        return self.merge(torch.cat([x, resize(refined, x.shape[-2:])], dim=1))
