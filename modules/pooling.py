"""Pooling into a fixed number of bins, whatever the size of the map."""

import torch
from torch import Tensor

from modules.layers import made_once


def bin_means(x: Tensor, bins: int) -> Tensor:
    """Average the last axis into bins of equal width: (..., L) -> (..., bins).

    A position counts in every bin that it overlaps. This is PyTorch's adaptive average pooling along one axis, as a
    product with a matrix: an exported network can then take maps of any size, and the gradient on a GPU is the same
    in every run.
    """
    overlaps = _overlaps(x.shape[-1], bins, like=x)
    sums = overlaps.T.to(x.dtype) @ x.transpose(-1, -2)
    return sums.transpose(-1, -2) / overlaps.sum(dim=0).to(x.dtype)


@made_once
def _overlaps(length: int, bins: int, *, like: Tensor) -> Tensor:
    """Return which positions overlap which bins: booleans (length, bins)."""
    position = torch.arange(length, device=like.device)[:, None]
    index = torch.arange(bins, device=like.device)
    return (index * length < (position + 1) * bins) & (position * bins < (index + 1) * length)
