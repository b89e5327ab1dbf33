"""A convolution of several maps, without joining them."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def conv2d_of_joined(
    maps: Sequence[Tensor],
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, ...],
    padding: str | tuple[int, ...],
    dilation: tuple[int, ...],
) -> Tensor:
    """Return F.conv2d of torch.cat(maps, dim=1), without joining the maps.

    Each meets its part of the weights and the results are added: no joined map is made, and kept for the backward pass.
    Weights of more channels than the maps have meet zeros.
    """
    channels = [x.shape[1] for x in maps]
    if channels == [weight.shape[1]]:
        return F.conv2d(maps[0], weight, bias, stride, padding, dilation)
    weights = weight[:, : sum(channels)].split(channels, dim=1)
    out = F.conv2d(maps[0], weights[0], bias, stride, padding, dilation)
    for x, part in zip(maps[1:], weights[1:], strict=True):
        out += F.conv2d(x, part, None, stride, padding, dilation)
    return out
