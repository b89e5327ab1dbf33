"""Training targets, computed from label maps on whatever device they lie (batched, no host synchronisation)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dataset import IGNORE_LABEL


def edge_targets(labels: Tensor) -> Tensor:
    """Return where labels (N, H, W) change: uint8 (N, H, W), 1 on edges and 0 elsewhere, never ignored.

    A pixel is marked when it differs from a neighbour (above, right, and both diagonals) and neither is 255; the
    marks are then dilated by a 3 x 3 box.
    """
    marks = torch.zeros_like(labels, dtype=torch.bool)
    marks[:, 1:] |= _differ(labels[:, 1:], labels[:, :-1])
    marks[:, :, :-1] |= _differ(labels[:, :, :-1], labels[:, :, 1:])
    marks[:, :-1, :-1] |= _differ(labels[:, :-1, :-1], labels[:, 1:, 1:])
    marks[:, :-1, 1:] |= _differ(labels[:, :-1, 1:], labels[:, 1:, :-1])
    return F.max_pool2d(marks[:, None].float(), 3, stride=1, padding=1)[:, 0].to(torch.uint8)


def distribution_targets(labels: Tensor, num_classes: int, *, has_background: bool = True) -> tuple[Tensor, Tensor]:
    """Return how each class spreads over the rows and over the columns of labels (N, H, W).

    Counts of pixels per row (column), each class divided by its own maximum + 1e-5: float32 (N, K, H) and
    (N, K, W) in 0..1. Pixels of 255 count as background, and the background (class 0) is set to zero, so in effect
    they count nowhere; without a background class they are left out and every class is kept.
    """
    counted = labels.long().clamp(max=num_classes)  # 255 and whatever else is no class: counted last, and dropped
    ones = torch.ones((), device=labels.device).expand(labels.shape)
    n, height, width = labels.shape
    # In float32 the counts of pixels are whole numbers, the same in whatever order they are added.
    rows = ones.new_zeros(n, num_classes + 1, height).scatter_add_(1, counted.mT, ones.mT)
    columns = ones.new_zeros(n, num_classes + 1, width).scatter_add_(1, counted, ones)
    return _normalise(rows[:, :-1], has_background), _normalise(columns[:, :-1], has_background)


def _differ(a: Tensor, b: Tensor) -> Tensor:
    return (a != b) & (a != IGNORE_LABEL) & (b != IGNORE_LABEL)


def _normalise(counts: Tensor, has_background: bool) -> Tensor:
    if has_background:
        counts[:, 0] = 0
    return counts / (counts.amax(dim=2, keepdim=True) + 1e-5)
