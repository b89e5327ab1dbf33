"""The parsing losses as their authors wrote them: slow, and easy to compare with the papers."""

import torch
import torch.nn.functional as F
from torch import Tensor


def plain_lovasz(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the Lovász-softmax of probabilities (N, K, H, W): for each class all valid pixels are sorted."""
    k = probabilities.shape[1]
    valid = labels.flatten() != 255
    scores = probabilities.movedim(1, -1).reshape(-1, k)[valid]
    targets = labels.flatten()[valid]
    losses = []
    for c in range(k):
        foreground = (targets == c).to(scores.dtype)
        if foreground.sum() == 0:
            continue
        errors, order = (foreground - scores[:, c]).abs().sort(descending=True, stable=True)
        sorted_foreground = foreground[order]
        intersection = foreground.sum() - sorted_foreground.cumsum(0)
        union = foreground.sum() + (1 - sorted_foreground).cumsum(0)
        jaccard = 1 - intersection / union
        jaccard[1:] = jaccard[1:] - jaccard[:-1].clone()
        losses.append(torch.dot(errors, jaccard))
    return torch.stack(losses).mean() if losses else scores.sum() * 0


def full_sort_lovasz(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Lovász-softmax of probabilities (K, pixels) and its slopes; every class sorts all valid pixels.

    The formula is that of `utils.parsing_loss`, so that slopes can be compared bit by bit.
    """
    slopes, losses = torch.zeros_like(probabilities), []
    valid = (labels != 255).nonzero().squeeze(1)
    for c, scores in enumerate(probabilities[:, valid]):
        members = labels[valid] == c
        if members.any():
            errors, order = torch.where(members, 1 - scores, scores).sort(descending=True, stable=True)
            members = members[order]
            found = members.cumsum(0)
            union = (found[-1] + torch.arange(1, len(found) + 1) - found).to(scores.dtype)
            growth = torch.where(members, 1.0, (found[-1] - found) / (union - 1).clamp(min=1)) / union
            losses.append((errors * growth).sum())
            slopes[c, valid[order]] = torch.where(members, -growth, growth)
    count = max(1, len(losses))
    return torch.stack([*losses, probabilities.new_zeros(())]).sum() / count, slopes / count


def plain_parsing_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross entropy and the Lovász-softmax of logits (N, K, h, w) resized to labels (N, H, W)."""
    large = F.interpolate(logits, labels.shape[-2:], mode="bilinear", align_corners=True)
    sum_of_pixels = F.cross_entropy(large, labels.long(), ignore_index=255, reduction="sum")
    return sum_of_pixels / (labels != 255).sum().clamp(min=1), plain_lovasz(large.softmax(1), labels)
