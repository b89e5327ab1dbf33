"""Cross entropy and Lovász-softmax of one map of logits, computed together with their gradient.

Autograd would keep a dozen maps of all classes at the labels' size until the backward pass. Here the gradient is found
on the way forward, where the probabilities are at hand, and kept at the small size of the logits; and only those pixels
are sorted that have a share in it.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dataset import IGNORE_LABEL
from modules.layers import resize, resize_matrix

BITS_OF_ONE = 0x3F800000
"""Those of 1 as a float32."""


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
        by_class = labels.device.type == "cpu" or logits.dtype != torch.float32
        lovasz, slopes = (lovasz_softmax_by_class if by_class else lovasz_softmax)(probabilities, labels)

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
    rows = resize_matrix(size[0], gradient.shape[-2], like=gradient)
    columns = resize_matrix(size[1], gradient.shape[-1], like=gradient)
    return rows.T @ gradient @ columns


def lovasz_softmax(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Lovász-softmax loss (Berman, Triki, Blaschko, CVPR 2018) and its derivative by each probability.

    It is taken over the pixels that are not ignored and averaged over the classes present among them; zero if there is
    none. probabilities (K, pixels) float32, labels (pixels,) with 255 = ignore; returns a scalar and (K, pixels).

    Only what has a slope is sorted. Once the smallest error of a class's own pixels is reached, all of them are found,
    and the Jaccard index no longer changes: other pixels with a smaller error have slope 0 wherever they stand. The
    host waits once for a GPU, which has to tell how many entries are left.
    """
    valid = labels != IGNORE_LABEL
    target = labels.long().masked_fill(~valid, 0)[None]
    # A probability gets a sign, also 0, if it is that of the pixel's own class. Its error is 1 - p, else p.
    at_target = probabilities.gather(0, target)
    signed = probabilities.scatter(0, target, torch.where(valid, -at_target, at_target))
    left = (signed >= 1 + signed.amin(dim=1, keepdim=True)).logical_and_(valid).scatter_(0, target, valid[None])
    entries = _indices(left.flatten())
    errors = signed.flatten().gather(0, entries)
    is_member = errors.signbit()
    del left, signed

    # One integer to sort by: class, then error. Equal ones stay in the order of their pixels. What is not a number
    # would end in another class; the cross entropy says so anyway.
    of_class = entries.div(len(labels), rounding_mode="trunc")
    keys, order = torch.add(_falling((errors + is_member).nan_to_num(1.0)), of_class, alpha=2**30).sort(stable=True)
    entries = torch.add(is_member, entries, alpha=2).gather(0, order)
    is_member, entries, of_class = (entries & 1).bool(), entries >> 1, keys >> 30

    classes = torch.arange(len(probabilities), device=labels.device)
    starts, ends = torch.searchsorted(keys, classes << 30), torch.searchsorted(keys, (classes + 1) << 30)
    found = F.pad(is_member.cumsum(0, dtype=torch.int32), (1, 0))  # in all classes so far, none at first
    to_find = found[ends][of_class] - found[1:]
    union = to_find + torch.arange(1, len(keys) + 1, device=labels.device) - starts[of_class]
    growth = _jaccard_growth(is_member, to_find.to(errors.dtype), union.to(errors.dtype))
    count = (found[ends] > found[starts]).sum().clamp(min=1)
    slopes = torch.zeros_like(probabilities)
    slopes.view(-1).scatter_(0, entries, torch.where(is_member, -growth, growth) / count)
    return (_errors_of(keys & (2**30 - 1)) * growth).sum() / count, slopes


def lovasz_softmax_by_class(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Do the same as `lovasz_softmax` class by class, in any float type: for small memory, with a CPU's faster sort."""
    valid = labels != IGNORE_LABEL
    present = [of_class for of_class in labels.unique().tolist() if of_class != IGNORE_LABEL]
    loss, slopes = probabilities.new_zeros(()), torch.zeros_like(probabilities)
    for of_class in present:
        members, scores = labels == of_class, probabilities[of_class]
        errors = torch.where(members, 1 - scores, scores)
        smallest = torch.where(members, errors, torch.inf).amin()
        pixels = _indices((errors >= smallest) & valid)
        sorted_errors, pixels = _sort_descending(errors[pixels], pixels)
        is_member = members[pixels]
        found = is_member.cumsum(dim=0, dtype=torch.int32)  # in integers: exact for any number of pixels
        place = torch.arange(1, len(pixels) + 1, device=labels.device, dtype=torch.int32)
        to_find = found[-1:] - found
        growth = _jaccard_growth(is_member, to_find.to(errors.dtype), (to_find + place).to(errors.dtype))
        loss += (sorted_errors * growth).sum() / len(present)
        slopes[of_class].scatter_(0, pixels, torch.where(is_member, -growth, growth) / len(present))
    return loss, slopes


def _indices(mask: Tensor) -> Tensor:
    """Return where a mask (n,) is true; the host waits for their number."""
    return mask.nonzero().squeeze(1)


def _jaccard_growth(is_member: Tensor, to_find: Tensor, union: Tensor) -> Tensor:
    """Return by how much each of a class's entries, in the order of their errors, adds to its Jaccard loss.

    is_member: whether it is one of the class's own pixels. to_find: how many of those are behind it. union: how many
    pixels there are of the class and up to it. A member adds 1 / union, another pixel to_find / (union (union - 1)):
    the differences in closed form, which lose no digits to cancellation.
    """
    return torch.where(is_member, 1.0, to_find / (union - 1).clamp(min=1)) / union


def _sort_descending(errors: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Sort errors in 0..1 (n,) from large to small, equal ones by the index of their pixel (n,); return both sorted.

    An error and its pixel make one integer of 64 bits. NumPy sorts these in place, PyTorch sorts pairs only: with
    NumPy 2 on AVX2 eight times as fast.
    """
    if errors.dtype != torch.float32:
        errors, order = errors.sort(descending=True, stable=True)
        return errors, pixels[order]
    keys = (_falling(errors).long() << 32) | pixels
    keys.numpy().sort()
    return _errors_of(keys >> 32), keys & 0xFFFFFFFF


def _falling(errors: Tensor) -> Tensor:
    """Return integers below 2^30 that fall where errors in 0..1 rise: a float32 is ordered as its bits are."""
    return BITS_OF_ONE - errors.view(torch.int32)


def _errors_of(falling: Tensor) -> Tensor:
    """Return the errors of which `_falling` made these integers."""
    return (BITS_OF_ONE - falling).int().view(torch.float32)
