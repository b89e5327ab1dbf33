"""Cross entropy and Lovász-softmax of one map of logits, computed together with their gradient.

Autograd would keep a dozen maps of all classes at the labels' size until the backward pass. Here the gradient is found
on the way forward, where the probabilities are at hand, and kept at the small size of the logits; and on a CPU only
those pixels are sorted that have a share in it.
"""

from typing import Any

import torch
from torch import Tensor

from dataset import IGNORE_LABEL
from modules.layers import resize


def parsing_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return cross entropy + Lovász-softmax of logits (N, K, h, w) resized to labels (N, H, W), and each of the two.

    logits: float32 or float64. labels: 0..K-1 and 255 = ignore, any integer type. Both losses are taken over all pixels
    of the batch that are not ignored; they are zero, with zero gradient, if there is none. Only the sum leads back to
    the logits.
    """
    loss, cross_entropy, lovasz = _ParsingLoss.apply(logits, labels)
    return loss, cross_entropy, lovasz


class _ParsingLoss(torch.autograd.Function):
    """See `parsing_loss`. Within, maps are (K, pixels), the pixels being those of the whole batch."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        large = resize(logits.transpose(0, 1).contiguous(), labels.shape[-2:])
        shape, probabilities = large.shape, large.flatten(1)
        labels = labels.flatten()
        valid = labels != IGNORE_LABEL
        target = labels.long().masked_fill(~valid, 0)[None]
        share = valid.to(logits.dtype) / valid.sum().clamp(min=1)

        cross_entropy = (_softmax_(probabilities, target) * share).sum()
        # The fewer pixels are left to sort, the better, but how many that are a GPU would have to tell the host.
        pruned = labels.device.type == "cpu"
        lovasz, slopes = (lovasz_softmax_pruned if pruned else lovasz_softmax)(probabilities, labels)

        # With respect to the logits of a pixel that is p_k (slope_k - sum_j p_j slope_j) of the Lovász-softmax, plus
        # share (p_k - [k is the label]) of the cross entropy. It takes the place of the probabilities.
        slopes *= probabilities
        gradient = probabilities.mul_(share - slopes.sum(dim=0)).add_(slopes)
        gradient.scatter_add_(0, target, -share[None])
        gradient = _before_resize(gradient.view(shape), logits.shape[-2:])
        ctx.save_for_backward(gradient.transpose(0, 1))
        ctx.mark_non_differentiable(cross_entropy, lovasz)
        return cross_entropy + lovasz, cross_entropy, lovasz

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_loss: Tensor, *_: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return of_loss * gradient, None


def _softmax_(logits: Tensor, target: Tensor) -> Tensor:
    """Turn logits (K, pixels) into probabilities, in place, and return the cross entropies with target (1, pixels)."""
    logits -= logits.amax(dim=0)
    at_target = logits.gather(0, target)[0]
    normaliser = logits.exp_().sum(dim=0)
    logits /= normaliser
    return normaliser.log() - at_target


def _before_resize(gradient: Tensor, size: torch.Size) -> Tensor:
    """Turn a gradient with respect to resized maps (..., H, W) into that with respect to the maps of `size` before.

    Resizing multiplies by a matrix from either side, so this multiplies by their transposes: deterministic on GPUs,
    where the backward pass of PyTorch's resizing is not.
    """

    def matrix(small: int, large: int) -> Tensor:
        unit_vectors = torch.eye(small, dtype=gradient.dtype, device=gradient.device)
        return resize(unit_vectors[None, :, :, None], (large, 1))[0, :, :, 0]

    (height, width), (large_height, large_width) = size, gradient.shape[-2:]
    return matrix(height, large_height) @ gradient @ matrix(width, large_width).T


def lovasz_softmax(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Lovász-softmax loss (Berman, Triki, Blaschko, CVPR 2018) and its derivative by each probability.

    It is taken over the pixels that are not ignored and averaged over the classes present among them; zero if there is
    none. Needs nothing of what is in the tensors to be known to the host.
    probabilities (K, pixels), labels (pixels,) with 255 = ignore; returns a scalar and (K, pixels).
    """
    members = labels == torch.arange(len(probabilities), device=labels.device)[:, None]
    errors = torch.where(members, 1 - probabilities, probabilities)
    # Ignored pixels come last, where all of the class are found and nothing has a slope any more.
    errors, order = torch.where(labels != IGNORE_LABEL, errors, -1.0).sort(dim=-1, descending=True, stable=True)
    losses, sorted_slopes = _lovasz_of_sorted(errors, members.gather(-1, order))
    count = members.any(dim=-1).sum().clamp(min=1)
    return losses.sum() / count, torch.empty_like(probabilities).scatter_(-1, order, sorted_slopes / count)


def lovasz_softmax_pruned(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Do the same as `lovasz_softmax` on a CPU, class by class, but sort only those pixels that have a slope.

    Once the smallest error of a class's own pixels is reached, all of them are found, and the Jaccard index no longer
    changes: other pixels with a smaller error have slope 0 wherever they stand.
    """
    valid = labels != IGNORE_LABEL
    present = [of_class for of_class in labels.unique().tolist() if of_class != IGNORE_LABEL]
    loss, slopes = probabilities.new_zeros(()), torch.zeros_like(probabilities)
    for of_class in present:
        members, scores = labels == of_class, probabilities[of_class]
        errors = torch.where(members, 1 - scores, scores)
        smallest = torch.where(members, errors, torch.inf).amin()
        pixels = ((errors >= smallest) & valid).nonzero().squeeze(1)
        sorted_errors, pixels = _sort_descending(errors[pixels], pixels)
        of_this, sorted_slopes = _lovasz_of_sorted(sorted_errors, members[pixels])
        loss += of_this / len(present)
        slopes[of_class].scatter_(0, pixels, sorted_slopes / len(present))
    return loss, slopes


def _sort_descending(errors: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Sort errors in 0..1 (n,) from large to small, equal ones by the index of their pixel (n,); return both sorted.

    A float32 that is not negative is ordered as its bits are, so an error and its pixel make one integer of 64 bits.
    NumPy sorts these in place, PyTorch sorts pairs only: with NumPy 2 on AVX2 eight times as fast.
    """
    if errors.dtype != torch.float32:
        errors, order = errors.sort(descending=True, stable=True)
        return errors, pixels[order]
    bits_of_one = 0x3F800000
    keys = ((bits_of_one - errors.view(torch.int32)).long() << 32) | pixels
    keys.numpy().sort()
    return (bits_of_one - (keys >> 32)).int().view(torch.float32), keys & 0xFFFFFFFF


def _lovasz_of_sorted(errors: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Lovász extension of the Jaccard loss (...,), and its derivatives by the probabilities (..., n).

    errors (..., n) fall; members (..., n) says which of the pixels belong to the class. With the union and the
    intersection after the i-th pixel, a member adds 1 / union to the Jaccard loss and another pixel
    intersection / (union (union - 1)): the differences in closed form, which lose no digits to cancellation.
    """
    # Counted in integers: exact for any number of pixels, and deterministic on GPUs.
    found = members.cumsum(dim=-1, dtype=torch.int32)
    size = found[..., -1:]
    others = torch.arange(1, members.shape[-1] + 1, device=members.device, dtype=torch.int32) - found
    union = (size + others).to(errors.dtype)
    growth = torch.where(members, 1.0, (size - found) / (union - 1).clamp(min=1)) / union
    return (errors * growth).sum(dim=-1), torch.where(members, -growth, growth)
